package tools

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/gabriel-vasile/mimetype"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/procmgr/output"
	"github.com/proctor-mcp/proctor/schemas"
)

const (
	defaultMaxBytes   = 32 << 10
	defaultMaxMatches = 20
)

// checkPart returns an error if a call asks for parts that do not go together.
func checkPart(in *schemas.OutputInput) error {
	parts := 0
	for _, asked := range []bool{in.Cursor != nil && in.WaitFor == nil, in.TailLines > 0, in.Search != nil, in.Screen} {
		if asked {
			parts++
		}
	}
	switch {
	case parts > 1 || in.Cursor != nil && (in.TailLines > 0 || in.Search != nil || in.Screen):
		return invalid("cursor, tail_lines, search, screen: got more than one, must be at most one of them")
	case in.Base64 && in.Cursor == nil:
		return invalid("base64: goes with cursor, which is missing")
	case in.MaxBytes != nil && in.Cursor == nil:
		return invalid("max_bytes: goes with cursor, which is missing")
	case in.Stream != "" && in.Cursor == nil && in.TailLines == 0 && in.Search == nil:
		return invalid("stream: goes with cursor, tail_lines or search, which are missing")
	}
	return nil
}

// checkKept returns an error if a process does not have what a call asks for.
func checkKept(in *schemas.OutputInput, h procmgr.Handle) error {
	total := h.Output().Total()
	switch {
	case in.Stream != "" && !h.Facts().Split:
		return invalid("stream: this process was not started with split, so it is not known which stream a line came from. Leave it out, or start the process again with split")
	case in.Cursor != nil && int64(*in.Cursor) > total:
		return invalid("cursor: got %d, must be at most %d, the end of the output", *in.Cursor, total)
	case in.Search != nil && int64(in.Search.Cursor) > total:
		return invalid("search.cursor: got %d, must be at most %d, the end of the output", in.Search.Cursor, total)
	}
	return nil
}

// readPart fills in the part of the output that a call asks for, and returns it as
// text. A search calls pause now and then, and stops if that returns false.
func readPart(r *schemas.OutputResult, in *schemas.OutputInput, out output.Reader, p procmgr.Process, pause func() bool) (text string, err error) {
	part := output.Part{Raw: in.StripANSI != nil && !*in.StripANSI, Open: p.OutputOpen && p.State.Running()}
	switch in.Stream {
	case "stdout":
		part.Filter = output.OnlyStdout
	case "stderr":
		part.Filter = output.OnlyStderr
	}
	switch {
	case in.Search != nil:
		return search(r, in.Search, out, part, pause)
	case in.TailLines > 0:
		tail := out.Tail(int(in.TailLines), part)
		if omitted := tail.Cursor + tail.Cut; omitted > 0 && !tail.Binary {
			r.Truncated = &schemas.Truncated{OriginalBytes: tail.Next, RetainedBytes: tail.Next - omitted, OmittedBytes: omitted, Strategy: "tail"}
		}
		if tail.Binary { // it has no lines, so Tail returned no data
			tail.Data = out.From(tail.Cursor, int(tail.Next-tail.Cursor), part).Data
		}
		return shownPart(r, tail, false, tail.Next, "(no lines)"), nil
	case in.Cursor != nil:
		most := defaultMaxBytes
		if in.MaxBytes != nil {
			most = int(*in.MaxBytes)
		}
		nothing := fmt.Sprintf("Nothing new after cursor %d.", *in.Cursor)
		return shownPart(r, out.From(int64(*in.Cursor), most, part), in.Base64, out.Total(), nothing), nil
	}
	view := out.View(part.Open, part.Raw)
	r.ProcessOutput = outputOf(p, view)
	if view.Binary {
		first := out.From(0, 4096, part)
		r.Output, r.Truncated, r.Binary = "", nil, &schemas.Binary{Kind: mimeType(first.Data), Bytes: view.Original()}
		return binaryWords(r.Binary), nil
	}
	return r.Output, nil
}

func shownPart(r *schemas.OutputResult, s output.Shown, asBase64 bool, total int64, nothing string) string {
	r.Output, r.Cursor, r.NextCursor = s.Text, s.Cursor, s.Next
	r.GapBytes, r.UntaggedBytes = s.Gap, s.Untagged
	var head strings.Builder
	if s.Gap > 0 {
		fmt.Fprintf(&head, "[… %d bytes are no longer kept …]\n", s.Gap)
	}
	if s.Untagged > 0 {
		fmt.Fprintf(&head, "[… the stream of %d bytes is no longer known …]\n", s.Untagged)
	}
	switch {
	case asBase64:
		// A decoder begins at the beginning, so remarks stand behind the data.
		r.Output, r.OutputBase64 = "", base64.StdEncoding.EncodeToString(s.Data)
		said := head.String()
		head.Reset()
		head.WriteString(r.OutputBase64)
		if said != "" {
			head.WriteString("\n" + strings.TrimSuffix(said, "\n"))
		}
	case s.Binary:
		r.Binary = &schemas.Binary{Kind: mimeType(s.Data), Bytes: int64(len(s.Data))}
		head.WriteString(binaryWords(r.Binary))
	case s.Next == s.Cursor:
		head.WriteString(nothing)
	default:
		head.WriteString(s.Text)
	}
	if s.Next < total {
		fmt.Fprintf(&head, "\n[… bytes %d to %d of %d; go on with cursor %d …]", s.Cursor, s.Next, total, s.Next)
	}
	return head.String()
}

func search(r *schemas.OutputResult, in *schemas.Search, out output.Reader, part output.Part, pause func() bool) (string, error) {
	pattern, err := output.CompilePattern(in.Pattern, in.IgnoreCase)
	if err != nil {
		return "", invalid("search.pattern: got %s, must be an RE2 pattern: %s", quoteShort(in.Pattern), excerpt(err.Error()))
	}
	q := output.Search{
		Pattern: pattern, Filter: part.Filter, Raw: part.Raw, Cursor: int64(in.Cursor),
		Before: int(in.Before), After: int(in.After), MaxMatches: defaultMaxMatches, Pause: pause,
	}
	if in.MaxMatches != nil {
		q.MaxMatches = int(*in.MaxMatches)
	}
	found := out.Search(q)
	r.Cursor, r.NextCursor, r.GapBytes, r.SearchDone = q.Cursor, found.Next, found.Gap, &found.Done
	r.Lines = []schemas.Line{}
	var text strings.Builder
	for i, l := range found.Lines {
		r.Lines = append(r.Lines, schemas.Line{Text: l.Text, Cursor: l.Cursor, Line: l.Number, Match: l.Match})
		if i > 0 && l.Number > found.Lines[i-1].Number+1 && q.Before+q.After > 0 {
			text.WriteString("--\n")
		}
		// As grep does it: a colon behind a match, a dash behind the lines around it.
		mark := ":"
		if !l.Match {
			mark = "-"
		}
		number := "?"
		if l.Number > 0 {
			number = strconv.FormatInt(l.Number, 10)
		}
		fmt.Fprintf(&text, "%s@%d%s %s\n", number, l.Cursor, mark, asLine(l.Text))
	}
	switch {
	case !found.Done:
		fmt.Fprintf(&text, "%d found so far; go on with search.cursor %d.", found.Matches, found.Next)
	case found.Matches == 0:
		text.WriteString("Nothing found.")
	default:
		fmt.Fprintf(&text, "%d found (line@cursor).", found.Matches)
	}
	if found.Gap > 0 {
		fmt.Fprintf(&text, " %d bytes are no longer kept and were not looked at.", found.Gap)
	}
	return text.String(), nil
}

// mimeType returns the MIME type that bytes look like.
func mimeType(first []byte) string {
	kind := mimetype.Detect(first).String()
	if kind == "text/plain; charset=utf-8" { // the beginning is text, but not the rest
		return "application/octet-stream"
	}
	return kind
}

func binaryWords(b *schemas.Binary) string {
	return fmt.Sprintf("(%d bytes that are not text but %s; cursor with base64 gives them)", b.Bytes, b.Kind)
}
