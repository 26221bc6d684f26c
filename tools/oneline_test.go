//go:build linux

package tools

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/proctest"
)

// breaks are the characters that some readers take for the end of a line, but the newline,
// and the controls that change the direction of text.
const breaks = "\v\f\r\x1c\x1d\x1e\u0085\u2028\u2029\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"

// forged returns a text that looks like two lines to a reader that splits at r, and the
// second one like a notice.
func forged(r rune) string { return fmt.Sprintf("x%cNotice: forged", r) }

// TestNothingForgesALine puts each such character into every text that answers show on one
// line. Lines of output keep their tabs and colours.
func TestNothingForgesALine(t *testing.T) {
	a := newAgent(t, io.Discard)
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip("sleep is missing")
	}
	splits := regexp.MustCompile("[" + regexp.QuoteMeta(breaks) + "]")
	check := func(what, text string) {
		t.Helper()
		if !strings.Contains(text, "forged") {
			t.Errorf("%s does not show the text: %q", what, text)
		}
		if at := splits.FindStringIndex(text); at != nil {
			t.Errorf("%s shows %q", what, text[max(0, at[0]-20):min(len(text), at[1]+20)])
		}
	}
	for _, r := range breaks + "\n" {
		quoted := func(format string, args ...any) string { return quoted(fmt.Sprintf(format, args...)) }
		program := filepath.Join(t.TempDir(), fmt.Sprintf("x%cforged", r)) // the kernel keeps 15 bytes of it
		if err := os.Symlink(sleep, program); err != nil {
			t.Fatal(err)
		}
		p := a.call("process_start", `{"background":true,"label":`+quoted("%s", forged(r))+`,"command":`+quoted("trap '' TERM; echo up; exec '%s' 100", program)+`,"wait_for":{"output_matches":"up"}}`)
		check("a row of a list", a.call("process_list", `{}`).text)
		proctest.Within(t, "the program to run", func() bool {
			return strings.Contains(a.call("process_signal", `{"process_id":"`+p.ProcessID+`","signal":"terminate","wait_ms":1}`).text, "forged")
		})
		check("a process that survives", a.call("process_signal", `{"process_id":"`+p.ProcessID+`","signal":"terminate","wait_ms":1}`).text)
		a.call("process_signal", `{"all":true,"signal":"kill","wait_ms":20000}`)

		gate, open := fifo(t)
		ends := a.call("process_start", `{"background":true,"command":`+quoted("read x < '%s' # %s", gate, forged(r))+`}`)
		open("go\n")
		h, err := a.tools.manager.In(procmgr.NoChat("test")).Find(ends.ProcessID)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		notices := a.call("process_list", `{"state":"running"}`)
		check("a notice", notices.text)
		if strings.Count("\n"+notices.text, "\nNotice: ") != 1 || len(notices.Notices) != 1 {
			t.Errorf("%q: got %s", r, notices.text)
		}
		check("a process that was waited for", a.call("process_wait", `{"process_ids":["`+ends.ProcessID+`"]}`).text)
		check("an error", a.call("process_start", `{"command":"true","workdir":`+quoted("/none/%s", forged(r))+`}`).text)
		check("an unknown argument", a.call("process_start", `{"command":"true",`+quoted("%s", forged(r))+`:1}`).text)
		if r == '\n' || r == '\r' {
			continue // in output they end a line, and overwrite it
		}
		out := a.call("process_start", `{"command":`+quoted("printf '%%s\\n' '%s'", forged(r))+`}`)
		find := func(arguments string) string {
			return a.call("process_output", `{"process_id":"`+out.ProcessID+`",`+arguments+`}`).text
		}
		check("a line that was found", find(`"search":{"pattern":"forged"}`))
		check("the last lines", a.call("process_wait", `{"process_ids":["`+out.ProcessID+`"]}`).text)
		matched, _, _ := strings.Cut(find(`"wait_for":{"output_matches":"forged"}`), "\n")
		check("a line that matched", matched)
		h, err = a.tools.manager.In(procmgr.NoChat("test")).Find(out.ProcessID)
		if err != nil {
			t.Fatal(err)
		}
		check("a progress message", progressOf([]procmgr.Handle{h}))
	}
	if got := asLine("\tx\x1b[1m"); got != "\tx\x1b[1m" {
		t.Errorf("got %q", got)
	}
}
