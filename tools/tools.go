// Package tools is what an agent sees: one file per MCP tool, each with its
// definition, its handler and its words. Errors become words in failure.go.
//
// A result carries the same facts twice: as text for reading, and as structured
// content. The text is on purpose not the JSON again: escaped output costs a
// model tokens, and some clients show a model only the one, some only the other.
package tools

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/coder/quartz"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/proctor-mcp/proctor/caller"
	"github.com/proctor-mcp/proctor/fair"
	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/schemas"
)

// Instructions teach a model the way to work. They are part of the server's
// greeting.
//
//go:embed instructions.md
var Instructions string

const (
	defaultWait       = 10 * time.Second // for an exit that is awaited
	defaultSignalWait = time.Second
	shortSignalWait   = 100 * time.Millisecond // of signals that are not sent for an end
	// unpromisedWait is the longest wait of a call that cannot be kept alive by
	// progress: common clients give up after 60 s.
	unpromisedWait   = 50 * time.Second
	defaultListLimit = 10
)

// Options configure [Tools].
type Options struct {
	// Manager runs the processes.
	Manager *procmgr.Manager
	// Rules say where a request names its chat.
	Rules caller.Rules
	// MaxCallsPerChat and MaxCallsPerToken bound the calls on their way; one more
	// is refused. 0 is no bound.
	MaxCallsPerChat, MaxCallsPerToken int
	// Clock is the time. Nil is the real one.
	Clock quartz.Clock
	// Log may be nil.
	Log *slog.Logger
}

// Tools answer tool calls out of a process manager.
type Tools struct {
	manager *procmgr.Manager
	rules   caller.Rules
	limits  *limits
	gate    *fair.Queue[procmgr.Scope] // calls that work; one that waits for a process does not
	screens *fair.Queue[procmgr.Scope] // those that are played
	queued  atomic.Int64               // calls that wait for their turn there
	clock   quartz.Clock
	log     *slog.Logger

	waiting  context.Context // ends every wait
	endWaits context.CancelFunc
}

// New returns the tools of a manager.
func New(o Options) *Tools {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = quartz.NewReal()
	}
	waiting, endWaits := context.WithCancel(context.Background())
	return &Tools{
		manager: o.Manager, rules: o.Rules, clock: o.Clock, log: o.Log,
		limits:  newLimits(o.MaxCallsPerChat, o.MaxCallsPerToken),
		gate:    fair.New[procmgr.Scope](max(2, runtime.GOMAXPROCS(0))),
		screens: fair.New[procmgr.Scope](max(2, runtime.GOMAXPROCS(0))),
		waiting: waiting, endWaits: endWaits,
	}
}

// EndWaits makes every call that waits, now or later, answer with what there is.
func (t *Tools) EndWaits() { t.endWaits() }

// Calls returns how many calls are on their way.
func (t *Tools) Calls() int { return t.limits.onTheirWay() }

// Server returns an MCP server with the tools, for every transport.
func (t *Tools) Server(version string) *server.MCPServer {
	var hooks server.Hooks
	hooks.AddOnError(explain)
	s := server.NewMCPServer("proctor", version,
		server.WithTitle("Proctor"),
		server.WithInstructions(Instructions),
		server.WithHooks(&hooks),
		server.WithToolCapabilities(false),
		server.WithResourceCapabilities(false, false))
	add(t, s, startTool(), t.start)
	add(t, s, outputTool(), t.output)
	add(t, s, listTool(), t.list)
	add(t, s, signalTool(), t.signal)
	add(t, s, waitTool(), t.wait)
	add(t, s, inputTool(), t.input)
	t.addResources(s)
	return s
}

// call is one tool call on its way.
type call struct {
	caller.Caller
	base     *slog.Logger
	attrs    []any      // of the records of the call
	progress any        // the client's progress token, or nil
	notes    []string   // remarks for the answer
	turn     *fair.Turn // to work
}

// log returns a logger whose records carry whose call it is. It is made when it
// is needed: most calls that only look log nothing.
func (c *call) log() *slog.Logger { return c.base.With(c.attrs...) }

// note adds a remark, once.
func (c *call) note(format string, args ...any) {
	if note := fmt.Sprintf(format, args...); !slices.Contains(c.notes, note) {
		c.notes = append(c.notes, note)
	}
}

// answer is what a handler gives: text to read and the same as data.
type answer struct {
	text string
	data schemas.Result
}

// add registers a handler behind everything that calls have in common: who
// asks, how much at once, valid arguments, the log, and words for errors.
func add[In any](t *Tools, s *server.MCPServer, tool mcp.Tool, handle func(context.Context, *call, In) (answer, error)) {
	arguments := newArguments(tool.Name)
	s.AddTool(tool, func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		begin := t.clock.Now()
		ctx, cancel := withStream(ctx)
		defer cancel()
		c := &call{base: t.log}
		a, err := guarded(c, func() (answer, error) {
			done, err := t.admit(ctx, c, r.Header, r.Params.Meta, tool.Name)
			if err != nil {
				return answer{}, err
			}
			defer done()
			if err := t.queue(ctx, c, len(r.Params.RawArguments)); err != nil {
				return answer{}, err
			}
			defer leaveWith(ctx, c)
			var in In
			if err := arguments.decode(r.Params.RawArguments, &in); err != nil {
				return answer{}, err
			}
			return handle(ctx, c, in)
		})
		// What a call has done is told by the records of its process.
		outcome, level := "ok", slog.LevelDebug
		if err != nil {
			outcome, level = "refused", slog.LevelInfo
		}
		if t.log.Enabled(ctx, level) {
			c.log().Log(ctx, level, "tool call", "tool", tool.Name, "outcome", outcome, "duration", t.clock.Since(begin).Round(time.Microsecond))
		}
		if err != nil {
			text, level := words(tool.Name, err), slog.LevelDebug
			if text == internalWords {
				level = slog.LevelError
			}
			c.log().Log(ctx, level, "tool call refused", "tool", tool.Name, "error", err)
			return deliver(ctx, mcp.NewToolResultError(text)), nil
		}
		if ctx.Err() == nil { // else nobody reads it
			t.notice(c, &a)
		}
		// The data says what the text says, with the names of its fields.
		return deliver(ctx, &mcp.CallToolResult{
			Content: []mcp.Content{mcp.NewTextContent(a.text)}, RawStructuredContent: encode(a.data),
		}), nil
	})
}

// guarded turns a panic of f into an error; what it was goes to the log alone.
func guarded(c *call, f func() (answer, error)) (a answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			c.log().Error("panic in a tool", "panic", p, "stack", string(debug.Stack()))
			err = errPanic
		}
	}()
	return f()
}

// admit decides who calls and whether there is room for the call. The returned
// function makes the room free again.
func (t *Tools) admit(ctx context.Context, c *call, header map[string][]string, m *mcp.Meta, tool string) (done func(), err error) {
	var meta map[string]any
	if m != nil {
		meta, c.progress = m.AdditionalFields, m.ProgressToken
	}
	if token, ok := ctx.Value(progressTokenKey{}).(json.RawMessage); ok {
		c.progress = token // as the client wrote it: the library rounds large numbers
	}
	id := caller.IdentityFrom(ctx)
	who, err := t.rules.Resolve(id, header, meta)
	c.Caller, c.attrs = who, who.LogAttrs()
	if err != nil {
		return nil, err
	}
	spare := 0
	if tool == signalName {
		spare = spareSignals
	}
	return t.limits.begin(who.Scope, id.Token, spare)
}

// define returns a tool with everything that a definition needs.
func define(name, title, description string, hints mcp.ToolAnnotation) mcp.Tool {
	tool := mcp.NewToolWithRawSchema(name, description, schemas.InputSchema(name))
	tool.Title = title
	tool.RawOutputSchema = schemas.OutputSchema(name)
	hints.Title = title
	tool.Annotations = hints
	return tool
}

func hints(readOnly, destructive, idempotent, openWorld bool) mcp.ToolAnnotation {
	return mcp.ToolAnnotation{
		ReadOnlyHint: &readOnly, DestructiveHint: &destructive,
		IdempotentHint: &idempotent, OpenWorldHint: &openWorld,
	}
}

// within returns a context that ends after the wait that was asked for, with the
// call, or when all waits are to end.
func (t *Tools) within(ctx context.Context, c *call, asked *schemas.Int, otherwise time.Duration) (context.Context, context.CancelFunc) {
	wait := otherwise
	if asked != nil {
		wait = milliseconds(*asked)
	}
	if wait > unpromisedWait && c.progress == nil {
		wait = unpromisedWait
		c.note("wait_ms was shortened to %d, since many clients give up after 60 s; call process_output to wait on.", unpromisedWait.Milliseconds())
	}
	ctx, cancel := context.WithCancel(ctx)
	over := t.clock.AfterFunc(wait, cancel, "wait")
	stop := context.AfterFunc(t.waiting, cancel)
	return ctx, func() {
		over.Stop()
		stop()
		cancel()
	}
}

func milliseconds(n schemas.Int) time.Duration { return time.Duration(n) * time.Millisecond }

// told tells the manager which exits the answer holds, if anybody reads it.
func (t *Tools) told(ctx context.Context, c *call, processes ...procmgr.Process) {
	if ctx.Err() != nil {
		return
	}
	for _, p := range processes {
		if !p.State.Running() {
			t.manager.Told(c.Scope, p.ID)
		}
	}
}
