//go:build linux

package tools

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/proctor-mcp/proctor/procmgr"
)

// slowSignals is a log handler that blocks each signal until released ends.
type slowSignals struct {
	slog.Handler
	released context.Context
}

func (h slowSignals) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "signal sent" {
		<-h.released.Done()
	}
	return nil
}

func (h slowSignals) Enabled(context.Context, slog.Level) bool { return true }
func (h slowSignals) WithAttrs([]slog.Attr) slog.Handler       { return h }

// A kill of all processes answers when its wait is over. It says how many processes it does
// not wait for, and kills them afterwards.
func TestKillAllAnswersInTimeAndGoesOn(t *testing.T) {
	released, release := context.WithCancel(t.Context())
	a := newAgentWith(t, io.Discard, procmgr.Options{})
	a.tools.log = slog.New(slowSignals{slog.DiscardHandler, released})
	t.Cleanup(release)
	var handles []procmgr.Handle
	for range 5 {
		r := a.call("process_start", `{"command":"exec sleep 100","background":true}`)
		h, err := a.tools.manager.In(procmgr.NoChat("test")).Find(r.ProcessID)
		if err != nil {
			t.Fatal(err)
		}
		handles = append(handles, h)
	}
	r := a.call("process_signal", `{"all":true,"signal":"kill","wait_ms":100}`)
	if r.isError || !r.Running || len(r.Processes) != 0 || !strings.Contains(r.text, "5 more get the signal too") || strings.Contains(r.text, "Nothing is left") {
		t.Errorf("got %s", r.text)
	}
	release()
	for _, h := range handles {
		if err := h.WaitGone(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if r := a.call("process_signal", `{"all":true,"signal":"kill"}`); !strings.Contains(r.text, "so nothing was signalled") {
		t.Errorf("got %s", r.text)
	}
}
