package output

import "strings"

// Part is how to show a part of a stream.
type Part struct {
	Filter Filter
	// Raw shows control sequences, and text that other text was written over.
	Raw bool
	// Open means that more may be written: a rune or a control sequence that is not
	// whole at the end is left for the next read.
	Open bool
}

// Shown is a part of a stream to be read.
type Shown struct {
	Data   []byte // as it was written, without what the filter excludes
	Text   string // the same as valid UTF-8; empty if Binary
	Binary bool   // Data is not text
	Cursor int64  // offset where the part begins
	Next   int64  // offset where the next part begins
	Gap    int64  // bytes that were asked for, lie before Next and are no longer kept
	// Untagged is how many bytes of Data may have come from the other stream: it is no
	// longer known which they came from.
	Untagged int64
	Cut      int64 // bytes cut from long lines
}

// From shows at most so many bytes, and at least 256, from an offset on that is not
// beyond the end. The same offset gives the same bytes as long as they are kept.
func (s *Store) From(cursor int64, most int, part Part) Shown {
	c, parts := s.readParts(make([]byte, max(most, 256)), max(cursor, 0), part.Filter)
	shown := Shown{Cursor: c.At, Next: c.Next, Gap: max(0, c.At-max(cursor, 0))}
	// A rune or a control sequence at the end waits for its rest, unless there is nothing
	// else to show.
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
	// MaxTailLines is how many lines Tail shows at most.
	MaxTailLines = 1000
	// tailBytes is how many bytes before the end Tail looks for lines.
	tailBytes = 256 << 10
	// tailText is about how many bytes of text Tail shows.
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

// Tail shows the last lines, each cut at LineBytes: at most count, those in the last
// 256 KiB that pass the filter, and as many as fit into about 32 KiB of text.
func (s *Store) Tail(count int, part Part) Shown {
	total := s.Total()
	from := s.lastBytes(tailBytes, total, part.Filter)
	kept := min(s.Read(make([]byte, 1), from).At, total) // offset of the first byte that is kept
	shown := Shown{Next: total}
	var last []shownLine
	size, enough := 0, false
	first := kept == from && from > 0 // the first line found lacks its beginning
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

// lastBytes returns the offset at which the last n bytes before end begin that pass a
// filter, or 0 if there are not so many.
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
