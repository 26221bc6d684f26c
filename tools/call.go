package tools

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/coder/quartz"

	"github.com/proctor-mcp/proctor/caller"
	"github.com/proctor-mcp/proctor/fair"
	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/schemas"
)

const (
	defaultWait = 10 * time.Second // for an exit
	// longestSilentWait is the longest wait of a call whose client asked for no
	// progress: many clients give up after 60 s without a word.
	longestSilentWait = 50 * time.Second
	// allOfChat is more processes than a chat can have.
	allOfChat = 1 << 20
)

// Tools answers requests out of a process manager.
type Tools struct {
	manager *procmgr.Manager
	rules   caller.Rules
	limits  *limits
	inputs  inputOrder
	clock   quartz.Clock
	log     *slog.Logger

	handlers    map[string]handler // by the name of the tool
	definitions []Definition

	gate    *fair.Queue[procmgr.Scope] // calls that work; one that waits for a process does not
	screens *fair.Queue[procmgr.Scope] // screens that are rendered

	waiting    context.Context // ends every wait
	endWaits   context.CancelFunc
	background sync.WaitGroup // signals that are on their way after their answer
}

// handler answers the calls of one tool.
type handler func(context.Context, *Call) (answer, error)

// answer is what a handler returns: text to read, and the same as data.
type answer struct {
	text string
	data schemas.Result
}

// Call is a request that [Tools.Accept] took in. Whoever has it calls Begin, or Turn, to
// wait for its turn; then Run or Read; and in any case Done.
type Call struct {
	Request
	caller.Caller
	t *Tools

	began   time.Time
	refused error       // why it is refused, nil if it is not
	leave   func()      // gives back its place among the calls of its chat; nil if it has none
	input   *inputPlace // among the inputs of one process; nil if it is no input
	turn    *fair.Turn  // nil before its turn
	attrs   []any       // of its log records
	notes   []string    // remarks for its answer
}

// Begin returns true if it is the turn of the call's chat already. Else it returns
// false, and calls f in a goroutine of its own when it is: until then the call costs no
// goroutine.
func (c *Call) Begin(f func()) (now bool) {
	turn := c.t.gate.Begin(c.Scope, func(turn *fair.Turn) {
		c.turn = turn
		f()
	})
	if turn != nil {
		c.turn = turn
	}
	return turn != nil
}

// Turn waits until it is the turn of the call's chat. It returns the context's error
// if that ends first; a signal waits nevertheless, since its process must get it.
func (c *Call) Turn(ctx context.Context) (err error) {
	if c.Tool == signalName {
		ctx = context.WithoutCancel(ctx)
	}
	c.turn, err = c.t.gate.Turn(ctx, c.Scope)
	return err
}

// Keep makes the turn last until Done, also while the answer is written: a client
// that does not read then keeps others from working, and does not fill the memory.
func (c *Call) Keep() { c.turn.Keep() }

// Done gives back what the call holds: its turn, and its places in queues.
func (c *Call) Done() {
	if c.turn != nil {
		c.turn.Leave()
	}
	if c.leave != nil {
		c.leave()
	}
	if c.input != nil {
		c.t.inputs.leave(c.input)
	}
}

// pause lets other calls work while this one waits. The returned function waits for
// the next turn: a call that was cancelled takes turns to its end as well.
func (c *Call) pause() (resume func()) {
	c.turn.Leave()
	return func() { c.turn, _ = c.t.gate.Turn(context.Background(), c.Scope) }
}

// yield is for work that takes long: it lets the other calls work first, and reports
// whether anybody still waits for this one.
func (c *Call) yield(ctx context.Context) bool {
	c.pause()()
	return ctx.Err() == nil
}

// logger returns a logger whose records tell whose call it is. Most calls log nothing,
// so it is made on demand.
func (c *Call) logger() *slog.Logger { return c.t.log.With(c.attrs...) }

// note adds a remark to the answer, unless it has it.
func (c *Call) note(format string, args ...any) {
	if note := fmt.Sprintf(format, args...); !slices.Contains(c.notes, note) {
		c.notes = append(c.notes, note)
	}
}

// processes returns the processes that the call can reach.
func (c *Call) processes() procmgr.Scoped { return c.t.manager.In(c.Scope) }

// find returns the process that the call is about.
func (c *Call) find(id string) (procmgr.Handle, error) {
	c.attrs = append(c.attrs, "process_id", excerpt(id))
	return c.processes().Find(id)
}

// reportExit tells the manager that the answer shows how a process ended, unless nobody
// reads the answer.
func (c *Call) reportExit(ctx context.Context, h procmgr.Handle, p procmgr.Process) {
	if ctx.Err() == nil && !p.State.Running() {
		h.MarkReported()
	}
}

// within returns a context that ends with the call, after the wait that the call asked
// for, or when all waits are to end.
func (c *Call) within(ctx context.Context, asked *schemas.Int, otherwise time.Duration) (context.Context, context.CancelFunc) {
	return c.limit(ctx, c.waitTime(asked, otherwise))
}

// waitTime returns the wait that the call asked for, unless that is too long for its
// client.
func (c *Call) waitTime(asked *schemas.Int, otherwise time.Duration) time.Duration {
	wait := otherwise
	if asked != nil {
		wait = milliseconds(*asked)
	}
	if wait > longestSilentWait && c.ProgressToken == nil {
		wait = longestSilentWait
		c.note("wait_ms was shortened to %d, since many clients give up after 60 s; call process_output to wait on.", wait.Milliseconds())
	}
	return wait
}

// limit returns a context that ends with the call, after that wait, or when all waits
// are to end.
func (c *Call) limit(ctx context.Context, wait time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	over := c.t.clock.AfterFunc(wait, cancel, "wait")
	stop := context.AfterFunc(c.t.waiting, cancel)
	return ctx, func() {
		over.Stop()
		stop()
		cancel()
	}
}

func milliseconds(n schemas.Int) time.Duration { return time.Duration(n) * time.Millisecond }
