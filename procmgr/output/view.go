package output

import (
	"bytes"
	"fmt"
	"strings"
)

// LineBytes is the length at which a shown line is cut. Stored lines are not cut.
const LineBytes = 2048

// View is the readable form of the beginning and the end of a stream.
type View struct {
	// Text is valid UTF-8. A run of bytes that are not UTF-8 is shown as one U+FFFD. A
	// rune is never cut.
	Text string
	// Cursor is the offset of the first byte that the view covers, Next the offset
	// behind the last. While the stream is open, a rune that is not whole yet is left
	// for the next view.
	Cursor, Next int64
	// Omitted is how many of the covered bytes Text does not show: those that are
	// Dropped, those between head and tail, and those cut from long lines.
	Omitted int64
	// Binary reports whether the covered bytes are not text. Text is of no use then.
	Binary bool
	// Dropped is how many of the first covered bytes are no longer kept, because a
	// Budget was exceeded. Text begins with a remark then.
	Dropped int64
}

// Original returns how many bytes the view covers, shown or not.
func (v View) Original() int64 { return v.Next - v.Cursor }

// Retained returns how many bytes Text shows.
func (v View) Retained() int64 { return v.Original() - v.Omitted }

const (
	// ViewHead and ViewTail are how many of the first and of the last bytes a view shows
	// at most.
	ViewHead = 16 << 10
	ViewTail = 16 << 10
)

// View shows the beginning and the end of the stream. open and raw are as in [Part].
func (s *Store) View(open, raw bool) View {
	head, tail, dropped, total := s.ends()
	r := renderer{raw: raw}
	if dropped > 0 {
		cut := continuation(head)
		head, dropped = head[cut:], dropped+int64(cut)
		r.omitted += dropped
		r.mark("%d bytes no longer kept: all output together reached a limit of the server", dropped)
	}
	if tail == nil {
		if open {
			head = head[:len(head)-unfinished(head)]
		}
		r.lines(head, dropped > 0)
		return View{Text: r.text(), Binary: Binary(head), Next: dropped + int64(len(head)), Omitted: r.omitted, Dropped: dropped}
	}

	gap := total - dropped - int64(len(head)+len(tail))
	cut := partialRune(head)
	head, gap = head[:len(head)-cut], gap+int64(cut)
	cut = continuation(tail)
	tail, gap = tail[cut:], gap+int64(cut)
	held := 0
	if open {
		held = unfinished(tail)
		tail = tail[:len(tail)-held]
	}

	r.lines(head, dropped > 0)
	r.omitted += gap
	r.mark("%d bytes omitted", gap)
	r.lines(tail, true)
	return View{Text: r.text(), Binary: Binary(head) || Binary(tail), Next: total - int64(held), Omitted: r.omitted, Dropped: dropped}
}

// ends returns copies of the beginning and the end of what is kept, how many bytes
// before that were dropped, and the total. If nothing lies between the two, head has
// all of it and tail is nil.
func (s *Store) ends() (head, tail []byte, dropped, total int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := min(ViewHead+ViewTail, s.total-s.base)
	whole := s.readLocked(make([]byte, most), s.base)
	if whole.At == s.base && whole.Next == s.total {
		return whole.Data, nil, s.base, s.total
	}
	head = whole.Data[:min(ViewHead, len(whole.Data))]
	from := max(s.total-ViewTail, s.base+int64(len(head)))
	last := s.readLocked(make([]byte, s.total-from), from)
	return head, last.Data, s.base, s.total
}

// renderer writes lines as they are shown.
type renderer struct {
	buf     bytes.Buffer
	raw     bool
	omitted int64 // bytes that are not shown
}

func (r *renderer) text() string { return strings.ToValidUTF8(r.buf.String(), "\uFFFD") }

// mark writes a remark on a line of its own.
func (r *renderer) mark(format string, args ...any) {
	if n := r.buf.Len(); n > 0 && r.buf.Bytes()[n-1] != '\n' {
		r.buf.WriteByte('\n')
	}
	fmt.Fprintf(&r.buf, "[… "+format+" …]\n", args...)
}

// lines writes p with its long lines cut. A long line keeps its beginning, which says
// most, unless that is missing already (afterGap): then it keeps its end.
func (r *renderer) lines(p []byte, afterGap bool) {
	for len(p) > 0 {
		line, rest, ended := bytes.Cut(p, []byte("\n"))
		p = rest
		if !r.raw {
			line = lastState(line)
		}
		switch over := len(line) - LineBytes; {
		case over <= 0:
			r.buf.Write(line)
		case afterGap:
			kept := line[over:]
			kept = kept[continuation(kept):]
			r.cut(len(line) - len(kept))
			r.buf.Write(kept)
		default:
			kept := line[:LineBytes]
			kept = kept[:len(kept)-partialRune(kept)]
			r.buf.Write(kept)
			r.cut(len(line) - len(kept))
		}
		if ended {
			r.buf.WriteByte('\n')
		}
		afterGap = false
	}
}

// cut writes a remark about n bytes that were cut from a line.
func (r *renderer) cut(n int) {
	r.omitted += int64(n)
	fmt.Fprintf(&r.buf, "[… %d bytes of this line cut …]", n)
}
