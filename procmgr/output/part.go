package output

import (
	"bytes"
	"strings"
)

// Part says which part of a stream to show, and how.
type Part struct {
	Filter Filter
	// Raw leaves control sequences and what was written over.
	Raw bool
	// Open says that more may be written: what is not whole at the end is left for
	// the next read.
	Open bool
}

// Shown is a part of a stream for a reader.
type Shown struct {
	Data   []byte // as it was written, less what does not pass the filter
	Text   string // the same, valid UTF-8; empty if Binary
	Binary bool
	Cursor int64 // where it begins
	Next   int64 // where the next one begins
	Gap    int64 // bytes between the cursor that was asked for and Cursor: no longer kept
	// Untagged is how many bytes of Data may have come from the other stream: it was
	// not kept whose they are.
	Untagged int64
	Cut      int64 // bytes cut from long lines
	More     bool  // there is more behind it
}

// From shows at most so many bytes from a cursor on, at least 256: exactly those
// if Part is Raw and of both streams. The same cursor gives the same bytes as long
// as they are kept.
func (s *Store) From(cursor int64, most int, part Part) Shown {
	c, parts := s.readParts(make([]byte, max(most, 256)), max(cursor, 0), part.Filter)
	total := s.Total()
	shown := Shown{Cursor: c.At, Next: c.Next, Gap: max(0, c.At-max(cursor, 0)), More: c.Next < total}
	if cursor > total {
		shown.Gap = 0
	}
	// A rune or a sequence at the edge waits for the rest, unless there is nothing
	// else.
	if part.Open || shown.More {
		if n := unfinished(c.Data); n < len(c.Data) || !shown.More {
			shown.Next -= int64(n)
		}
	}
	for _, p := range parts {
		keep := min(int64(len(p.data)), max(0, shown.Next-p.at))
		shown.Data = append(shown.Data, p.data[:keep]...)
		if p.untagged {
			shown.Untagged += keep
		}
	}
	shown.render(part)
	return shown
}

func (s *Shown) render(part Part) {
	if s.Binary = Binary(s.Data); s.Binary {
		return
	}
	text := s.Data
	if !part.Raw {
		text = Readable(text)
	}
	s.Text = strings.ToValidUTF8(string(text), "\uFFFD")
}

const (
	// MaxTailLines is how many lines Tail gives at most.
	MaxTailLines = 1000
	// tailBytes is how far it looks back.
	tailBytes = 256 << 10
	// tailText is about how much text it gives.
	tailText = 32 << 10
)

// Tail shows the last lines, each cut at LineBytes: as many as were asked for, as
// are found in the last 256 KiB, and as fit into some 32 KiB.
func (s *Store) Tail(count int, part Part) Shown {
	total := s.Total()
	from := max(0, total-tailBytes)
	c := s.Read(make([]byte, 1), from) // where it is kept
	shown := Shown{Cursor: total, Next: total}
	var texts []string
	var starts []int64
	var cut []int64
	size := 0
	first := c.At == from && from > 0 // the first line found has lost its beginning
	for l := range s.lines(c.At, part.Filter, nil) {
		if first {
			first = false
			continue
		}
		text := l.text
		if !l.ended && part.Open {
			text = text[:len(text)-unfinished(text)]
			shown.Next = l.at + int64(len(text))
			if len(text) == 0 {
				break
			}
		}
		if !part.Raw {
			text = lastState(bytes.TrimSuffix(text, []byte("\r")))
		}
		r := renderer{raw: true}
		r.lines(text, false)
		line := r.text()
		if l.ended {
			line += "\n"
		}
		texts, starts, cut = append(texts, line), append(starts, l.at), append(cut, r.omitted)
		size += len(line)
		for len(texts) > count || len(texts) > 1 && size > tailText {
			size -= len(texts[0])
			texts, starts, cut = texts[1:], starts[1:], cut[1:]
		}
	}
	shown.Text = strings.Join(texts, "")
	for _, n := range cut {
		shown.Cut += n
	}
	if len(starts) > 0 {
		shown.Cursor = starts[0]
	}
	if shown.Binary = Binary([]byte(shown.Text)); shown.Binary {
		shown.Text = ""
	}
	return shown
}
