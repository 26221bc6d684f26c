package schemas

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
)

// StartInput holds the arguments of process_start.
type StartInput struct {
	Command    string            `json:"command"`
	Workdir    string            `json:"workdir"`
	Env        map[string]string `json:"env"`
	Background bool              `json:"background"`
	WaitMS     *Int              `json:"wait_ms"`
	TimeoutMS  Int               `json:"timeout_ms"`
	WaitFor    *WaitFor          `json:"wait_for"`
	Stdin      *string           `json:"stdin"`
	KeepStdin  bool              `json:"keep_stdin"`
	TTY        *TTY              `json:"tty"`
	TailLines  Int               `json:"tail_lines"`
	Split      bool              `json:"split"`
	Label      string            `json:"label"`
	RequestID  string            `json:"request_id"`
}

// TTY is the terminal that a process is started in.
type TTY struct {
	Rows *Int `json:"rows"`
	Cols *Int `json:"cols"`
}

// InputInput holds the arguments of process_input. Its result is an OutputResult.
type InputInput struct {
	ProcessID string   `json:"process_id"`
	Text      string   `json:"text"`
	Keys      []string `json:"keys"`
	EOF       bool     `json:"eof"`
	Rows      Int      `json:"rows"`
	Cols      Int      `json:"cols"`
	WaitMS    *Int     `json:"wait_ms"`
	WaitFor   *WaitFor `json:"wait_for"`
	Screen    bool     `json:"screen"`
}

// OutputInput holds the arguments of process_output.
type OutputInput struct {
	ProcessID string   `json:"process_id"`
	WaitMS    *Int     `json:"wait_ms"`
	WaitFor   *WaitFor `json:"wait_for"`
	Cursor    *Int     `json:"cursor"`
	MaxBytes  *Int     `json:"max_bytes"`
	TailLines Int      `json:"tail_lines"`
	Search    *Search  `json:"search"`
	Screen    bool     `json:"screen"`
	Stream    string   `json:"stream"`
	StripANSI *bool    `json:"strip_ansi"`
	Base64    bool     `json:"base64"`
}

// Search selects the lines that process_output shows.
type Search struct {
	Pattern    string `json:"pattern"`
	IgnoreCase bool   `json:"ignore_case"`
	Before     Int    `json:"before"`
	After      Int    `json:"after"`
	MaxMatches *Int   `json:"max_matches"`
	Cursor     Int    `json:"cursor"`
}

// WaitFor is what ends a wait: any one of its fields.
type WaitFor struct {
	OutputMatches string `json:"output_matches"`
	PortOpen      Int    `json:"port_open"`
	HTTPOK        string `json:"http_ok"`
	IdleMS        Int    `json:"idle_ms"`
	NewOutput     bool   `json:"new_output"`
}

// WaitInput holds the arguments of process_wait.
type WaitInput struct {
	ProcessIDs []string `json:"process_ids"`
	Mode       string   `json:"mode"`
	WaitMS     *Int     `json:"wait_ms"`
	WaitFor    *WaitFor `json:"wait_for"`
}

// ListInput holds the arguments of process_list.
type ListInput struct {
	State string `json:"state"`
	Limit *Int   `json:"limit"`
	Usage bool   `json:"usage"`
}

// SignalInput holds the arguments of process_signal.
type SignalInput struct {
	ProcessID string `json:"process_id"`
	All       bool   `json:"all"`
	Signal    string `json:"signal"`
	GraceMS   *Int   `json:"grace_ms"`
	WaitMS    *Int   `json:"wait_ms"`
}

// Process describes a process.
type Process struct {
	ProcessID   string     `json:"process_id"`
	Command     string     `json:"command"`
	Workdir     string     `json:"workdir"`
	Background  bool       `json:"background"`
	Label       string     `json:"label"`
	State       string     `json:"state"`
	Running     bool       `json:"running"`
	ExitCode    *int       `json:"exit_code"`
	Signal      *string    `json:"signal"`
	Reason      *string    `json:"reason"`
	StartedAt   time.Time  `json:"started_at"`
	ExitedAt    *time.Time `json:"exited_at"`
	DurationMS  int64      `json:"duration_ms"`
	Descendants *int       `json:"descendants"`
	Suspended   bool       `json:"suspended"`
	Usage       *Usage     `json:"usage,omitempty"`

	WaitingForInput string `json:"waiting_for_input,omitempty"`

	Ports         []Port   `json:"ports,omitempty"`
	LimitsReached []string `json:"limits_reached,omitempty"`
}

// Port is a TCP port that a process listens on.
type Port struct {
	Port    int    `json:"port"`
	Address string `json:"address"`
}

// Usage is what a process has used.
type Usage struct {
	UserMS      int64 `json:"user_ms"`
	SystemMS    int64 `json:"system_ms"`
	MaxRSSBytes int64 `json:"max_rss_bytes"`

	MaxMemoryBytes int64  `json:"max_memory_bytes,omitempty"`
	RSSBytes       *int64 `json:"rss_bytes,omitempty"`
	Processes      *int   `json:"processes,omitempty"`
}

// ProcessOutput is what a process wrote.
type ProcessOutput struct {
	Output     string     `json:"output"`
	Cursor     int64      `json:"cursor"`
	NextCursor int64      `json:"next_cursor"`
	OutputOpen bool       `json:"output_open"`
	Binary     *Binary    `json:"binary,omitempty"`
	Truncated  *Truncated `json:"truncated,omitempty"`
}

// Binary describes an output that is not text.
type Binary struct {
	Kind  string `json:"kind"`
	Bytes int64  `json:"bytes"`
}

// Waited is how a wait ended.
type Waited struct {
	WaitResult string   `json:"wait_result,omitempty"`
	Matched    *Matched `json:"matched,omitempty"`
}

// Matched is a line that ended a wait.
type Matched struct {
	Text   string `json:"text"`
	Cursor int64  `json:"cursor"`
	Line   int64  `json:"line"`
}

// Line is a line that a search has found, or one before or after it.
type Line struct {
	Text   string `json:"text"`
	Cursor int64  `json:"cursor"`
	Line   int64  `json:"line"`
	Match  bool   `json:"match"`
}

// Remarks are what every result can say beside its facts.
type Remarks struct {
	Notes   []string `json:"notes,omitempty"`
	Notices []string `json:"notices,omitempty"`
}

// SetNotices sets the notices: one line for each process that has ended and that
// no answer has reported yet.
func (r *Remarks) SetNotices(list []string) { r.Notices = list }

// A Result is the result of any tool.
type Result interface{ SetNotices([]string) }

// Truncated says how much an output does not show.
type Truncated struct {
	OriginalBytes int64  `json:"original_bytes"`
	RetainedBytes int64  `json:"retained_bytes"`
	OmittedBytes  int64  `json:"omitted_bytes"`
	Strategy      string `json:"strategy"`
}

// StartResult is the result of process_start.
type StartResult struct {
	Process
	ProcessOutput
	Waited
	Remarks
	Attached  bool `json:"attached"`
	Forgotten bool `json:"forgotten"`
}

// OutputResult is the result of process_output.
type OutputResult struct {
	Process
	ProcessOutput
	Waited
	Remarks
	Screen        *Screen `json:"screen,omitempty"`
	GapBytes      int64   `json:"gap_bytes,omitempty"`
	UntaggedBytes int64   `json:"untagged_bytes,omitempty"`
	OutputBase64  string  `json:"output_base64,omitempty"`
	Lines         []Line  `json:"lines,omitzero"`
	SearchDone    *bool   `json:"search_done,omitempty"`
}

// Screen is what a terminal shows.
type Screen struct {
	Text         string `json:"text"`
	Rows         int    `json:"rows"`
	Cols         int    `json:"cols"`
	CursorRow    int    `json:"cursor_row"`
	CursorCol    int    `json:"cursor_col"`
	Title        string `json:"title"`
	Alternate    bool   `json:"alternate"`
	MissingBytes int64  `json:"missing_bytes,omitempty"`
}

// ListResult is the result of process_list.
type ListResult struct {
	Remarks
	Processes  []Process `json:"processes"`
	KillDomain string    `json:"kill_domain"`
	Omitted    int       `json:"omitted"`
}

// SignalResult is the result of process_signal: the one process, or Processes.
type SignalResult struct {
	*Process
	Processes  []Process  `json:"processes,omitzero"`
	Running    bool       `json:"running"`
	KillDomain string     `json:"kill_domain"`
	Survivors  []Survivor `json:"survivors"`
	Remarks
}

// WaitResult is the result of process_wait.
type WaitResult struct {
	Remarks
	Processes    []WaitedProcess `json:"processes"`
	StillRunning []string        `json:"still_running"`
}

// WaitedProcess is a process that was waited for.
type WaitedProcess struct {
	Process
	Waited
	LastLines  string `json:"last_lines"`
	NextCursor int64  `json:"next_cursor"`
}

// Survivor is a process that a signal did not end.
type Survivor struct {
	ProcessID string `json:"process_id"`
	Pid       int    `json:"pid"`
	Command   string `json:"command"`
	State     string `json:"state"`
}

// Int is an integer as JSON Schema sees one: 5, 5.0 and 5e0 are the same.
type Int int64

// UnmarshalJSON implements json.Unmarshaler.
func (i *Int) UnmarshalJSON(text []byte) error {
	if n, err := strconv.ParseInt(string(text), 10, 64); err == nil {
		*i = Int(n)
		return nil
	}
	if string(text) == "null" {
		return nil // by convention of json.Unmarshaler
	}
	f, err := strconv.ParseFloat(string(text), 64)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange): // out of range f is infinite
		return fmt.Errorf("%s is not a number", text)
	case f != math.Trunc(f):
		return fmt.Errorf("%s is not an integer", text)
	case f >= math.MaxInt64: // the schema refuses such numbers
		*i = math.MaxInt64
	case f <= math.MinInt64:
		*i = math.MinInt64
	default:
		*i = Int(f)
	}
	return nil
}
