package screen

import (
	"io"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"
	"golang.org/x/text/runes"
	"golang.org/x/text/transform"
)

const (
	// headBytes and replayBytes are how much is replayed of the beginning of the output,
	// and of its end. At the beginning programs say how they use the screen.
	headBytes   = 16 << 10
	replayBytes = 512 << 10
	// replayTime is how long a replay may take.
	replayTime = time.Second
	// chunkBytes is how much is replayed between two looks at the clock. clamp limits the
	// work that they can cause.
	chunkBytes = 256
	// cellBytes is how much of one character is shown: a character can carry any number
	// of combining marks.
	cellBytes = 32
	// titleBytes is how much of a title is shown.
	titleBytes = 200
)

// Resize is the size, in characters, that the terminal has from an offset of the output
// on.
type Resize struct {
	At         int64
	Rows, Cols int
}

// Screen is what a terminal shows.
type Screen struct {
	// Text holds the rows, without trailing blanks and trailing empty rows. It is valid
	// UTF-8.
	Text       string
	Rows, Cols int
	// Row and Col are the position of the cursor, from 1.
	Row, Col int
	Title    string
	// Alternate reports whether the program uses the alternate screen, as editors and
	// pagers do.
	Alternate bool
	// CursorKeys reports whether the program has asked for the other codes of the cursor
	// keys (DECCKM): ESC O A instead of ESC [ A.
	CursorKeys bool
	// Played is the offset up to which the output is replayed. Missing is how many bytes
	// before the end were not: they were discarded, are too many, or took too long.
	Played, Missing int64
}

// Source reads output from an offset on into p. It returns how many bytes it has read and
// the offset of the first, which is a later one if the output there was discarded.
type Source func(p []byte, offset int64) (n int, at int64)

// Render returns what is on the screen after all output up to end. sizes are in the order
// of their offsets, at least one; the first holds from the start. A replay takes at most a
// second, without the time of the source; then Render returns what it has come to.
func Render(read Source, end int64, sizes []Resize) Screen {
	return render(read, end, sizes, replayTime)
}

func render(read Source, end int64, sizes []Resize, limit time.Duration) (s Screen) {
	first, last := sizes[0], sizes[len(sizes)-1]
	e := vt.NewEmulator(first.Cols, first.Rows)
	e.SetScrollbackSize(1)
	answered := make(chan struct{})
	go func() { // the emulator answers questions of the program, which nobody reads
		_, _ = io.Copy(io.Discard, e)
		close(answered)
	}()
	defer func() {
		// The emulator's own Close races with its Read.
		if answers, ok := e.InputPipe().(io.Closer); ok {
			answers.Close()
		}
		<-answered
		// Output that makes the emulator panic costs only this picture.
		if recover() != nil {
			s = Screen{Rows: last.Rows, Cols: last.Cols, Row: 1, Col: 1, Missing: end}
		}
	}()
	p := player{screen: e, read: read, sizes: sizes[1:]}
	p.in = transform.NewWriter(&clamp{out: e}, runes.ReplaceIllFormed())
	e.SetCallbacks(vt.Callbacks{
		Title:       func(title string) { s.Title = title },
		EnableMode:  func(m ansi.Mode) { s.CursorKeys = s.CursorKeys || m == ansi.ModeCursorKeys },
		DisableMode: func(m ansi.Mode) { s.CursorKeys = s.CursorKeys && m != ansi.ModeCursorKeys },
	})
	p.replay(end, limit)
	s.Played, s.Missing = p.played, p.missing
	s.Rows, s.Cols, s.Alternate = last.Rows, last.Cols, e.IsAltScreen()
	s.Title = strings.ToValidUTF8(s.Title[:min(len(s.Title), titleBytes)], "")
	at := e.CursorPosition()
	s.Row, s.Col = at.Y+1, at.X+1
	s.Text = text(e, last)
	return s
}

// text returns the rows of a screen.
func text(e *vt.Emulator, size Resize) string {
	var rows []string
	for y := range size.Rows {
		var row strings.Builder
		for x := range size.Cols {
			switch cell := e.CellAt(x, y); {
			case cell == nil || cell.Width > 0 && cell.Content == "":
				row.WriteByte(' ')
			case cell.Width > 0: // otherwise the second half of a wide character
				row.WriteString(strings.ToValidUTF8(cell.Content[:min(len(cell.Content), cellBytes)], ""))
			}
		}
		rows = append(rows, strings.TrimRight(row.String(), " "))
	}
	return strings.TrimRight(strings.Join(rows, "\n"), "\n")
}

// player replays output in an emulator.
type player struct {
	screen          *vt.Emulator
	read            Source
	sizes           []Resize // those after played
	played, missing int64
	// in leads to the screen. It keeps half a character until the rest comes, and replaces
	// bytes that are not UTF-8 by U+FFFD: they could be 8-bit controls, which clamp does
	// not know.
	in io.Writer
}

// replay replays the beginning and the end of the output before end, for at most the time
// that is left.
func (p *player) replay(end int64, left time.Duration) {
	buffer := make([]byte, chunkBytes)
	for tail := end - replayBytes; p.played < end && left > 0; {
		for len(p.sizes) > 0 && p.sizes[0].At <= p.played {
			p.resize()
		}
		if p.played >= headBytes && p.played < tail {
			p.missing += tail - p.played
			p.played = tail
			continue
		}
		stop := end
		if p.played < headBytes {
			stop = min(end, headBytes)
		}
		if len(p.sizes) > 0 {
			stop = min(stop, p.sizes[0].At)
		}
		n, at := p.read(buffer[:min(chunkBytes, stop-p.played)], p.played)
		if n == 0 {
			break
		}
		p.missing += at - p.played
		begin := time.Now()
		_, _ = p.in.Write(buffer[:n])
		left -= time.Since(begin)
		p.played = at + int64(n)
	}
	p.missing += end - p.played
	for len(p.sizes) > 0 {
		p.resize()
	}
}

// resize gives the screen its next size.
func (p *player) resize() {
	p.screen.Resize(p.sizes[0].Cols, p.sizes[0].Rows)
	p.sizes = p.sizes[1:]
}

// clamp cuts the numbers in control sequences to four digits: some of them say how often
// the terminal is to do something.
type clamp struct {
	out    io.Writer
	state  byte // 0 in text, 1 after ESC, 2 in a control sequence (ECMA-48, CSI)
	digits int  // of the present number
}

func (c *clamp) Write(p []byte) (int, error) {
	_, err := c.out.Write(c.text(p))
	return len(p), err
}

func (c *clamp) text(p []byte) []byte {
	const most = 4
	kept := p[:0]
	for _, b := range p {
		switch {
		case b == '\x1b':
			c.state = 1
		case b == '\x18' || b == '\x1a': // CAN and SUB end a sequence
			c.state = 0
		case c.state > 0 && (b < ' ' || b == '\x7f'):
			continue // a terminal obeys these at once, in the middle of a sequence
		case c.state == 1 && b == '[':
			c.state, c.digits = 2, 0
		case c.state == 1:
			c.state = 0
		case c.state == 2 && '0' <= b && b <= '9':
			if c.digits++; c.digits > most {
				continue
			}
		case c.state == 2 && b >= '@':
			c.state = 0
		case c.state == 2:
			c.digits = 0
		}
		kept = append(kept, b)
	}
	return kept
}
