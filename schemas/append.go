package schemas

import (
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// A Result is what a tool gives. SetNotices adds what has ended unseen. AppendJSON
// appends JSON that means what encoding/json would make of it, which takes several
// times as long (only escapes differ): each answer is felt by who waits for it, and
// a list has up to a thousand processes.
type Result interface {
	AppendJSON(b []byte) []byte
	SetNotices([]string)
}

// AppendJSON implements [Result].
func (r *StartResult) AppendJSON(b []byte) []byte {
	b = r.ProcessOutput.appendFields(append(r.Process.appendFields(append(b, '{')), ','))
	b = strconv.AppendBool(append(r.Waited.appendFields(b), `,"attached":`...), r.Attached)
	b = strconv.AppendBool(append(b, `,"forgotten":`...), r.Forgotten)
	return append(r.Remarks.appendFields(b), '}')
}

// AppendJSON implements [Result].
func (r *OutputResult) AppendJSON(b []byte) []byte {
	b = r.ProcessOutput.appendFields(append(r.Process.appendFields(append(b, '{')), ','))
	b = r.Waited.appendFields(b)
	if r.Screen != nil {
		b = r.Screen.appendJSON(append(b, `,"screen":`...))
	}
	if r.GapBytes != 0 {
		b = strconv.AppendInt(append(b, `,"gap_bytes":`...), r.GapBytes, 10)
	}
	if r.UntaggedBytes != 0 {
		b = strconv.AppendInt(append(b, `,"untagged_bytes":`...), r.UntaggedBytes, 10)
	}
	if r.OutputBase64 != "" {
		b = appendString(append(b, `,"output_base64":`...), r.OutputBase64)
	}
	if r.Lines != nil {
		b = appendEach(append(b, `,"lines":`...), r.Lines, Line.appendJSON)
	}
	if r.SearchDone != nil {
		b = strconv.AppendBool(append(b, `,"search_done":`...), *r.SearchDone)
	}
	return append(r.Remarks.appendFields(b), '}')
}

// AppendJSON implements [Result].
func (r *ListResult) AppendJSON(b []byte) []byte {
	b = appendEach(append(b, `{"processes":`...), r.Processes, Process.appendJSON)
	b = appendString(append(b, `,"kill_domain":`...), r.KillDomain)
	b = appendInt(append(b, `,"omitted":`...), r.Omitted)
	return append(r.Remarks.appendFields(b), '}')
}

// AppendJSON implements [Result].
func (r *SignalResult) AppendJSON(b []byte) []byte {
	b = append(b, '{')
	if r.Process != nil { // it is running as the whole result is
		b = append(r.Process.appendFields(b), ',')
	}
	if r.Processes != nil {
		b = append(appendEach(append(b, `"processes":`...), r.Processes, Process.appendJSON), ',')
	}
	if r.Process == nil {
		b = append(strconv.AppendBool(append(b, `"running":`...), r.Running), ',')
	}
	b = appendString(append(b, `"kill_domain":`...), r.KillDomain)
	b = appendEach(append(b, `,"survivors":`...), r.Survivors, Survivor.appendJSON)
	return append(r.Remarks.appendFields(b), '}')
}

// AppendJSON implements [Result].
func (r *WaitResult) AppendJSON(b []byte) []byte {
	b = appendEach(append(b, `{"processes":`...), r.Processes, WaitedProcess.appendJSON)
	b = appendEach(append(b, `,"still_running":`...), r.StillRunning, quoted)
	return append(r.Remarks.appendFields(b), '}')
}

func (p WaitedProcess) appendJSON(b []byte) []byte {
	b = p.Waited.appendFields(p.Process.appendFields(append(b, '{')))
	b = appendString(append(b, `,"last_lines":`...), p.LastLines)
	b = strconv.AppendInt(append(b, `,"next_cursor":`...), p.NextCursor, 10)
	return append(b, '}')
}

func (w *Waited) appendFields(b []byte) []byte {
	if w.WaitResult != "" {
		b = appendString(append(b, `,"wait_result":`...), w.WaitResult)
	}
	if m := w.Matched; m != nil {
		b = appendString(append(b, `,"matched":{"text":`...), m.Text)
		b = strconv.AppendInt(append(b, `,"cursor":`...), m.Cursor, 10)
		b = append(strconv.AppendInt(append(b, `,"line":`...), m.Line, 10), '}')
	}
	return b
}

func (s *Screen) appendJSON(b []byte) []byte {
	b = appendString(append(b, `{"text":`...), s.Text)
	b = appendInt(append(b, `,"rows":`...), s.Rows)
	b = appendInt(append(b, `,"cols":`...), s.Cols)
	b = appendInt(append(b, `,"cursor_row":`...), s.CursorRow)
	b = appendInt(append(b, `,"cursor_col":`...), s.CursorCol)
	b = appendString(append(b, `,"title":`...), s.Title)
	b = strconv.AppendBool(append(b, `,"alternate":`...), s.Alternate)
	if s.MissingBytes != 0 {
		b = strconv.AppendInt(append(b, `,"missing_bytes":`...), s.MissingBytes, 10)
	}
	return append(b, '}')
}

func (l Line) appendJSON(b []byte) []byte {
	b = appendString(append(b, `{"text":`...), l.Text)
	b = strconv.AppendInt(append(b, `,"cursor":`...), l.Cursor, 10)
	b = strconv.AppendInt(append(b, `,"line":`...), l.Line, 10)
	b = strconv.AppendBool(append(b, `,"match":`...), l.Match)
	return append(b, '}')
}

func (s Survivor) appendJSON(b []byte) []byte {
	b = appendString(append(b, `{"process_id":`...), s.ProcessID)
	b = appendInt(append(b, `,"pid":`...), s.Pid)
	b = appendString(append(b, `,"command":`...), s.Command)
	b = appendString(append(b, `,"state":`...), s.State)
	return append(b, '}')
}

func (o *ProcessOutput) appendFields(b []byte) []byte {
	b = appendString(append(b, `"output":`...), o.Output)
	b = strconv.AppendInt(append(b, `,"cursor":`...), o.Cursor, 10)
	b = strconv.AppendInt(append(b, `,"next_cursor":`...), o.NextCursor, 10)
	b = strconv.AppendBool(append(b, `,"output_open":`...), o.OutputOpen)
	if x := o.Binary; x != nil {
		b = appendString(append(b, `,"binary":{"kind":`...), x.Kind)
		b = append(strconv.AppendInt(append(b, `,"bytes":`...), x.Bytes, 10), '}')
	}
	if t := o.Truncated; t != nil {
		b = strconv.AppendInt(append(b, `,"truncated":{"original_bytes":`...), t.OriginalBytes, 10)
		b = strconv.AppendInt(append(b, `,"retained_bytes":`...), t.RetainedBytes, 10)
		b = strconv.AppendInt(append(b, `,"omitted_bytes":`...), t.OmittedBytes, 10)
		b = append(appendString(append(b, `,"strategy":`...), t.Strategy), '}')
	}
	return b
}

func (p Process) appendJSON(b []byte) []byte { return append(p.appendFields(append(b, '{')), '}') }

func (p *Process) appendFields(b []byte) []byte {
	b = appendString(append(b, `"process_id":`...), p.ProcessID)
	b = appendString(append(b, `,"command":`...), p.Command)
	b = appendString(append(b, `,"workdir":`...), p.Workdir)
	b = strconv.AppendBool(append(b, `,"background":`...), p.Background)
	b = appendString(append(b, `,"label":`...), p.Label)
	b = appendString(append(b, `,"state":`...), p.State)
	b = strconv.AppendBool(append(b, `,"running":`...), p.Running)
	b = appendOrNull(append(b, `,"exit_code":`...), p.ExitCode, appendInt)
	b = appendOrNull(append(b, `,"signal":`...), p.Signal, appendString)
	b = appendOrNull(append(b, `,"reason":`...), p.Reason, appendString)
	b = appendTime(append(b, `,"started_at":`...), p.StartedAt)
	b = appendOrNull(append(b, `,"exited_at":`...), p.ExitedAt, appendTime)
	b = strconv.AppendInt(append(b, `,"duration_ms":`...), p.DurationMS, 10)
	b = appendOrNull(append(b, `,"descendants":`...), p.Descendants, appendInt)
	b = strconv.AppendBool(append(b, `,"suspended":`...), p.Suspended)
	if p.WaitingForInput != "" {
		b = appendString(append(b, `,"waiting_for_input":`...), p.WaitingForInput)
	}
	if p.Usage != nil {
		b = p.Usage.appendJSON(append(b, `,"usage":`...))
	}
	if len(p.Ports) > 0 {
		b = appendEach(append(b, `,"ports":`...), p.Ports, Port.appendJSON)
	}
	if len(p.LimitsReached) > 0 {
		b = appendEach(append(b, `,"limits_reached":`...), p.LimitsReached, quoted)
	}
	return b
}

func (p Port) appendJSON(b []byte) []byte {
	b = appendInt(append(b, `{"port":`...), p.Port)
	b = appendString(append(b, `,"address":`...), p.Address)
	return append(b, '}')
}

func (u *Usage) appendJSON(b []byte) []byte {
	b = strconv.AppendInt(append(b, `{"user_ms":`...), u.UserMS, 10)
	b = strconv.AppendInt(append(b, `,"system_ms":`...), u.SystemMS, 10)
	b = strconv.AppendInt(append(b, `,"max_rss_bytes":`...), u.MaxRSSBytes, 10)
	if u.MaxMemoryBytes != 0 {
		b = strconv.AppendInt(append(b, `,"max_memory_bytes":`...), u.MaxMemoryBytes, 10)
	}
	if u.RSSBytes != nil {
		b = strconv.AppendInt(append(b, `,"rss_bytes":`...), *u.RSSBytes, 10)
	}
	if u.Processes != nil {
		b = appendInt(append(b, `,"processes":`...), *u.Processes)
	}
	return append(b, '}')
}

func appendOrNull[T any](b []byte, v *T, appendValue func([]byte, T) []byte) []byte {
	if v == nil {
		return append(b, "null"...)
	}
	return appendValue(b, *v)
}

// appendEach appends an array; a nil one is null.
func appendEach[T any](b []byte, values []T, appendValue func(T, []byte) []byte) []byte {
	if values == nil {
		return append(b, "null"...)
	}
	b = append(b, '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendValue(v, b)
	}
	return append(b, ']')
}

func quoted(s string, b []byte) []byte { return appendString(b, s) }

func (r *Remarks) appendFields(b []byte) []byte {
	if len(r.Notes) > 0 {
		b = appendEach(append(b, `,"notes":`...), r.Notes, quoted)
	}
	if len(r.Notices) > 0 {
		b = appendEach(append(b, `,"notices":`...), r.Notices, quoted)
	}
	return b
}

func appendInt(b []byte, n int) []byte { return strconv.AppendInt(b, int64(n), 10) }

func appendTime(b []byte, t time.Time) []byte {
	return append(t.AppendFormat(append(b, '"'), time.RFC3339Nano), '"')
}

// appendString appends s as a JSON string; what is not UTF-8 in it is replaced.
func appendString(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s) // the error is of what was replaced
	return b
}
