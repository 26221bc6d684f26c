//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/proctor-mcp/proctor/proctest"
)

// TestMain runs the tests, or bench itself if the first argument says so.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "bench" {
		os.Args = slices.Delete(os.Args, 1, 2)
		main()
		return
	}
	proctest.Main(m, func(tests func() int) int {
		defer func() {
			if program, err := built(); err == nil {
				os.RemoveAll(filepath.Dir(program))
			}
		}()
		return tests()
	})
}

// built returns Proctor, built once for all tests.
var built = sync.OnceValues(func() (program string, err error) {
	dir, err := os.MkdirTemp("", "proctor-bench-test-")
	if err != nil {
		return "", err
	}
	return build(context.Background(), dir)
})

// everyMetric is the number of rows in a report on Linux.
const everyMetric = 14

// bench starts the command. mark is in the environment of everything it starts.
func bench(t *testing.T, args ...string) (cmd *exec.Cmd, mark string, stdout, stderr *bytes.Buffer) {
	t.Helper()
	_, token := proctest.Sleeper()
	mark = "BENCH_TEST=" + token
	cmd = exec.CommandContext(t.Context(), os.Args[0], append([]string{"bench"}, args...)...)
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), mark), stdout, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, mark, stdout, stderr
}

// marked counts the processes that have mark in their environment and whose program
// has a name that begins with program.
func marked(mark, program string) (n int) {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, environ := range environs {
		env, _ := os.ReadFile(environ)
		line, _ := os.ReadFile(filepath.Dir(environ) + "/cmdline")
		if bytes.Contains(env, []byte(mark)) && strings.HasPrefix(filepath.Base(string(line)), program) {
			n++
		}
	}
	return n
}

func TestBenchReportsEverythingAsJSON(t *testing.T) {
	t.Parallel()
	program, err := built()
	if err != nil {
		t.Fatal(err)
	}
	cmd, mark, stdout, stderr := bench(t, "-program", program, "-rounds", "1", "-n", "1", "-json", "--", "--kill-domain", "process_group")
	if err := cmd.Wait(); err != nil || stderr.Len() > 0 {
		t.Fatalf("%v: %s", err, stderr)
	}
	if n := marked(mark, ""); n > 0 {
		t.Errorf("%d processes live on", n)
	}
	var report struct {
		machine
		Results []row
	}
	if err := json.Unmarshal(stdout.Bytes(), &report); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	if !strings.HasPrefix(report.Version, "proctor ") || report.Kernel == "" || report.CPUs == 0 || time.Since(report.Date) > time.Hour ||
		report.KillDomain != "process_group" || report.Flags[len(report.Flags)-1] != "process_group" {
		t.Errorf("got %+v", report.machine)
	}
	if len(report.Results) != everyMetric {
		t.Errorf("%d rows, want %d", len(report.Results), everyMetric)
	}
	for _, r := range report.Results {
		if r.N < 1 || r.P50 <= 0 || r.Unit == "ms" != (r.P99 != nil) || r.P99 != nil && (*r.P95 < r.P50 || *r.P99 < *r.P95) {
			t.Errorf("got %+v", r)
		}
		if r.Unit == "MiB" && (r.P50 < 2 || r.P50 > 200) || r.Unit == "threads" && r.P50 > 200 {
			t.Errorf("%s: %v %s", r.Metric, r.P50, r.Unit)
		}
	}
}

func TestBenchPrintsMarkdown(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(file, []byte("before\n<!-- bench -->\nold\n<!-- end of bench -->\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, mark, stdout, stderr := bench(t, "-rounds", "2", "-n", "1", "-write", file)
	if err := cmd.Wait(); err != nil || stderr.Len() > 0 {
		t.Fatalf("%v: %s", err, stderr)
	}
	if n := marked(mark, ""); n > 0 {
		t.Errorf("%d processes live on", n)
	}
	page, err := os.ReadFile(file)
	if err != nil || stdout.Len() > 0 {
		t.Fatalf("%v, %s", err, stdout)
	}
	text, before := strings.CutPrefix(string(page), "before\n<!-- bench -->\n\n")
	text, after := strings.CutSuffix(text, "\n<!-- end of bench -->\nafter\n")
	if !before || !after {
		t.Errorf("got %s", page)
	}
	head, table, _ := strings.Cut(text, "\n\n")
	if !strings.HasPrefix(head, "    proctor ") || !strings.Contains(head, "kill domain ") {
		t.Errorf("got %q", head)
	}
	pattern := regexp.MustCompile(`^\| [^|]+ +\| +[\d.]+ +\| +([\d.]+)? *\| +([\d.]+)? *\| +\S+ +\| 2 +\|$`)
	lines := strings.Split(strings.TrimSpace(table), "\n")
	for i, line := range lines {
		if i >= 2 && !pattern.MatchString(line) {
			t.Errorf("not a row: %s", line)
		}
	}
	if len(lines) != 2+everyMetric {
		t.Errorf("got %d lines: %s", len(lines), table)
	}
}

func TestBenchEndsEverythingWhenItIsInterrupted(t *testing.T) {
	cmd, mark, stdout, stderr := bench(t)
	proctest.Within(t, "a benchmark runs", func() bool { return marked(mark, "sleep\x00") > 0 })
	cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err == nil || !strings.Contains(stderr.String(), "interrupted") || stdout.Len() > 0 {
		t.Errorf("%v: %s%s", err, stdout, stderr)
	}
	if n := marked(mark, ""); n > 0 {
		t.Errorf("%d processes live on", n)
	}
}

func TestPercentileIsTheNearestRank(t *testing.T) {
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[i] = i + 1
	}
	for _, c := range []struct {
		of   []int
		p    float64
		want int
	}{{hundred, 50, 50}, {hundred, 95, 95}, {hundred, 99, 99}, {[]int{7}, 50, 7}, {[]int{7}, 99, 7}, {[]int{1, 2}, 50, 1}, {[]int{1, 2, 3}, 50, 2}} {
		if got := percentile(c.of, c.p); got != c.want {
			t.Errorf("p%v of %d values is %d, want %d", c.p, len(c.of), got, c.want)
		}
	}
}

func TestMistakesAreNamed(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"fast"}, `"fast" is no flag; flags for the server follow --`},
		{[]string{"-rounds", "0"}, "-rounds is 0; it must be 1 to 100"},
		{[]string{"-n", "10001"}, "-n is 10001; it must be 1 to 10000"},
		{[]string{"-fast"}, "not defined: -fast"},
		{[]string{"-program", "/nonexistent/proctor"}, "cannot run /nonexistent/proctor version"},
		{[]string{"-rounds", "1", "-n", "1", "--", "--no-such-flag"}, "unknown flag: --no-such-flag"},
	} {
		var stdout bytes.Buffer
		if err := run(t.Context(), c.args, &stdout, io.Discard); err == nil || !strings.Contains(err.Error(), c.want) || stdout.Len() > 0 {
			t.Errorf("%q: got %v and %q, want %q", c.args, err, &stdout, c.want)
		}
	}
}

func TestHelpIsPrinted(t *testing.T) {
	var stdout bytes.Buffer
	if err := run(t.Context(), []string{"-help"}, &stdout, io.Discard); !errors.Is(err, flag.ErrHelp) || !strings.Contains(stdout.String(), "Usage: go run ./bench") || !strings.Contains(stdout.String(), "-rounds") {
		t.Errorf("got %v: %s", err, &stdout)
	}
}

// TestTheDocumentationHasEveryMetric compares the table in docs/performance.md with
// the report.
func TestTheDocumentationHasEveryMetric(t *testing.T) {
	page, err := os.ReadFile("../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	b := &benchmark{values: map[metric][]float64{}}
	for _, m := range metrics() {
		b.add(m.metric, 1)
	}
	rows := b.rows()
	for _, r := range rows {
		if !regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(string(r.Metric)) + ` +\|.*\| ` + regexp.QuoteMeta(r.Unit) + ` +\|`).Match(page) {
			t.Errorf("docs/performance.md has no row %q in %s", r.Metric, r.Unit)
		}
	}
	if len(rows) != everyMetric {
		t.Errorf("got %d rows, want %d", len(rows), everyMetric)
	}
}
