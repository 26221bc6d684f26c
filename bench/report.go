package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// metric names what is measured, as the table shows it.
type metric string

const (
	metricStartUp   metric = "server start, until its tools are known"
	metricTrue      metric = "`true`, until its exit is known"
	metricStart     metric = "background start, until the answer"
	metricStart100  metric = "100 starts at once, until the last answer"
	metricKill      metric = "kill, until the exit is known"
	metricRead      metric = "read of 64 KiB of output"
	metricList1     metric = "list of 1 process"
	metricList100   metric = "list of 100 processes"
	metricList1000  metric = "list of 1,000 processes"
	metricFlood     metric = "256 MiB of output, until the exit is known"
	metricFloodPeak metric = "peak memory of the server during that output"
	metricIdleRSS   metric = "memory of the idle server"
	metricChildRSS  metric = "memory of the server per idle process (of 500)"
	metricThreads   metric = "threads of the server with 500 idle processes"
)

// row is a row of the report. Only times have the higher percentiles: the other
// metrics have one value a round.
type row struct {
	Metric metric   `json:"metric"`
	P50    float64  `json:"p50"`
	P95    *float64 `json:"p95,omitempty"`
	P99    *float64 `json:"p99,omitempty"`
	Unit   string   `json:"unit"`
	N      int      `json:"n"`
}

const ms = "ms"

// measured is a metric with its unit.
type measured struct {
	metric metric
	unit   string
}

// metrics returns every metric, in the order of the report.
func metrics() []measured {
	return []measured{
		{metricStartUp, ms}, {metricTrue, ms}, {metricStart, ms}, {metricStart100, ms}, {metricKill, ms}, {metricRead, ms},
		{metricList1, ms}, {metricList100, ms}, {metricList1000, ms},
		{metricFlood, "MB/s"}, {metricFloodPeak, "MiB"}, {metricIdleRSS, "MiB"}, {metricChildRSS, "KiB"}, {metricThreads, "threads"},
	}
}

func (b *benchmark) rows() (rows []row) {
	for _, m := range metrics() {
		values := slices.Sorted(slices.Values(b.values[m.metric]))
		if len(values) == 0 {
			continue
		}
		r := row{Metric: m.metric, P50: percentile(values, 50), Unit: m.unit, N: len(values)}
		if m.unit == ms {
			p95, p99 := percentile(values, 95), percentile(values, 99)
			r.P95, r.P99 = &p95, &p99
		}
		rows = append(rows, r)
	}
	return rows
}

// percentile returns the nearest rank: the smallest of the sorted values such that
// at least p percent of them are no larger.
func percentile[T any](sorted []T, p float64) T {
	return sorted[max(0, int(math.Ceil(float64(len(sorted))*p/100))-1)]
}

// machine is the server that was measured, and the machine it ran on.
type machine struct {
	Version    string    `json:"version"` // what proctor version prints
	Kernel     string    `json:"kernel,omitempty"`
	CPU        string    `json:"cpu,omitempty"`
	CPUs       int       `json:"cpus"`
	KillDomain string    `json:"kill_domain"`
	Flags      []string  `json:"flags"` // the server's
	Date       time.Time `json:"date"`
}

func (b *benchmark) machine() machine {
	m := machine{
		Version: b.version,
		CPUs:    runtime.NumCPU(), KillDomain: b.killDomain, Flags: b.argv[2:], Date: time.Now().UTC().Truncate(time.Second),
	}
	// Without /proc these two stay unknown.
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	m.Kernel = strings.TrimSpace(string(release))
	cpus, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(cpus)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	return m
}

func (b *benchmark) printJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		machine
		Results []row `json:"results"`
	}{b.machine(), b.rows()})
}

func (b *benchmark) printTable(w io.Writer) error {
	m := b.machine()
	const indent = "    " // a code block in Markdown
	fmt.Fprintf(w, indent+"%s", m.Version)
	if m.Kernel != "" {
		fmt.Fprintf(w, ", kernel %s", m.Kernel)
	}
	fmt.Fprintf(w, "\n"+indent+"%d CPUs", m.CPUs)
	if m.CPU != "" {
		fmt.Fprintf(w, ", %s", m.CPU)
	}
	fmt.Fprintf(w, "\n"+indent+"kill domain %s, proctor stdio %s\n"+indent+"%s\n\n", m.KillDomain, strings.Join(m.Flags, " "), m.Date.Format(time.RFC3339))

	table := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	fmt.Fprint(table, "| metric\t| p50\t| p95\t| p99\t| unit\t| n\t|\n|---\t|---:\t|---:\t|---:\t|---\t|---:\t|\n")
	for _, r := range b.rows() {
		p95, p99 := "", ""
		if r.P95 != nil {
			p95, p99 = figure(*r.P95), figure(*r.P99)
		}
		fmt.Fprintf(table, "| %s\t| %s\t| %s\t| %s\t| %s\t| %d\t|\n", r.Metric, figure(r.P50), p95, p99, r.Unit, r.N)
	}
	return table.Flush()
}

// figure writes a number with three significant digits. It never cuts the integer
// part, and gives an integer no decimals.
func figure(x float64) string {
	digits := 0
	for limit := 100.0; x != math.Trunc(x) && math.Abs(x) < limit && digits < 3; limit /= 10 {
		digits++
	}
	return fmt.Sprintf("%.*f", digits, x)
}

// writeTable replaces what stands between two marks in a file by the table.
func (b *benchmark) writeTable(file string) error {
	const begin, end = "<!-- bench -->\n", "<!-- end of bench -->\n"
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(text), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		return fmt.Errorf("%s has no lines %q and %q", file, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	var table strings.Builder
	if err := b.printTable(&table); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(before+begin+"\n"+table.String()+"\n"+end+after), 0o644)
}
