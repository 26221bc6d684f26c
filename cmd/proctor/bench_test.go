//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/proctor-mcp/proctor/proctest"
)

// everyMetric is what a report has on Linux, with its unit.
const everyMetric = 14

// bench starts proctor bench. What it starts has mark in its environment.
func bench(t *testing.T, args ...string) (cmd *exec.Cmd, mark string, stdout, stderr *bytes.Buffer) {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	_, token := proctest.Sleeper()
	mark = "BENCH_TEST=" + token
	cmd = exec.CommandContext(t.Context(), binary, append([]string{"bench"}, args...)...)
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), mark), stdout, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, mark, stdout, stderr
}

// marked counts the processes with mark in their environment that run a program.
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
	cmd, mark, stdout, stderr := bench(t, "--rounds", "1", "-n", "1", "--json", "--", "--kill-domain", "process_group")
	if err := cmd.Wait(); err != nil || stderr.Len() > 0 {
		t.Fatalf("%v: %s", err, stderr)
	}
	if n := marked(mark, ""); n > 0 {
		t.Errorf("%d processes are left", n)
	}
	var report struct {
		machine
		Results []benchRow
	}
	if err := json.Unmarshal(stdout.Bytes(), &report); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	if report.Version != version || report.Kernel == "" || report.CPUs == 0 || time.Since(report.Date) > time.Hour ||
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
	cmd, mark, stdout, stderr := bench(t, "--rounds", "2", "-n", "1")
	if err := cmd.Wait(); err != nil || stderr.Len() > 0 {
		t.Fatalf("%v: %s", err, stderr)
	}
	if n := marked(mark, ""); n > 0 {
		t.Errorf("%d processes are left", n)
	}
	head, table, _ := strings.Cut(stdout.String(), "\n\n")
	if !strings.HasPrefix(head, "proctor "+version+", go") || !strings.Contains(head, "kill domain ") {
		t.Errorf("got %q", head)
	}
	row := regexp.MustCompile(`^\| [^|]+ +\| +[\d.]+ +\| +([\d.]+)? *\| +([\d.]+)? *\| +\S+ +\| 2 +\|$`)
	lines := strings.Split(strings.TrimSpace(table), "\n")
	for i, line := range lines {
		if i >= 2 && !row.MatchString(line) {
			t.Errorf("not a row: %s", line)
		}
	}
	if len(lines) != 2+everyMetric {
		t.Errorf("got %d lines: %s", len(lines), table)
	}
}

func TestBenchEndsEverythingWhenItIsInterrupted(t *testing.T) {
	cmd, mark, stdout, stderr := bench(t)
	proctest.Within(t, "it runs something", func() bool { return marked(mark, "sleep\x00") > 0 })
	cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err == nil || !strings.Contains(stderr.String(), "interrupted") || stdout.Len() > 0 {
		t.Errorf("%v: %s%s", err, stdout, stderr)
	}
	if n := marked(mark, ""); n > 0 {
		t.Errorf("%d processes are left", n)
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
