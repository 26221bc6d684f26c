package tools

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/procmgr/output"
	"github.com/proctor-mcp/proctor/schemas"
)

// encode returns a result as JSON. Unlike json.Marshal it leaves < and > as they
// are: a command and its output have many, and nothing here becomes HTML.
func encode(result schemas.Result) json.RawMessage {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(result); err != nil {
		panic(err) // results hold nothing that cannot be encoded
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n"))
}

// process returns a process in the terms of the schema.
func process(p procmgr.Process) schemas.Process {
	s := schemas.Process{
		ProcessID: p.ID, Command: p.Command, Workdir: p.Dir, Background: p.Background, Label: p.Label,
		State: string(p.State), Running: p.State.Running(),
		StartedAt: p.StartedAt.UTC().Round(0), DurationMS: age(p).Milliseconds(),
		Suspended: p.Suspended, WaitingForInput: string(p.WaitsForInput),
	}
	if p.Descendants != procmgr.Unknown {
		s.Descendants = &p.Descendants
	}
	if s.Running {
		return s
	}
	reason, at := string(p.Exit.Reason), p.Exit.At.UTC().Round(0)
	s.Reason, s.ExitedAt = &reason, &at
	if p.Exit.Signal != "" {
		s.Signal = &p.Exit.Signal
	} else {
		s.ExitCode = &p.Exit.Code
	}
	s.Usage = usage(p.Exit.Usage)
	for _, l := range p.Exit.Limits {
		s.LimitsReached = append(s.LimitsReached, string(l))
	}
	return s
}

func usage(u procmgr.Usage) *schemas.Usage {
	return &schemas.Usage{
		UserMS: u.User.Milliseconds(), SystemMS: u.System.Milliseconds(),
		MaxRSSBytes: u.MaxRSS, MaxMemoryBytes: u.MaxMemory,
	}
}

// listed is process with a command short enough for an answer that lists a thousand.
func listed(p procmgr.Process) schemas.Process {
	const most = 2048
	if len(p.Command) > most {
		p.Command = strings.ToValidUTF8(p.Command[:most], "") + "…"
	}
	return process(p)
}

// outputOf returns an output in the terms of the schema.
func outputOf(p procmgr.Process, v output.View) schemas.ProcessOutput {
	out := schemas.ProcessOutput{Output: v.Text, Cursor: v.Cursor, NextCursor: v.Next, OutputOpen: p.OutputOpen}
	strategy := "head_tail"
	if v.Dropped > 0 {
		strategy = "dropped"
	}
	if v.Omitted > 0 {
		out.Truncated = &schemas.Truncated{
			OriginalBytes: v.Original(), RetainedBytes: v.Retained(), OmittedBytes: v.Omitted, Strategy: strategy,
		}
	}
	return out
}

// headline returns the first lines of an answer: the state of the process, what to do
// next, and the remarks.
func headline(p procmgr.Process, out schemas.ProcessOutput, waited schemas.Waited, notes []string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "Process %s: %s.%s", p.ID, status(p), waitWords(waited))
	if p.State.Running() {
		if p.WaitsForInput != "" {
			text.WriteString(" It goes on; answer it with process_input, or end it with process_signal.")
		} else {
			text.WriteString(" It goes on; process_output waits for it, process_signal ends it.")
		}
	}
	if t := out.Truncated; t != nil {
		fmt.Fprintf(&text, " %d of %d bytes of output are shown.", t.RetainedBytes, t.OriginalBytes)
	}
	text.WriteByte('\n')
	writeNotes(&text, notes)
	return text.String()
}

func orNoOutput(text string) string {
	if text == "" {
		return "(no output)"
	}
	return "\n" + text
}

// status describes the state of a process in a few words.
func status(p procmgr.Process) string {
	var text string
	took := rounded(age(p))
	switch {
	case p.State.Running():
		text = fmt.Sprintf("%s for %s", p.State, took)
		if p.Suspended {
			text += ", suspended by a signal"
		}
		switch p.WaitsForInput {
		case procmgr.InputCertain:
			text += ", waiting for input"
		case procmgr.InputLikely:
			text += ", probably waiting for input"
		}
		return text
	case p.State == procmgr.StateLost:
		text = fmt.Sprintf("ended after %s, exit unknown", took)
	case p.Exit.Signal != "":
		text = fmt.Sprintf("ended by %s after %s", p.Exit.Signal, took)
	default:
		text = fmt.Sprintf("exited with code %d after %s", p.Exit.Code, took)
	}
	switch p.Exit.Reason {
	case procmgr.ReasonTimeout:
		text += " (timeout_ms reached)"
	case procmgr.ReasonRequested:
		text += " (as requested)"
	case procmgr.ReasonShutdown:
		text += " (the server shut down)"
	case procmgr.ReasonMemoryLimit:
		text += " (killed at --memory-limit of the server)"
	case procmgr.ReasonMemoryLimitPerScope:
		text += " (killed at --memory-limit-per-chat of the server)"
	default:
		for _, l := range p.Exit.Limits {
			text += fmt.Sprintf(" (--%s of the server was reached)", strings.ReplaceAll(string(l), "_", "-"))
		}
	}
	switch {
	case p.Descendants == procmgr.Unknown:
		text += "; whether descendants live on cannot be seen"
	case p.Descendants > 0:
		text += fmt.Sprintf("; of its descendants %d still live, process_signal ends them", p.Descendants)
	case p.OutputOpen:
		text += "; something else still holds its output open"
	}
	return text
}

func age(p procmgr.Process) time.Duration {
	if p.State.Running() {
		return max(0, p.At.Sub(p.StartedAt))
	}
	return max(0, p.Exit.At.Sub(p.StartedAt))
}

func rounded(d time.Duration) time.Duration {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond)
	case d < time.Minute:
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}

func writeNotes(text *strings.Builder, notes []string) {
	for _, note := range notes {
		text.WriteString("Note: " + note + "\n")
	}
}
