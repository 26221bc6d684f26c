package output

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/proctor-mcp/proctor/proctest"
)

// model keeps everything.
type model struct {
	all  []byte
	tags []Stream
}

func (m *model) append(stream Stream, p []byte) {
	m.all = append(m.all, p...)
	for range p {
		m.tags = append(m.tags, stream)
	}
}

// pass reads a store from beginning to end and compares it with the model: each byte that
// is kept comes once, and each byte that is not is counted as missing.
func (m *model) pass(t *testing.T, s *Store, rng *rand.Rand) {
	t.Helper()
	var seen, gaps int64
	total := s.Total()
	for cursor := int64(0); cursor < total; {
		c := s.Read(make([]byte, 1+rng.IntN(200_000)), cursor)
		again := s.Read(make([]byte, len(c.Data)), cursor)
		if c.At < cursor || c.Next != c.At+int64(len(c.Data)) || c.Next <= cursor || again.At != c.At || !bytes.Equal(again.Data, c.Data) {
			t.Fatalf("at %d: %d bytes from %d to %d", cursor, len(c.Data), c.At, c.Next)
		}
		if !bytes.Equal(c.Data, m.all[c.At:c.Next]) {
			t.Fatalf("the bytes at %d are not those that were written", c.At)
		}
		gaps += c.At - cursor
		seen += int64(len(c.Data))
		cursor = c.Next
	}
	if seen+gaps != total || seen != s.Kept(0, total) {
		t.Fatalf("%d bytes and %d missing of %d, of which %d are kept", seen, gaps, total, s.Kept(0, total))
	}
}

func (m *model) check(t *testing.T, s *Store) {
	t.Helper()
	m.pass(t, s, rand.New(rand.NewPCG(1, 1)))
}

// tagged compares the bytes of one stream with the model.
func (m *model) tagged(t *testing.T, s *Store, filter Filter) {
	t.Helper()
	untagged := 0
	for cursor := int64(0); ; {
		c, parts := s.readParts(make([]byte, 100_000), cursor, filter)
		if len(c.Data) == 0 {
			break
		}
		s.runs.each(c.Data, c.At, func(stream Stream, data []byte, at int64) {
			if stream == mixed {
				untagged += len(data)
				return
			}
			for i := range data {
				if m.tags[at+int64(i)] != stream {
					t.Fatalf("byte %d has tag %d, want %d", at+int64(i), stream, m.tags[at+int64(i)])
				}
			}
		})
		for _, p := range parts {
			if !bytes.Equal(p.data, m.all[p.at:p.at+int64(len(p.data))]) {
				t.Fatal("the bytes of a part are not those that were written")
			}
		}
		cursor = c.Next
	}
	if most := fewRuns + int(min(s.total, s.Space.most()))/perRun; len(s.runs.list) > most {
		t.Fatalf("%d runs, at most %d are allowed", len(s.runs.list), most)
	}
	if len(s.runs.list) < fewRuns/2 && untagged > 0 {
		t.Fatalf("of %d bytes the stream is not known, with only %d runs", untagged, len(s.runs.list))
	}
}

func testSpace(t testing.TB, limit int64) *Space {
	folder, err := OpenFolder(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { folder.Close() })
	return &Space{Max: limit, Folder: folder}
}

var schedules = flag.Int("schedules", 100, "how many schedules a store goes through")

// Random schedules of writes, spills, drops, failures and reads.
func TestStoreAgainstAModel(t *testing.T) {
	folder := testSpace(t, 0).Folder
	n := uint64(*schedules)
	if proctest.Race { // one goroutine has no races; test.sh runs all without the detector
		n /= 10
	}
	for seed := range n {
		schedule(t, seed, folder)
	}
	if n := folder.files.Load(); n != 0 {
		t.Errorf("%d files are open", n)
	}
}

func FuzzStore(f *testing.F) {
	folder := testSpace(f, 0).Folder
	for seed := range uint64(4) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) { schedule(t, seed, folder) })
}

// schedule goes through one schedule, and compares the store with the model by every way
// to read it.
func schedule(t *testing.T, seed uint64, folder *Folder) {
	rng := rand.New(rand.NewPCG(seed, 2))
	space := []*Space{nil, {Max: minMax, Folder: folder}, {Max: 3*HeadBytes + 12345, Folder: folder}, {Max: 8 * HeadBytes, Folder: folder}}
	s := &Store{Space: space[rng.IntN(len(space))]}
	defer s.Close()
	var noise []byte
	for len(noise) < 300_000 {
		noise = append(noise, []string{"a", "b", "\n", "\r", "\x1b", "€", "\b"}[rng.IntN(7)]...)
	}
	var m model
	split := rng.IntN(2) == 0
	largest := []int{10, 3000, 30_000, 150_000}[rng.IntN(4)]
	for range rng.IntN(60) {
		from := rng.IntN(len(noise) - largest)
		p := noise[from : from+1+rng.IntN(largest)]
		stream := Stdout
		if split {
			stream = Stream(rng.IntN(2))
		}
		s.Append(stream, p)
		m.append(stream, p)
		switch rng.IntN(60) {
		case 0:
			s.Drop()
		case 1, 2:
			s.Spill()
		case 3:
			s.Shrink()
		case 4:
			m.pass(t, s, rng)
		case 5:
			if s.file != nil { // from now on it cannot be written
				if readOnly, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", s.file.file.Fd())); err == nil {
					s.file.file.Close()
					s.file.file = readOnly
				}
			}
		}
	}
	m.pass(t, s, rng)
	m.tagged(t, s, Filter(rng.IntN(3)))
	checkNumbers(t, s, m.all)
	checkSearch(t, s, m.all, rng)
	checkTail(t, s, m.all, 1+rng.IntN(50))
}

// checkSearch compares what a search finds with what a loop over all lines finds.
func checkSearch(t *testing.T, s *Store, all []byte, rng *rand.Rand) {
	t.Helper()
	if s.Kept(0, s.Total()) != int64(len(all)) {
		return
	}
	pattern := []string{"aab", "^ab+$", "(?i)BBAB", "a.*bb", "€"}[rng.IntN(5)]
	p, err := CompilePattern(pattern, false)
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for i, text := range bytes.Split(all, []byte("\n")) {
		shown := lastState(text)
		if !p.re.Match(shown) {
			continue
		}
		if Binary(text) {
			shown = fmt.Appendf(nil, "[%d bytes that are not text]", len(text))
		}
		want = append(want, fmt.Sprintf("%d %s", i+1, strings.ToValidUTF8(string(shown), "\uFFFD")))
	}
	for q, done := (Search{Pattern: p, MaxMatches: 1 + rng.IntN(2000), Before: rng.IntN(3), After: rng.IntN(3)}), false; !done; {
		f := s.Search(q)
		for _, l := range f.Lines {
			if l.Match {
				got = append(got, fmt.Sprintf("%d %s", l.Number, l.Text))
			}
		}
		q.Cursor, done = f.Next, f.Done
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%s: %d lines, want %d", pattern, len(got), len(want))
	}
}

// checkTail compares the last lines with those of the model.
func checkTail(t *testing.T, s *Store, all []byte, count int) {
	t.Helper()
	want := slices.Collect(bytes.Lines(all))
	got := s.Tail(count, Part{Raw: true})
	if got.Binary {
		return
	}
	if want = want[max(0, len(want)-count):]; got.Cursor < 0 || s.Kept(got.Cursor, s.Total()) < int64(len(bytes.Join(want, nil))) {
		return // it has lost some of them
	}
	if text := strings.ToValidUTF8(string(bytes.Join(want, nil)), "\uFFFD"); got.Text != text || got.Next != int64(len(all)) {
		t.Fatalf("the last %d lines are %q, want %q", count, got.Text, text)
	}
}

// checkNumbers compares lines and their numbers with the model.
func checkNumbers(t *testing.T, s *Store, all []byte) {
	t.Helper()
	expect, counted, want := int64(0), int64(0), int64(1)
	for l := range s.lines(0, int64(len(all)), Both, true) {
		if l.missing > 0 {
			continue
		}
		want += int64(bytes.Count(all[counted:max(counted, l.at)], []byte("\n")))
		counted = max(counted, l.at)
		if l.number != 0 && l.number != want {
			t.Fatalf("line at %d has number %d, want %d", l.at, l.number, want)
		}
		if l.at < expect || !bytes.HasPrefix(all[l.at:], l.text) {
			t.Fatalf("the line at %d is not the one that was written", l.at)
		}
		if l.number == 0 && s.base == 0 && s.mode != inRing {
			t.Fatalf("line at %d has no number", l.at)
		}
		expect = l.at + int64(len(l.text))
	}
}

// Readers that follow a writer see every byte once, or learn how many are missing.
func TestReadersFollowAWriter(t *testing.T) {
	s := &Store{Space: testSpace(t, minMax)}
	const lines = 100_000
	var all []byte
	for i := range lines {
		all = fmt.Appendf(all, "%09d\n", i)
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			var got, missed int64
			for cursor, want := int64(0), int64(lines*10); cursor < want; {
				total, _, more := s.Changed()
				if cursor == total {
					<-more
					continue
				}
				c := s.Read(make([]byte, 32<<10), cursor)
				if !bytes.Equal(c.Data, all[c.At:c.Next]) {
					t.Errorf("%d bytes at %d are not those that were written", len(c.Data), c.At)
					return
				}
				missed += c.At - cursor
				got += int64(len(c.Data))
				cursor = c.Next
			}
			if got+missed != lines*10 {
				t.Errorf("%d bytes and %d missed", got, missed)
			}
		})
	}
	for line := range bytes.Lines(all) {
		s.Append(Stdout, line)
	}
	wg.Wait()
}

// Shrink shortens a long tail at once, and stops when little is left.
func TestShrink(t *testing.T) {
	s := &Store{Space: testSpace(t, 64<<20)}
	defer s.Close()
	const size = 40 << 20
	s.Append(Stdout, make([]byte, size))
	for _, most := range []int64{HeadBytes + shrunkTail, (HeadBytes + shrunkTail) / 2} {
		if !s.Shrink() || s.Kept(0, size) > most || s.Kept(0, size) < most/2 {
			t.Errorf("%d bytes are kept, want %d", s.Kept(0, size), most)
		}
	}
	for s.Shrink() {
	}
	if kept := s.Kept(0, size); kept < minMax {
		t.Errorf("%d bytes are kept in the end", kept)
	}
}

func TestSearch(t *testing.T) {
	s := &Store{Space: testSpace(t, 0)}
	for i := range 200_000 {
		text := fmt.Sprintf("line %d is quiet\n", i+1)
		switch i + 1 {
		case 1, 3, 100_000:
			text = fmt.Sprintf("\x1b[31mERR\x1b[0mOR in %d\r\n", i+1)
		case 2:
			text = "10%\r50%\rError: small\n"
		}
		s.Append(Stdout, []byte(text))
	}
	search := func(pattern string, fold bool, q Search) Found {
		t.Helper()
		p, err := CompilePattern(pattern, fold)
		if err != nil {
			t.Fatal(err)
		}
		q.Pattern = p
		return s.Search(q)
	}
	f := search("ERROR in", false, Search{MaxMatches: 10, Before: 1, After: 1})
	var got []string
	for _, l := range f.Lines {
		got = append(got, fmt.Sprintf("%d %v %s", l.Number, l.Match, l.Text))
	}
	want := []string{
		"1 true ERROR in 1", "2 false Error: small", "3 true ERROR in 3", "4 false line 4 is quiet",
		"99999 false line 99999 is quiet", "100000 true ERROR in 100000", "100001 false line 100001 is quiet",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || !f.Done || f.Matches != 3 || f.Next != s.Total() {
		t.Errorf("got %q, done %v", got, f.Done)
	}
	at := f.Lines[5].Cursor
	if c := s.Read(make([]byte, 12), at); string(c.Data) != "\x1b[31mERR\x1b[0m" {
		t.Errorf("the cursor leads to %q", c.Data)
	}
	// Two at a time, until all are found.
	var numbers []int64
	for cursor, done := int64(0), false; !done; {
		f := search("^error", true, Search{MaxMatches: 2, Cursor: cursor})
		for _, l := range f.Lines {
			numbers = append(numbers, l.Number)
		}
		cursor, done = f.Next, f.Done
	}
	if fmt.Sprint(numbers) != "[1 2 3 100000]" {
		t.Errorf("matches in %v", numbers)
	}
	if f := search("nothing like it", false, Search{MaxMatches: 1}); len(f.Lines) != 0 || !f.Done {
		t.Errorf("got %+v", f)
	}
}

// A search without a literal to look for is bounded, and returns where to go on.
func TestSearchIsBounded(t *testing.T) {
	s := &Store{Space: testSpace(t, 0)}
	for s.Total() < 2<<20 {
		s.Append(Stdout, []byte(strings.Repeat("0123456789 abcdefghijklmnopqrstuvwxyz\n", 1000)))
	}
	p, err := CompilePattern(`([0-9]+ ?)+[a-z]*!`, false)
	if err != nil {
		t.Fatal(err)
	}
	p.literal = nil
	p.size *= 8 // else it is much to look at
	paused := 0
	f := s.Search(Search{Pattern: p, MaxMatches: 1, Pause: func() bool { paused++; return true }})
	if most := int64(searchWork / p.size); f.Done || f.Next < most-1<<18 || f.Next > most+most/30 || paused == 0 {
		t.Errorf("done %v, next %d, %d pauses", f.Done, f.Next, paused)
	}
	if f = s.Search(Search{Pattern: p, MaxMatches: 1, Cursor: f.Next}); !f.Done {
		t.Errorf("the rest is not done: %d", f.Next)
	}
}

func TestPatterns(t *testing.T) {
	for pattern, want := range map[string]string{
		"abc": "abc", "a.bcd": "bcd", "(ab|cd)efg+": "ef", "x*yes": "yes", "(?i)abc": "", "a|b": "", "(foo){2,}": "foo", "^ready$": "ready",
	} {
		p, err := CompilePattern(pattern, false)
		if err != nil || string(p.literal) != want {
			t.Errorf("%s: literal %q, %v; want %q", pattern, p.literal, err, want)
		}
	}
	for _, bad := range []string{"(", "a{1001}", "(?:a?){1000}(?:a?){1000}b", strings.Repeat("a", MaxPatternBytes+1), strings.Repeat("x{1000}", 100)} {
		if _, err := CompilePattern(bad, false); err == nil {
			t.Errorf("%.20s… is taken", bad)
		}
	}
}

func TestTail(t *testing.T) {
	s := &Store{}
	s.Append(Stdout, []byte("one\ntwo\nthree\n1%\r2%\r\x1b[Kthree and a half"))
	for count, want := range map[int]string{1: "three and a half", 2: "three\nthree and a half", 9: "one\ntwo\nthree\nthree and a half"} {
		if got := s.Tail(count, Part{Open: true}); got.Text != want || got.Next != s.Total() {
			t.Errorf("%d: got %+v", count, got)
		}
	}
	if got := s.Tail(1, Part{}); got.Cursor != int64(len("one\ntwo\nthree\n")) {
		t.Errorf("got %+v", got)
	}
	s.Append(Stderr, []byte("\n"))
	for range 10_000 {
		s.Append(Stderr, []byte("a line of stderr\n"))
		s.Append(Stdout, []byte("out\n"))
	}
	if got := s.Tail(2, Part{Filter: OnlyStderr}); got.Text != "a line of stderr\na line of stderr\n" {
		t.Errorf("got %q", got.Text)
	}
	// The last lines of a stream that was silent for long.
	quiet := &Store{Space: testSpace(t, 0)}
	quiet.Append(Stderr, []byte("the one error\n"))
	quiet.Append(Stdout, bytes.Repeat([]byte("out\n"), 100_000))
	if got := quiet.Tail(5, Part{Filter: OnlyStderr}); got.Text != "the one error\n" || got.Gap != 0 {
		t.Errorf("got %+v", got)
	}
	// The line behind a long one, and a rune that is not whole yet.
	long := &Store{}
	long.Append(Stdout, append(bytes.Repeat([]byte("x"), 100_000), "\nlast\n"...))
	if got := long.Tail(1, Part{Open: true}); got.Text != "last\n" || got.Cursor != 100_001 || got.Next != 100_006 {
		t.Errorf("got %+v", got)
	}
	half := &Store{}
	half.Append(Stdout, []byte("\xe2"))
	if got := half.Tail(1, Part{Open: true}); got.Text != "" || got.Cursor != 0 || got.Next != 0 {
		t.Errorf("got %+v", got)
	}
	// Bytes that are no longer kept are counted.
	half.Drop()
	if got := half.Tail(1, Part{}); got.Gap != 1 || half.Search(Search{Pattern: &Pattern{}, MaxMatches: 1}).Gap != 1 {
		t.Errorf("got %+v", got)
	}
}

// When the writer overtakes a reader, the bytes that the reader missed are counted as
// missing, and no others.
func TestReaderThatIsOvertaken(t *testing.T) {
	const most = 2 << 20
	s := &Store{Space: testSpace(t, most)}
	flood := func() { s.Append(Stdout, bytes.Repeat([]byte("y\n"), most)) }
	flood()
	end := s.Total()
	given, missing := int64(0), int64(0)
	for l := range s.lines(HeadBytes, end, Both, true) {
		if missing += l.missing; l.missing > 0 {
			continue
		}
		if given += l.after() - l.at; l.after() > end {
			t.Fatalf("a line at %d, behind the end %d", l.at, end)
		}
		if given == 2 {
			flood()
		}
	}
	if given != scanBytes || missing != end-HeadBytes-given {
		t.Errorf("%d bytes given, %d lost of %d", given, missing, end-HeadBytes)
	}
	p, err := CompilePattern("y", false)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var flooding sync.WaitGroup
	flooding.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				flood()
			}
		}
	})
	for range 20 {
		// Either all of it is missing, or nothing.
		if got := s.Tail(1, Part{}); (got.Text != "y\n" || got.Gap != 0) && (got.Text != "" || got.Gap != tailBytes) {
			t.Errorf("tail: got %+v", got)
		}
		from := s.Total() - 10
		found := s.Search(Search{Pattern: p, Cursor: from, MaxMatches: 5})
		if looked := int64(2 * found.Matches); looked+found.Gap != found.Next-from {
			t.Errorf("search: got %+v, from %d", found, from)
		}
	}
	close(done)
	flooding.Wait()
}

func TestReadable(t *testing.T) {
	for in, want := range map[string]string{
		"plain\n": "plain\n", "\x1b[1;31mred\x1b[0m\r\n": "red\n", "1%\r2%\r100%\ndone": "100%\ndone",
		"\x1b]0;title\x07text": "text", "10%\r": "10%", "a\r\r\n": "a\n",
		"three\r\x1b[Kone\n": "one\n", "abc\rX": "Xbc", "ab\r\tc": "ab      c", "界界\ra": "a 界", "1\b2\r": "2", "b\bbo\bol\bld": "bold", "12\b3\r\x1b[2K4": "4",
	} {
		if got := string(Readable([]byte(in))); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	tabs := "x\r" + strings.Repeat("\t", 60_000) + "y"
	if got := Readable([]byte(tabs)); len(got) > 2*len(tabs) {
		t.Errorf("%d bytes become %d", len(tabs), len(got))
	}
	for in, want := range map[string]int{"a\x1b": 1, "a\x1b[": 2, "a\x1b[31": 4, "a\x1b[31m": 0, "\x1b]0;ti": 6, "\x1b]0;ti\x07": 0, "a\xe2\x82": 2, "a\x1b[0mb": 0, "\x1b(B": 0, "\x1b7": 0} {
		if got := unfinished([]byte(in)); got != want {
			t.Errorf("%q: %d bytes wait, want %d", in, got, want)
		}
	}
	if !Binary([]byte("a\x00b")) || !Binary([]byte("\xff\xfe\xfd")) || Binary([]byte("grün €")) || Binary(nil) {
		t.Error("Binary takes text for binary, or the other way round")
	}
}

func BenchmarkSearch16MiB(b *testing.B) {
	s := &Store{Space: testSpace(b, 0)}
	for i := 0; s.Total() < 15<<20; i++ {
		s.Append(Stdout, fmt.Appendf(nil, "%d: a line as programs write them, with some words\n", i))
	}
	p, err := CompilePattern(`no such \w+ in it`, false)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s.Search(Search{Pattern: p, MaxMatches: 10})
	}
}

// The bytes that are kept are those that were written, also when the store gives up others
// while the program writes.
func TestGivingWayBesideAWriter(t *testing.T) {
	space := testSpace(t, 8*HeadBytes)
	// Its length is a prime number, so that a byte in a wrong place differs.
	pattern := make([]byte, 1_000_003)
	for i, rng := 0, rand.New(rand.NewPCG(1, 1)); i < len(pattern); i++ {
		pattern[i] = byte(rng.Uint32())
	}
	for name, c := range map[string]struct {
		rounds, size, piece int
		giveWay             func(s *Store)
	}{
		"spill":  {30, 200_000, 50, (*Store).Spill},
		"shrink": {2, 24 << 20, 50_000, func(s *Store) { s.Shrink() }},
		"all":    {2, 24 << 20, 50_000, func(s *Store) { s.Spill(); s.Shrink(); s.Drop() }},
	} {
		for range c.rounds {
			s := &Store{Space: space}
			done := make(chan struct{})
			go func() {
				defer close(done)
				for total := 0; total < c.size; {
					at := total % len(pattern)
					n := min(c.piece, len(pattern)-at)
					s.Append(Stdout, pattern[at:at+n])
					total += n
					runtime.Gosched() // clock: both have their turn
				}
			}()
			for running := true; running; {
				select {
				case <-done:
					running = false
				default:
					if s.Total() > 16<<10 {
						c.giveWay(s)
					}
				}
			}
			checkPattern(t, name, s, pattern)
			s.Close()
		}
	}
	if n := space.Folder.files.Load(); n != 0 {
		t.Errorf("%d files are open", n)
	}
}

// checkPattern compares the bytes that are kept with a pattern that was written again and
// again.
func checkPattern(t *testing.T, name string, s *Store, pattern []byte) {
	t.Helper()
	total, kept := s.Total(), int64(0)
	for cursor := int64(0); cursor < total; {
		c := s.Read(make([]byte, 100_000), cursor)
		for i, b := range c.Data {
			if at := c.At + int64(i); b != pattern[at%int64(len(pattern))] {
				t.Fatalf("%s: byte %d is wrong", name, at)
			}
		}
		kept += int64(len(c.Data))
		cursor = c.Next
	}
	if kept != s.Kept(0, total) {
		t.Errorf("%s: %d bytes are read and %d are kept", name, kept, s.Kept(0, total))
	}
}

// Room is made in the background. Only a store that exceeds the budget waits for it.
func TestWhoWaitsForRoom(t *testing.T) {
	var quiet, full Store
	begun, goOn := make(chan struct{}), make(chan struct{})
	const most = 256 << 10
	budget := NewBudget(most, func(func() bool) {
		close(begun)
		<-goOn
		quiet.Drop()
	})
	quiet.Space = &Space{Memory: budget}
	full.Space = quiet.Space
	quiet.Append(Stdout, make([]byte, 248<<10)) // beyond fifteen sixteenths
	<-begun
	full.Append(Stdout, make([]byte, 1<<10)) // still within the budget
	_, _, more := full.Changed()
	waiting := make(chan struct{})
	go func() {
		full.Append(Stdout, make([]byte, 8<<10))
		close(waiting)
	}()
	<-more
	select {
	case <-waiting:
		t.Error("a store that exceeds the budget did not wait")
	default:
	}
	close(goOn)
	<-waiting
	if err := quiet.Space.Close(); err != nil {
		t.Fatal(err)
	}
	if n := budget.Used(); n > most {
		t.Errorf("%d bytes are held", n)
	}
}
