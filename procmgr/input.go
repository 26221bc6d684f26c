package procmgr

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/proctor-mcp/proctor/procmgr/spawn"
)

const (
	// MaxInputBytes is how much input one call can give.
	MaxInputBytes = 1 << 20
	// MaxRows and MaxCols bound the size of a terminal.
	MaxRows, MaxCols = 120, 300
	// likelyIdle is how long the output must have been idle for a process that polls
	// its input to be taken for one that waits for it.
	likelyIdle = 500 * time.Millisecond
	// maxResizes is how many sizes of a terminal are remembered.
	maxResizes = 64
)

// Resize is the size that a terminal has from an offset of its output on.
type Resize struct {
	At int64
	Size
}

// Input is what to give a process, in this order.
type Input struct {
	Size Size // of its terminal from now on; zero leaves it
	Text []byte
	EOF  bool // no more comes
}

// Input is [Handle.Input].
func (m *Manager) Input(ctx context.Context, scope Scope, id string, in Input) (cursor int64, taken int, err error) {
	h, err := m.In(scope).Find(id)
	if err != nil {
		return 0, 0, err
	}
	return h.Input(ctx, in)
}

// Input gives input to a process that was started with Spec.KeepStdin or Spec.TTY, in
// turn with other calls. It returns the end of the output before that, and how many
// bytes of Text were taken.
//
// Errors: *InputError, ErrNotRunning, ErrNoInput, ErrNoTerminal (a Size
// without a terminal), ErrInputClosed, ErrInputLine, and ErrInputFull when ctx has
// ended before all was taken.
func (h Handle) Input(ctx context.Context, in Input) (cursor int64, taken int, err error) {
	p := h.p
	if len(in.Text) > MaxInputBytes {
		return 0, 0, &InputError{"text", fmt.Sprintf("%d bytes with keys", len(in.Text)), fmt.Sprintf("at most %d bytes; call again with the rest", MaxInputBytes)}
	}
	if err := validateSize(in.Size, "rows, cols"); err != nil {
		return 0, 0, err
	}
	cursor = p.output.Total()
	switch {
	case p.ended():
		return cursor, 0, ErrNotRunning
	case !p.facts.KeepsInput:
		return cursor, 0, ErrNoInput
	case in.Size != Size{} && p.facts.TTY == Size{}:
		return cursor, 0, ErrNoTerminal
	}
	if in.Size != (Size{}) {
		if err := p.resize(in.Size); err != nil {
			return cursor, 0, err
		}
	}
	if len(in.Text) > 0 || in.EOF {
		taken, err = p.spawned.Write(ctx, in.Text, in.EOF)
	}
	return cursor, taken, err
}

// resize changes the size of the terminal, and remembers from where on in the output.
func (p *process) resize(size Size) error {
	at := p.output.Total()
	if err := p.spawned.Resize(size); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	sizes := append(slices.Clip(p.sizes), Resize{at, size})
	p.sizes = sizes[max(0, len(sizes)-maxResizes):]
	return nil
}

// waitsForInput says whether a process waits for what [Manager.Input] gives, as the
// kernel tells it at this moment.
func (p *process) waitsForInput() InputWait {
	if !p.takesInput() {
		return ""
	}
	wait, _ := p.spawned.WaitsForInput() // what cannot be seen is not reported
	if wait != spawn.InputPolled {
		return wait
	}
	if _, written, _ := p.output.Changed(); time.Since(latest(written, p.facts.StartedAt)) < likelyIdle {
		return ""
	}
	return InputLikely
}

// takesInput says whether the process could be seen to wait for input.
func (p *process) takesInput() bool { return p.facts.KeepsInput && p.launcher.seesInput() }

// validateSize says what is wrong with a size that is not zero.
func validateSize(s Size, field string) error {
	if s != (Size{}) && (s.Rows < 1 || s.Rows > MaxRows || s.Cols < 1 || s.Cols > MaxCols) {
		return &InputError{field, fmt.Sprintf("%d rows and %d columns", s.Rows, s.Cols), fmt.Sprintf("1 to %d rows and 1 to %d columns", MaxRows, MaxCols)}
	}
	return nil
}
