package output

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

func filled(p []byte, chunk int) *Store {
	b := &Store{}
	for len(p) > 0 {
		n := min(chunk, len(p))
		b.Append(Stdout, p[:n])
		p = p[n:]
	}
	return b
}

func TestSmallOutputIsWhole(t *testing.T) {
	b := filled([]byte("one\ntwo\n"), 3)
	v := b.View(false, true)
	if v.Text != "one\ntwo\n" || v.Omitted != 0 || v.Next != 8 {
		t.Errorf("got %+v", v)
	}
}

func TestZeroStore(t *testing.T) {
	var b Store
	if v := b.View(true, true); v != (View{}) {
		t.Errorf("got %+v, want the zero view", v)
	}
}

func TestNothingIsOmittedUpToHeadPlusTail(t *testing.T) {
	p := []byte(strings.Repeat("0123456789abcde\n", (ViewHead+ViewTail)/16))
	v := filled(p, 1000).View(false, true)
	if v.Text != string(p) || v.Omitted != 0 {
		t.Errorf("got %d bytes of text, %d omitted; want all %d", len(v.Text), v.Omitted, len(p))
	}
	v = filled(append(p, '!'), 1000).View(false, true)
	if v.Omitted != 1 {
		t.Errorf("one byte more: got %d omitted, want 1", v.Omitted)
	}
}

func TestGapIsMarkedOnALineOfItsOwn(t *testing.T) {
	p := []byte(strings.Repeat("0123456789abcde\n", 4096))
	v := filled(p, 7777).View(false, true)
	want := string(p[:ViewHead]) + fmt.Sprintf("[… %d bytes omitted …]\n", len(p)-ViewHead-ViewTail) + string(p[len(p)-ViewTail:])
	if v.Text != want {
		t.Errorf("text differs from head, mark, tail")
	}
	if v.Original() != int64(len(p)) || v.Retained() != ViewHead+ViewTail {
		t.Errorf("got original %d, retained %d", v.Original(), v.Retained())
	}
}

func TestLongLineIsCut(t *testing.T) {
	v := filled([]byte(strings.Repeat("x", LineBytes+5)+"\nshort\n"), 512).View(false, true)
	want := strings.Repeat("x", LineBytes) + "[… 5 bytes of this line cut …]\nshort\n"
	if v.Text != want || v.Omitted != 5 {
		t.Errorf("got %d omitted and text ending %q", v.Omitted, v.Text[LineBytes:])
	}
}

func TestLineThatLostItsStartKeepsItsEnd(t *testing.T) {
	p := bytes.Repeat([]byte("x"), ViewHead+2*ViewTail)
	copy(p[len(p)-3:], "end")
	v := filled(p, 4096).View(false, true)
	if !strings.HasSuffix(v.Text, "xend") {
		t.Errorf("the end of the line is lost: %q", v.Text[len(v.Text)-40:])
	}
	if v.Retained() != 2*LineBytes {
		t.Errorf("got %d retained, want %d", v.Retained(), 2*LineBytes)
	}
}

func TestHalfRuneWaitsWhileOpen(t *testing.T) {
	euro := "€" // three bytes
	b := filled([]byte("a"+euro[:2]), 1)
	if v := b.View(true, true); v.Text != "a" || v.Next != 1 || v.Omitted != 0 {
		t.Errorf("open: got %+v", v)
	}
	if v := b.View(false, true); v.Text != "a\uFFFD" || v.Next != 3 {
		t.Errorf("closed: got %+v", v)
	}
	b.Append(Stdout, []byte(euro[2:]))
	if v := b.View(true, true); v.Text != "a"+euro || v.Next != 4 {
		t.Errorf("whole: got %+v", v)
	}
}

func TestRuneAtACutIsOmittedWhole(t *testing.T) {
	// Every rune is three bytes, so both edges of the gap fall inside one.
	line := strings.Repeat("€", 500) + "\n"
	p := []byte(strings.Repeat(line, 60))
	v := filled(p, 999).View(false, true)
	if strings.Contains(v.Text, "\uFFFD") {
		t.Error("a rune was cut")
	}
	if int64(len(p)) != v.Original() || v.Retained() > ViewHead+ViewTail {
		t.Errorf("counts: %d original, %d retained", v.Original(), v.Retained())
	}
}

func TestMemoryIsBounded(t *testing.T) {
	var b Store
	chunk := bytes.Repeat([]byte("y\n"), 32<<10)
	for range 64 {
		b.Append(Stdout, chunk)
	}
	if n := b.counted; n.memory > MemoryBytes || n.disk != 0 {
		t.Errorf("it holds %+v", n)
	}
	if b.Total() != int64(64*len(chunk)) {
		t.Errorf("total %d", b.Total())
	}
}

// checkAgainstModel compares a view with all bytes that were written.
func checkAgainstModel(t *testing.T, all []byte, v View, open bool) {
	t.Helper()
	if !utf8.ValidString(v.Text) {
		t.Fatal("text is not valid UTF-8")
	}
	held := int64(len(all)) - v.Next
	if held < 0 || held > 3 || !open && held != 0 || v.Retained() < 0 || v.Omitted < 0 {
		t.Fatalf("of %d bytes: %+v", len(all), v)
	}
	if v.Retained() > ViewHead+ViewTail {
		t.Fatalf("retained %d, more than was kept", v.Retained())
	}
	covered := all[:v.Next]
	if len(all) <= ViewHead+ViewTail {
		if !utf8.Valid(covered) {
			return
		}
		if want, omitted := modelLines(string(covered)); v.Text != want || v.Omitted != omitted {
			t.Fatalf("text or count differ from the model: %d omitted, want %d", v.Omitted, omitted)
		}
		return
	}
	// The first line and the last must be those that were written.
	first, _, _ := bytes.Cut(all[:ViewHead], []byte("\n"))
	if len(first) <= LineBytes && utf8.Valid(first) && !strings.HasPrefix(v.Text, string(first)) {
		t.Fatal("the first line is not the first that was written")
	}
	end := all[len(all)-ViewTail : v.Next]
	last := end[bytes.LastIndexByte(end, '\n')+1:]
	if len(last) <= LineBytes && utf8.Valid(last) && !strings.HasSuffix(v.Text, string(last)) {
		t.Fatal("the last line is not the last that was written")
	}
}

// modelLines cuts the long lines of valid text between runes.
func modelLines(text string) (out string, omitted int64) {
	for line := range strings.Lines(text) {
		body, end := strings.CutSuffix(line, "\n")
		kept := 0
		for i, r := range body {
			if i+utf8.RuneLen(r) <= LineBytes {
				kept = i + utf8.RuneLen(r)
			}
		}
		out += body[:kept]
		if over := len(body) - kept; over > 0 {
			omitted += int64(over)
			out += fmt.Sprintf("[… %d bytes of this line cut …]", over)
		}
		if end {
			out += "\n"
		}
	}
	return out, omitted
}

// FuzzView compares views with a model that keeps everything. The text is made from a
// small alphabet, so that runes, newlines and bytes that are not UTF-8 meet every edge.
func FuzzView(f *testing.F) {
	f.Add(uint64(1), uint32(100), uint16(7), true, uint32(50))
	f.Add(uint64(2), uint32(ViewHead+ViewTail), uint16(4096), false, uint32(1))
	f.Add(uint64(3), uint32(ViewHead+ViewTail+1), uint16(1), false, uint32(20_000))
	f.Add(uint64(4), uint32(90_000), uint16(65_535), true, uint32(50_000))
	f.Fuzz(func(t *testing.T, seed uint64, size uint32, chunk uint16, open bool, drop uint32) {
		rng := rand.New(rand.NewPCG(seed, 1))
		alphabet := []string{"a", "bc", "\n", "é", "€", "😀", "\xff", "\x80", "\xe2\x82", strings.Repeat("z", 700)}
		alphabet = alphabet[:1+rng.IntN(len(alphabet))]
		if seed%2 == 0 {
			alphabet = []string{"a", "\n", "é", "€", "😀", strings.Repeat("z", 1500)}
		}
		want := int(size % 120_000)
		var all []byte
		for len(all) < want {
			all = append(all, alphabet[rng.IntN(len(alphabet))]...)
		}
		b := filled(all, int(chunk)+1)
		if b.Total() != int64(len(all)) {
			t.Fatalf("total %d, want %d", b.Total(), len(all))
		}
		head, tail, _, _ := b.ends()
		if len(all) <= ViewHead+ViewTail {
			if !bytes.Equal(head, all) || tail != nil {
				t.Fatal("a small stream is not kept whole")
			}
		} else if !bytes.Equal(head, all[:ViewHead]) || !bytes.Equal(tail, all[len(all)-ViewTail:]) {
			t.Fatal("head or tail differ from what was written")
		}
		checkAgainstModel(t, all, b.View(open, true), open)
		checkDropped(t, all, int(drop)%(len(all)+1), int(chunk)+1, open)
	})
}

// checkDropped drops the first n bytes. The rest must look like a stream of its own behind
// a remark.
func checkDropped(t *testing.T, all []byte, n, chunk int, open bool) {
	t.Helper()
	b := filled(all[:n], chunk)
	b.Drop()
	for rest := all[n:]; len(rest) > 0; rest = rest[min(chunk, len(rest)):] {
		b.Append(Stdout, rest[:min(chunk, len(rest))])
	}
	v, rest := b.View(open, true), all[n:]
	if n > 0 {
		cut := continuation(rest[:min(ViewHead, len(rest))])
		if v.Dropped != int64(n+cut) || len(rest) > ViewHead && v.Omitted < v.Dropped {
			t.Fatalf("dropped %d bytes of %d: %+v", n, len(all), v)
		}
		if line, _, _ := bytes.Cut(rest, []byte("\n")); cut > 0 || len(line) > LineBytes {
			return // what is left of a rune or a line is not what a stream begins with
		}
	}
	want := filled(rest, chunk).View(open, true)
	mark := ""
	if n > 0 {
		mark = droppedMark(n)
	}
	want = View{Text: mark + want.Text, Binary: want.Binary, Next: want.Next + int64(n), Omitted: want.Omitted + int64(n), Dropped: int64(n)}
	if v != want {
		t.Fatalf("got %+v, want %+v", v, want)
	}
}

func droppedMark(n int) string {
	return fmt.Sprintf("[… %d bytes no longer kept: all output together reached a limit of the server …]\n", n)
}

// If the beginning of a rune is dropped, its rest is omitted as well.
func TestRuneThatIsDroppedInPartIsOmitted(t *testing.T) {
	b := filled([]byte("a€"[:2]), 1)
	b.Drop()
	b.Append(Stdout, []byte("a€b"[2:]))
	if v, want := b.View(true, true), (View{Text: droppedMark(4) + "b", Next: 5, Omitted: 4, Dropped: 4}); v != want {
		t.Errorf("got %+v, want %+v", v, want)
	}
}

func TestBudgetIsKept(t *testing.T) {
	const stores, most = 50, 256 << 10
	all := make([]Store, stores)
	budget := NewBudget(most, func(enough func() bool) {
		for i := range all {
			if enough() {
				return
			}
			all[i].Drop()
		}
		if !enough() {
			t.Error("all stores are dropped, and the budget is still exceeded")
		}
	})
	for i := range all {
		all[i].Space = &Space{Memory: budget}
	}
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() {
			for range 100 {
				all[i].Append(Stdout, bytes.Repeat([]byte("x"), 997))
			}
		})
	}
	wg.Wait()
	budget.wait()
	var held int64
	for i := range all {
		held += all[i].counted.memory
		if all[i].Total() != 99_700 {
			t.Errorf("counted %d", all[i].Total())
		}
	}
	if held != budget.Used() || held > most {
		t.Errorf("%d bytes are held, %d are counted, %d are allowed", held, budget.Used(), most)
	}
	before := all[0].View(false, true)
	for i := range all {
		all[i].Close()
		all[i].Close()
		all[i].Append(Stdout, []byte("late"))
		all[i].Drop()
	}
	if budget.Used() != 0 || all[0].View(false, true) != before {
		t.Errorf("closed: %d bytes are counted, %+v", budget.Used(), all[0].View(false, true))
	}
}
