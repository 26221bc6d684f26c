package schemas

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "write flat/ anew")

type schema = map[string]any

func load(name string) schema {
	text, err := os.ReadFile(name)
	if err != nil {
		panic(err)
	}
	var s schema
	if err := json.Unmarshal(text, &s); err != nil {
		panic(fmt.Errorf("%s: %w", name, err))
	}
	return resolve(s).(schema)
}

// resolve replaces the references in v by the schemas that they name.
func resolve(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = resolve(v[i])
		}
	case schema:
		if ref, ok := v["$ref"].(string); ok {
			return load(ref)
		}
		for key := range v {
			v[key] = resolve(v[key])
		}
		merge(v, "allOf", true)
		merge(v, "anyOf", false)
	}
	return v
}

// merge adds the properties of the schemas under key to those of s. If all of these schemas
// hold, it adds what they require as well.
func merge(s schema, key string, all bool) {
	parts, _ := s[key].([]any)
	delete(s, key)
	for _, part := range parts {
		part := part.(schema)
		if properties, ok := part["properties"].(schema); ok {
			if s["properties"] == nil {
				s["properties"] = schema{}
			}
			maps.Copy(s["properties"].(schema), properties)
		}
		if required, ok := part["required"].([]any); ok && all {
			own, _ := s["required"].([]any)
			s["required"] = append(own, required...)
		}
	}
}

// flatten returns a schema as clients get it.
func flatten(t *testing.T, name string) []byte {
	t.Helper()
	text, err := json.Marshal(load(name))
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}

// TestFlat compares flat/ with its sources.
func TestFlat(t *testing.T) {
	for name := range pairs() {
		file := "flat/" + name
		want := flatten(t, name)
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(file)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s differs from its source (%v); run go test ./schemas -update", file, err)
		}
	}
}

func pairs() map[string]reflect.Type {
	return map[string]reflect.Type{
		"process_start.input.json":   reflect.TypeFor[StartInput](),
		"process_output.input.json":  reflect.TypeFor[OutputInput](),
		"process_list.input.json":    reflect.TypeFor[ListInput](),
		"process_signal.input.json":  reflect.TypeFor[SignalInput](),
		"process_wait.input.json":    reflect.TypeFor[WaitInput](),
		"process_input.input.json":   reflect.TypeFor[InputInput](),
		"process_input.output.json":  reflect.TypeFor[OutputResult](),
		"process_wait.output.json":   reflect.TypeFor[WaitResult](),
		"process_start.output.json":  reflect.TypeFor[StartResult](),
		"process_output.output.json": reflect.TypeFor[OutputResult](),
		"process_list.output.json":   reflect.TypeFor[ListResult](),
		"process_signal.output.json": reflect.TypeFor[SignalResult](),
	}
}

func TestEverySchemaIsValidAndHasItsStruct(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		tool := strings.Contains(e.Name(), ".input.") || strings.Contains(e.Name(), ".output.")
		if goType, ok := pairs()[e.Name()]; ok != tool {
			t.Errorf("%s: is a tool's %v, has a struct %v", e.Name(), tool, ok)
		} else if ok {
			compare(t, e.Name(), load(e.Name()), goType)
		}
		c := jsonschema.NewCompiler()
		c.DefaultDraft(jsonschema.Draft2020)
		if err := c.AddResource("x.json", load(e.Name())); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Compile("x.json"); err != nil {
			t.Errorf("%s: %v", e.Name(), err)
		}
	}
}

// compare checks that a schema and a struct have the same properties of the same types,
// that each has a description, and that properties which the struct always has are
// required.
func compare(t *testing.T, where string, s schema, goType reflect.Type) {
	t.Helper()
	properties, _ := s["properties"].(schema)
	fields := map[string]reflect.StructField{}
	for _, f := range reflect.VisibleFields(goType) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			fields[name] = f
		}
	}
	if want, got := slices.Sorted(maps.Keys(properties)), slices.Sorted(maps.Keys(fields)); !slices.Equal(want, got) {
		t.Errorf("%s: the schema has %v, the struct %v", where, want, got)
	}
	required, _ := s["required"].([]any)
	for name, p := range properties {
		p := p.(schema)
		if p["description"] == nil {
			t.Errorf("%s: %s has no description", where, name)
		}
		f, ok := fields[name]
		if !ok {
			continue
		}
		kind, inner := jsonType(f.Type)
		if want, ok := p["type"].([]any); ok && f.Type.Kind() == reflect.Pointer {
			if want[0] != kind || want[1] != "null" {
				t.Errorf("%s: %s is %v, in Go %v", where, name, want, f.Type)
			}
		} else if p["type"] != kind {
			t.Errorf("%s: %s is %v, in Go %v", where, name, p["type"], f.Type)
		}
		if strings.Contains(where, ".output.json") && len(f.Index) == 1 {
			if omitted := strings.Contains(f.Tag.Get("json"), ",omit"); omitted == slices.Contains(required, any(name)) {
				t.Errorf("%s: %s: omitted when empty is %v, required is %v", where, name, omitted, !omitted)
			}
		}
		if items, ok := p["items"].(schema); ok && items["properties"] != nil {
			compare(t, where+" "+name, items, inner)
		} else if p["properties"] != nil {
			compare(t, where+" "+name, p, inner)
		}
	}
}

func jsonType(t reflect.Type) (kind string, inner reflect.Type) {
	switch {
	case t.Kind() == reflect.Pointer:
		return jsonType(t.Elem())
	case t.Kind() == reflect.Slice:
		return "array", t.Elem()
	case t.Kind() == reflect.String || t.String() == "time.Time":
		return "string", t
	case t.Kind() == reflect.Bool:
		return "boolean", t
	case t.Kind() == reflect.Map || t.Kind() == reflect.Struct:
		return "object", t
	}
	return "integer", t
}

func TestInputsRefuseUnknownArguments(t *testing.T) {
	for name := range pairs() {
		if s := load(name); strings.Contains(name, ".input.") && s["additionalProperties"] != false {
			t.Errorf("%s accepts unknown arguments", name)
		}
	}
}

func TestNoReferenceIsLeft(t *testing.T) {
	for name := range pairs() {
		if text := string(flatten(t, name)); strings.Contains(text, "$ref") || strings.Contains(text, "allOf") || strings.Contains(text, "anyOf") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func TestInt(t *testing.T) {
	for text, want := range map[string]Int{"5": 5, "5.0": 5, "5e2": 500, "-1": -1, "9007199254740993": 9007199254740993,
		"9223372036854775808": math.MaxInt64, "-1e300": math.MinInt64, "1e400": math.MaxInt64} {
		var i Int
		if err := json.Unmarshal([]byte(text), &i); err != nil || i != want {
			t.Errorf("%s: got %d, %v", text, i, err)
		}
	}
	for _, text := range []string{`"5"`, "5.5", "true"} {
		var i Int
		if err := json.Unmarshal([]byte(text), &i); err == nil {
			t.Errorf("%s: got %d", text, i)
		}
	}
}
