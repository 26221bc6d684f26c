//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	module = "github.com/proctor-mcp/proctor"
	root   = "../.."
)

// forbidden says what a package must not import directly, and why. A trailing
// slash stands for everything below.
var forbidden = []struct{ pkg, imports, why string }{
	{"procmgr", "github.com/mark3labs/", "the domain knows no MCP"},
	{"procmgr", "net/http", "the domain knows no HTTP"},
	{"procmgr", "encoding/json", "the domain knows no JSON"},
	{"procmgr", "flag", "the domain is configured by its Options"},
	{"procmgr", module + "/tools", "the domain does not know who uses it"},
	{"procmgr", module + "/caller", "the domain is told the scope"},
	{"fair", module + "/", "a queue does not know what waits in it"},
	{"probe", module + "/", "whoever asks may ask it"},
	{"screen", module + "/", "whoever has what was written may ask it"},
	{"procmgr/output", module + "/", "the store knows nothing but bytes"},
	{"procmgr/spawn", module + "/procmgr", "the system's side knows no chats"},
	{"procmgr/spawn", module + "/procmgr/output", "the system's side keeps no output"},
	{"procmgr/spawn", module + "/procmgr/spawn/early", "who embeds spawn is not altered by it"},
	{"procmgr/spawn/early", "os", "it runs before that is initialised, and so do all that it imports"},
	{"procmgr/spawn/early", "golang.org/", "it runs before that is initialised"},
	{"procmgr/spawn/procfs", "os", "the guard runs before that is initialised"},
	{"procmgr/spawn/procfs", "golang.org/", "the guard runs before that is initialised"},
	{"procmgr/spawn", "os/exec", "its Wait would reap behind our back (Windows aside)"},
	{"tools", "os/exec", "only procmgr starts processes"},
	{"tools", "syscall", "only spawn talks to the system"},
	{"tools", "golang.org/x/sys/", "only spawn talks to the system"},
	{"tools", "net/http", "tools serve every transport alike"},
	{"tools", "github.com/mark3labs/", "transport/library.go alone knows the MCP library"},
	{"tools", module + "/transport", "transports lead to tools, not back"},
	{"tools", module + "/procmgr/spawn", "the manager is the only way to a process"},
	{"caller", "net/http", "who asks is decided alike on every transport"},
	{"caller", "github.com/mark3labs/", "who asks is decided alike on every transport"},
	{"schemas", module + "/", "contracts depend on nothing"},
	{"transport", "os/exec", "only procmgr starts processes"},
	{"transport", module + "/procmgr", "transports know tools by the MCP server alone"},
}

func TestImports(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	imports := map[string][]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		imports[strings.TrimPrefix(p.ImportPath, module+"/")] = p.Imports
	}
	for _, f := range forbidden {
		list, ok := imports[f.pkg]
		if !ok {
			t.Errorf("the table names %s, which is gone", f.pkg)
		}
		for _, i := range list {
			if i == f.imports || strings.HasSuffix(f.imports, "/") && strings.HasPrefix(i, f.imports) {
				t.Errorf("%s imports %s: %s", f.pkg, i, f.why)
			}
		}
	}
	http := []string{"cmd/proctor", "transport", "probe", "proctest"}
	for pkg, list := range imports {
		if slices.Contains(list, "net/http") && !slices.Contains(http, pkg) {
			t.Errorf("%s imports net/http; only %v may", pkg, http)
		}
	}
}

// source calls check for every Go file of the tree.
func source(t *testing.T, check func(name string, fset *token.FileSet, f *ast.File)) {
	t.Helper()
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			return fs.SkipDir
		}
		if err != nil || !strings.HasSuffix(path, ".go") {
			return err
		}
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		check(name, fset, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// called returns the positions of calls such as time.Sleep.
func called(f *ast.File, pkg string, names ...string) (at []token.Pos) {
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == pkg && slices.Contains(names, s.Sel.Name) {
				at = append(at, s.Pos())
			}
		}
		return true
	})
	return at
}

func TestHouseRules(t *testing.T) {
	documented := map[string]bool{}
	source(t, func(name string, fset *token.FileSet, f *ast.File) {
		dir, test := filepath.Dir(name), strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "proctest/")
		report := func(at token.Pos, what string) { t.Errorf("%s: %s", fset.Position(at), what) }
		if dir == "transport" && !test && name != "transport/library.go" {
			for _, i := range f.Imports {
				if strings.Contains(i.Path.Value, "mark3labs") {
					report(i.Pos(), "transport/library.go alone knows the MCP library")
				}
			}
		}
		if f.Doc != nil {
			documented[dir] = true
		} else if !test && !documented[dir] {
			documented[dir] = false
		}
		if test {
			for _, at := range called(f, "time", "Sleep") {
				report(at, "a test waits for an event, not for the clock")
			}
		}
		if !test && f.Name.Name != "main" {
			for _, at := range called(f, "os", "Getenv", "LookupEnv", "Environ", "Exit") {
				report(at, "only programs read the environment and exit")
			}
			for _, at := range called(f, "signal", "Notify", "NotifyContext") {
				report(at, "only programs take signals")
			}
		}
		if !test && !strings.HasPrefix(name, "cmd/") && !strings.HasPrefix(name, "control/") {
			for _, at := range called(f, "procmgr", "Owner", "NewOwned") {
				report(at, "only cmd and control may see every scope")
			}
		}
		// These unlock before they return, and their threads stay.
		if dir != "procmgr/spawn/early" && dir != "proctest" && name != "procmgr/spawn/forker_linux.go" && name != "procmgr/spawn/threads_linux.go" {
			for _, at := range called(f, "runtime", "LockOSThread") {
				report(at, "a thread that ends with its goroutine ends what it has forked (PR_SET_PDEATHSIG)")
			}
		}
		for _, decl := range f.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Name.Name == "init" && d.Recv == nil && dir != "procmgr/spawn/early" {
					report(d.Pos(), "no init functions")
				}
			case *ast.GenDecl:
				if d.Tok == token.VAR && !test && name != "procmgr/lockorder/checked.go" { // which is for tests
					for _, spec := range d.Specs {
						if v := spec.(*ast.ValueSpec); !constant(d, v) {
							report(v.Pos(), "no mutable package variables: "+v.Names[0].Name)
						}
					}
				}
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			s, ok := n.(*ast.StructType)
			if !ok {
				return true
			}
			for _, field := range s.Fields.List {
				kind := field.Type
				if placed, ok := kind.(*ast.IndexExpr); ok {
					kind = placed.X // of package lockorder
				}
				if x, ok := kind.(*ast.SelectorExpr); ok && (x.Sel.Name == "Mutex" || x.Sel.Name == "RWMutex") &&
					!strings.Contains(field.Comment.Text()+field.Doc.Text(), "guards") {
					report(field.Pos(), "a mutex says what it guards")
				}
			}
			return true
		})
	})
	for dir, ok := range documented {
		if !ok {
			t.Errorf("package %s has no comment", dir)
		}
	}
}

// constant says that a package variable is set once: an error, a regular
// expression, or a file that is embedded.
func constant(d *ast.GenDecl, v *ast.ValueSpec) bool {
	if strings.Contains(d.Doc.Text(), "go:embed") || d.Doc != nil && strings.HasPrefix(d.Doc.List[len(d.Doc.List)-1].Text, "//go:embed") {
		return true
	}
	for _, value := range v.Values {
		if other, ok := value.(*ast.SelectorExpr); ok && strings.HasPrefix(other.Sel.Name, "Err") {
			continue // an error of another package
		}
		call, ok := value.(*ast.CallExpr)
		if !ok {
			return false
		}
		f, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || !slices.Contains([]string{"New", "MustCompile"}, f.Sel.Name) {
			return false
		}
	}
	return len(v.Values) > 0
}
