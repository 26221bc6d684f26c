// Package tools is what an agent sees: one file for each MCP tool, with its
// definition, its handler and its words. failure.go puts errors into words. Nothing
// here knows MCP's messages: a transport hands in a [Request] and gets a [Reply].
//
// A reply says everything twice: as text for reading, and as data. The text is not the
// JSON again, on purpose: escaped output costs a model tokens, and some clients show a
// model only the text, others only the data.
//
// # Goroutines
//
// A call runs in the goroutine of its transport, or in one that [Call.Begin] makes for
// it; a call that waits for several processes has one for each, and waits for them.
// Signals to all processes of a chat may go on after their answer: [Tools.Close] waits
// for them.
package tools

import (
	"context"
	_ "embed"
	"log/slog"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/coder/quartz"

	"github.com/proctor-mcp/proctor/caller"
	"github.com/proctor-mcp/proctor/fair"
	"github.com/proctor-mcp/proctor/procmgr"
)

// Instructions teach a model the way to work. They are part of the server's
// greeting.
//
//go:embed instructions.md
var Instructions string

// Options configure [Tools].
type Options struct {
	// Manager runs the processes.
	Manager *procmgr.Manager
	// Rules say where a request names its chat.
	Rules caller.Rules
	// MaxCallsPerChat and MaxCallsPerToken limit the calls in progress; one more is
	// refused. 0 is no limit.
	MaxCallsPerChat, MaxCallsPerToken int
	// Clock is the time. Nil is the real one.
	Clock quartz.Clock
	// Log may be nil.
	Log *slog.Logger
}

// New returns the tools of a manager. Close them.
func New(o Options) *Tools {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = quartz.NewReal()
	}
	waiting, endWaits := context.WithCancel(context.Background())
	t := &Tools{
		manager: o.Manager, rules: o.Rules, clock: o.Clock, log: o.Log,
		limits:   newLimits(o.MaxCallsPerChat, o.MaxCallsPerToken),
		handlers: map[string]handler{},
		gate:     fair.New[procmgr.Scope](max(2, runtime.GOMAXPROCS(0))),
		screens:  fair.New[procmgr.Scope](max(2, runtime.GOMAXPROCS(0))),
		waiting:  waiting, endWaits: endWaits,
	}
	add(t, startTool(), (*Call).start)
	add(t, outputTool(), (*Call).output)
	add(t, listTool(), (*Call).list)
	add(t, signalTool(), (*Call).signal)
	add(t, waitTool(), (*Call).wait)
	add(t, inputTool(), (*Call).sendInput)
	return t
}

// add adds a tool, whose arguments are checked and decoded before it gets them.
func add[In any](t *Tools, d Definition, handle func(*Call, context.Context, In) (answer, error)) {
	arguments := newArguments(d.Name)
	t.definitions = append(t.definitions, d)
	t.handlers[d.Name] = func(ctx context.Context, c *Call) (answer, error) {
		var in In
		if err := arguments.decode(c.Arguments, &in); err != nil {
			return answer{}, err
		}
		c.Arguments = nil // they can be large, and the call can wait for long
		return handle(c, ctx, in)
	}
}

// Definitions returns what clients are told about the tools.
func (t *Tools) Definitions() []Definition { return t.definitions }

// Has reports whether there is a tool of that name.
func (t *Tools) Has(tool string) bool { return t.handlers[tool] != nil }

// EndWaits makes every call that waits, now or later, answer with what there is.
func (t *Tools) EndWaits() { t.endWaits() }

// Close ends all waits, and returns when the signals that go on after their answer
// have reached their processes. Close the manager first: it ends these processes.
func (t *Tools) Close() {
	t.endWaits()
	t.background.Wait()
}

// Calls returns how many calls are in progress.
func (t *Tools) Calls() int { return t.limits.inProgress() }

// Call accepts a tool call, waits for its turn and runs it.
func (t *Tools) Call(ctx context.Context, r Request) Reply {
	c := t.Accept(r)
	defer c.Done()
	if err := c.Turn(ctx); err != nil {
		return Reply{Text: words(r.Tool, err), Failed: true}
	}
	return c.Run(ctx)
}

// Accept takes a request in and decides whose it is. A transport whose client sends
// its requests in an order accepts them in that order, and returns at once: a call that
// is refused is refused when it is run.
func (t *Tools) Accept(r Request) *Call {
	c := &Call{Request: r, t: t, began: t.clock.Now()}
	c.Caller, c.refused = t.rules.Resolve(r.Identity, r.Header, r.Meta)
	c.attrs = c.LogAttrs()
	if r.Tool == "" || c.refused != nil {
		return c
	}
	spare := 0
	if r.Tool == signalName {
		spare = spareSignals
	}
	if c.leave, c.refused = t.limits.begin(c.Scope, r.Identity.Token, spare); c.refused == nil && r.Tool == inputName {
		c.input = t.inputs.join(inputKey{c.Scope, processID(r.Arguments)})
	}
	return c
}

// Run answers a tool call, whose turn it must be. ctx ends when nobody waits for the
// answer any more; that never ends a process.
func (c *Call) Run(ctx context.Context) Reply {
	a, err := c.guard(func() (answer, error) {
		if c.refused != nil {
			return answer{}, c.refused
		}
		return c.t.handlers[c.Tool](ctx, c)
	})
	// The records of a process tell what a call has done to it.
	outcome, level := "ok", slog.LevelDebug
	if err != nil {
		outcome, level = "refused", slog.LevelInfo
	}
	if c.t.log.Enabled(ctx, level) {
		c.logger().Log(ctx, level, "tool call", "tool", c.Tool, "outcome", outcome, "duration", c.t.clock.Since(c.began).Round(time.Microsecond))
	}
	if err != nil {
		text, level := words(c.Tool, err), slog.LevelDebug
		if text == internalWords {
			level = slog.LevelError
		}
		c.logger().Log(ctx, level, "tool call refused", "tool", c.Tool, "error", err)
		return Reply{Text: text, Failed: true}
	}
	if ctx.Err() == nil { // else nobody reads it
		c.addNotices(&a)
	}
	return Reply{Text: a.text, Data: encode(a.data)}
}

// guard turns a panic of f into an error. The log alone tells what it was.
func (c *Call) guard(f func() (answer, error)) (a answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			c.logger().Error("panic in a tool", "panic", p, "stack", string(debug.Stack()))
			err = errPanic
		}
	}()
	return f()
}
