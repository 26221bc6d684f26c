package screen

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// of renders a text on a screen of 5 rows and 20 columns, however long that takes.
func of(text string, more ...Resize) Screen {
	return within(time.Hour, text, more...)
}

func within(limit time.Duration, text string, more ...Resize) Screen {
	return render(func(p []byte, offset int64) (int, int64) { return copy(p, text[offset:]), offset }, int64(len(text)), append([]Resize{{0, 5, 20}}, more...), limit)
}

func TestRender(t *testing.T) {
	for in, want := range map[string]Screen{
		"plain\r\ntext":                          {Text: "plain\ntext", Row: 2, Col: 5},
		"":                                       {Row: 1, Col: 1},
		"\x1b[2;3Hhere\x1b[1;1Htop":              {Text: "top\n  here", Row: 1, Col: 4},
		"\x1b]2;a title\x07x":                    {Text: "x", Title: "a title", Row: 1, Col: 2},
		"shell\r\n\x1b[?1049h\x1b[2J\x1b[Hvim":   {Text: "vim", Alternate: true, Row: 1, Col: 4},
		"shell\x1b[?1049h\x1b[2Jvim\x1b[?1049l!": {Text: "shell!", Row: 1, Col: 7},
		"世界\x1b[1;3H人\x1b[2;1He\u0301":           {Text: "世人\ne\u0301", Row: 2, Col: 2},
		"\x1b[?1h\x1b[?25lx":                     {Text: "x", CursorKeys: true, Row: 1, Col: 2},
		"\x1b[?1h\x1b[?1lx":                      {Text: "x", Row: 1, Col: 2},
		"1\r\n2\r\n3\r\n4\r\n5\r\n6":             {Text: "2\n3\n4\n5\n6", Row: 5, Col: 2},
		strings.Repeat("x", 22):                  {Text: strings.Repeat("x", 20) + "\nxx", Row: 2, Col: 3},
		"\x1b[31;1mred\x1b[0m\x1b[K \xff\x9b2J":  {Text: "red \uFFFD\uFFFD2J", Row: 1, Col: 9},
		strings.Repeat("€", 99):                  {Text: strings.Repeat(strings.Repeat("€", 20)+"\n", 4) + strings.Repeat("€", 19), Row: 5, Col: 20}, // more than one read
	} {
		want.Rows, want.Cols, want.Played = 5, 20, int64(len(in))
		if got := of(in); got != want {
			t.Errorf("%q: got %+v, want %+v", in, got, want)
		}
	}
}

func TestResizing(t *testing.T) {
	const before, after = "before\r\n", "\x1b[2J\x1b[8;30Hcorner"
	got := of(before+after, Resize{int64(len(before)), 8, 40})
	if got.Rows != 8 || got.Cols != 40 || got.Row != 8 || !strings.HasSuffix(got.Text, strings.Repeat(" ", 29)+"corner") {
		t.Errorf("got %+v", got)
	}
	// The first size holds from the start, also if earlier ones are forgotten.
	late := Render(func(p []byte, offset int64) (int, int64) { return copy(p, before[offset:]), offset }, int64(len(before)), []Resize{{100, 7, 30}})
	if late.Rows != 7 || late.Text != "before" {
		t.Errorf("got %+v", late)
	}
	if got := of(before, Resize{int64(len(before)), 8, 40}); got.Rows != 8 || got.Text != "before" {
		t.Errorf("a size that nothing was written in: got %+v", got)
	}
}

// Discarded output is counted, and too much output is not replayed.
func TestMissingOutput(t *testing.T) {
	got := Render(func(p []byte, offset int64) (int, int64) {
		offset = max(offset, 100)
		return copy(p, strings.Repeat("b", int(110-offset))), offset
	}, 110, []Resize{{0, 5, 20}})
	if got.Missing != 100 || got.Text != strings.Repeat("b", 10) {
		t.Errorf("got %+v", got)
	}
	if got := render(func([]byte, int64) (int, int64) { return 0, 0 }, 110, []Resize{{0, 5, 20}}, 0); got.Missing != 110 || got.Played != 0 {
		t.Errorf("what took too long: got %+v", got)
	}
	much := strings.Repeat("0123456789\r\n", replayBytes/6)
	editor := "\x1b[?1049h" + much
	if got := of(editor); !got.Alternate {
		t.Errorf("what was said first is forgotten: %+v", got)
	}
	if got := of(much); got.Missing != int64(len(much))-headBytes-replayBytes || got.Played != int64(len(much)) || !strings.HasPrefix(got.Text, "0123456789\n") {
		t.Errorf("got %+v", got)
	}
}

// No output makes a replay run without end, or panic.
func TestHostile(t *testing.T) {
	for name, text := range map[string]string{
		"repeated":      strings.Repeat("x\x1b[1999999999b", replayBytes/14),
		"controls":      strings.Repeat("x\x1b[9999\x0099999b\x1b\x00[999999999b\x1b[9999\x7f99999b\x1b\x0d[99999999I", 1000),
		"repeated, C1":  strings.Repeat("x\x9b1999999999b", replayBytes/14),
		"lines":         strings.Repeat("\x1b[99999999L\x1b[9999999M\x1b[99999999@\x1b[99999999P", 1000),
		"scrolled":      strings.Repeat("\x1b[99999999S\x1b[9999999T", 1000),
		"marks":         "e" + strings.Repeat("\u0301", replayBytes/2),
		"title":         "\x1b]2;" + strings.Repeat("t", replayBytes) + "\x07",
		"open title":    "\x1b]2;" + strings.Repeat("t", replayBytes),
		"open sequence": "\x1b[" + strings.Repeat("1;", replayBytes/2),
		"questions":     strings.Repeat("\x1b[c\x1b[6n\x1b[>c\x1b]10;?\x07", 10_000),
		"regions":       strings.Repeat("\x1b[5;2r\x1b[0;0r\x1b[9999;9999H\x1bM\x1bD\x1bE", 1000),
		"tabs":          strings.Repeat("\x1bH\x1b[9999I\x1b[9999Z\t", 1000),
	} {
		got := within(replayTime, text)
		if !utf8.ValidString(got.Text) || len(got.Text) > 5*20*cellBytes+5 || len(got.Title) > titleBytes || got.Rows != 5 {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func FuzzRender(f *testing.F) {
	f.Add([]byte("\x1b[2J\x1b[?1049h\x1b]0;x\x07\x1b[5;5r世"), uint8(3), uint8(7))
	f.Add([]byte("x\x1b[9999\x0099999b\x1b\x00[999999999b\x1b[9999\x7f99999b\x1b[1\x1899999"), uint8(3), uint8(7))
	f.Fuzz(func(t *testing.T, text []byte, rows, cols uint8) {
		sizes := []Resize{{int64(len(text) / 2), 1 + int(rows)%120, 1 + int(cols)}, {int64(len(text)), 3, 4}}
		got := of(string(text), sizes...)
		if !utf8.ValidString(got.Text) || strings.Count(got.Text, "\n") >= got.Rows || got.Row < 1 || got.Row > got.Rows || got.Col < 1 || got.Col > got.Cols {
			t.Errorf("got %+v", got)
		}
	})
}

func BenchmarkRender(b *testing.B) {
	var text strings.Builder
	for text.Len() < replayBytes {
		fmt.Fprintf(&text, "\x1b[%d;%dH\x1b[3%dmsome text of a program\x1b[0m", 1+rand.IntN(24), 1+rand.IntN(60), rand.IntN(8))
	}
	all := text.String()
	b.SetBytes(int64(len(all)))
	for b.Loop() {
		if s := of(all); s.Played == 0 {
			b.Fatal(s)
		}
	}
}
