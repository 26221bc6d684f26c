package procmgr

import (
	"context"
	"fmt"
	"slices"
)

const (
	// MaxInputBytes is the most text of one [Input].
	MaxInputBytes = 1 << 20
	// maxResizes is how many sizes of a terminal are kept.
	maxResizes = 64
)

// Input is what to give a process, in this order.
type Input struct {
	Size Size   // new size of its terminal; zero leaves it as it is
	Text []byte // at most MaxInputBytes
	EOF  bool   // no more input comes
}

// Input gives input to a process that was started with Spec.KeepStdin or Spec.TTY. Calls
// take turns. It returns where the output ended before, and how many bytes of Text the
// process has taken.
//
// Errors: *InputError, ErrNotRunning, ErrNoInput, ErrNoTerminal (a Size without a
// terminal), ErrInputClosed, ErrInputLine, and ErrInputFull when ctx has ended before
// all was taken.
func (h Handle) Input(ctx context.Context, in Input) (cursor int64, taken int, err error) {
	if len(in.Text) > MaxInputBytes {
		return 0, 0, &InputError{"text", fmt.Sprintf("%d bytes with keys", len(in.Text)), fmt.Sprintf("at most %d bytes; call again with the rest", MaxInputBytes)}
	}
	if err := validateSize(in.Size, "rows, cols"); err != nil {
		return 0, 0, err
	}
	p := h.p
	cursor = p.output.Total()
	switch {
	case p.hasEnded():
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

// resize changes the size of the terminal, and keeps from which offset of the output on.
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
