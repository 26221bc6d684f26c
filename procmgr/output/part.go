package output

import "strings"

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
	Gap    int64 // bytes between where it was to begin and Next that are no longer kept
	// Untagged is how many bytes of Data may have come from the other stream: it was
	// not kept whose they are.
	Untagged int64
	Cut      int64 // bytes cut from long lines
}

// From shows at most so many bytes from a cursor on, at least 256, and the cursor
// not beyond the end: exactly those if Part is Raw and of both streams. The same cursor gives the same bytes as long
// as they are kept.
func (s *Store) From(cursor int64, most int, part Part) Shown {
	c, parts := s.readParts(make([]byte, max(most, 256)), max(cursor, 0), part.Filter)
	shown := Shown{Cursor: c.At, Next: c.Next, Gap: max(0, c.At-max(cursor, 0))}
	// A rune or a sequence at the edge waits for the rest, unless there is nothing
	// else.
	more := c.Next < s.Total()
	if part.Open || more {
		if n := unfinished(c.Data); n < len(c.Data) || !more {
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

// shownLine is a line of a tail.
type shownLine struct {
	text    string
	at      int64 // offset of its first byte
	cut     int64 // bytes cut from it
	missing int64 // bytes that were missing before it
	binary  bool
}

// Tail shows the last lines, each cut at LineBytes: as many as were asked for, as
// are found in the last 256 KiB of what passes the filter, and as fit into some
// 32 KiB. Gap counts what is no
// longer kept of where it looked.
func (s *Store) Tail(count int, part Part) Shown {
	total := s.Total()
	from := s.lastBytes(tailBytes, total, part.Filter)
	kept := min(s.Read(make([]byte, 1), from).At, total) // from where on
	shown := Shown{Next: total}
	var last []shownLine
	size, enough := 0, false
	first := kept == from && from > 0 // the first line found has lost its beginning
	missing := int64(0)
	for l := range s.lines(kept, total, part.Filter, false) {
		if l.missing > 0 {
			missing += l.missing
			continue
		}
		if first {
			first = false
			continue
		}
		text := l.text
		if !l.ended && part.Open && l.after() == total {
			text = text[:len(text)-unfinished(text)]
			shown.Next = l.at + int64(len(text))
			if len(text) == 0 {
				break
			}
		}
		r := renderer{raw: part.Raw}
		r.lines(text, false)
		line := shownLine{r.text(), l.at, r.omitted, missing, Binary(text)}
		if l.ended {
			line.text += "\n"
		}
		last = append(last, line)
		size += len(line.text)
		for len(last) > count || len(last) > 1 && size > tailText {
			size, last, enough = size-len(last[0].text), last[1:], true
		}
	}
	var text strings.Builder
	for _, line := range last {
		text.WriteString(line.text)
		shown.Cut += line.cut
		shown.Binary = shown.Binary || line.binary
	}
	shown.Cursor = shown.Next
	if len(last) > 0 {
		shown.Cursor = last[0].at
	}
	shown.Gap = kept - from + missing
	if enough {
		shown.Gap = missing - last[0].missing
	}
	if !shown.Binary {
		shown.Text = text.String()
	}
	return shown
}

// lastBytes returns where the last so many bytes before an end begin that pass a
// filter, 0 if there are not so many.
func (s *Store) lastBytes(n, end int64, filter Filter) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.runs.split {
		if filter == OnlyStderr {
			return 0
		}
		return max(0, end-n)
	}
	for i := len(s.runs.list) - 1; i >= 0; i-- {
		r := s.runs.list[i]
		from := min(r.from, end)
		if filter.passes(r.stream) {
			if n <= end-from {
				return end - n
			}
			n -= end - from
		}
		end = from
	}
	return 0
}
