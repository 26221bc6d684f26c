package tools

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/procmgr/output"
)

// progressEvery is how often a waiting call that gave a progress token is told
// how things stand.
const progressEvery = 5 * time.Second

// Notify sends a notification to the client of a call. It returns once it is
// sent, or not at all when the call was answered or cancelled.
type Notify func(method string, params map[string]any)

type notifyKey struct{}

// WithNotify returns a context whose calls can notify their client.
func WithNotify(ctx context.Context, notify Notify) context.Context {
	return context.WithValue(ctx, notifyKey{}, notify)
}

// SendProgress sends a progress notification to the client of a call, if it can
// be notified.
func SendProgress(ctx context.Context, params map[string]any) {
	if notify, ok := ctx.Value(notifyKey{}).(Notify); ok {
		notify("notifications/progress", params)
	}
}

// Slot takes the result of a tool call past the MCP library, so that a transport
// encodes it by itself and once.
type Slot struct {
	Result *mcp.CallToolResult // nil unless a tool has answered
	// Modern says that the request speaks protocol 2026-07-28 or later, whose
	// results say what they are and who gives them.
	Modern bool
	// Failure, if not nil, says better than the library why the request failed.
	Failure *mcp.JSONRPCErrorDetails
	// Hold keeps the call's turn to work until the transport calls Leave, once the
	// answer is written: a client that does not read then holds up only itself.
	Hold  bool
	Leave func() // nil if the call has no turn
	// Before, if not nil, is closed when the input that was sent to the same process
	// before is written; Written, if not nil, tells that this one is. Calling it again
	// does nothing.
	Before  <-chan struct{}
	Written func()
	// Waiting, if not nil, is told when the call begins and ends to wait.
	Waiting func(waiting bool)
}

type slotKey struct{}

// WithSlot returns a context whose call puts its result into the slot and hands
// an empty one to the MCP library.
func WithSlot(ctx context.Context, slot *Slot) context.Context {
	return context.WithValue(ctx, slotKey{}, slot)
}

type progressTokenKey struct{}

// WithProgressToken returns a context whose call has that progress token, as its
// client wrote it.
func WithProgressToken(ctx context.Context, token json.RawMessage) context.Context {
	return context.WithValue(ctx, progressTokenKey{}, token)
}

// queue waits for the turn of a call. Meanwhile it does not count as busy if it is
// small and there are not too many, so that a transport goes on to read.
func (t *Tools) queue(ctx context.Context, c *call, size int) (err error) {
	const small, many = 4 << 10, 1000
	defer t.queued.Add(-1)
	if t.queued.Add(1) <= many && size <= small {
		defer waiting(ctx)()
	}
	c.turn, err = t.gate.Turn(ctx, c.Scope)
	return err
}

// inOrder waits until the client's input of before is written, if the transport knows
// an order. written tells that this one is.
func inOrder(ctx context.Context) (written func(), err error) {
	slot, _ := ctx.Value(slotKey{}).(*Slot)
	if slot == nil || slot.Written == nil {
		return func() {}, nil
	}
	if slot.Before != nil {
		select {
		case <-slot.Before:
		case <-ctx.Done():
			return nil, procmgr.ErrInputFull
		}
	}
	return slot.Written, nil
}

// pause lets other calls work while this one waits; the returned function takes
// its turn again.
func (t *Tools) pause(ctx context.Context, c *call) (resume func()) {
	c.turn.Leave()
	over := waiting(ctx)
	return func() {
		// Even a call that is cancelled comes to its end in turn.
		c.turn, _ = t.gate.Turn(context.WithoutCancel(ctx), c.Scope)
		over()
	}
}

// breath is for work that takes long: it lets other calls work, and says whether
// anybody still waits for this one.
func (t *Tools) breath(ctx context.Context, c *call) func() bool {
	return func() bool {
		t.pause(ctx, c)()
		return ctx.Err() == nil
	}
}

// waiting tells the transport that a call waits; the returned function, that it
// works again.
func waiting(ctx context.Context) (over func()) {
	slot, _ := ctx.Value(slotKey{}).(*Slot)
	if slot == nil || slot.Waiting == nil {
		return func() {}
	}
	slot.Waiting(true)
	return func() { slot.Waiting(false) }
}

// leaveWith ends the turn of a call, or leaves that to its transport.
func leaveWith(ctx context.Context, c *call) {
	if slot, ok := ctx.Value(slotKey{}).(*Slot); ok && slot.Hold {
		c.turn.Keep() // a client that does not read shall not have another one served
		slot.Leave = c.turn.Leave
		return
	}
	c.turn.Leave()
}

type streamKey struct{}

// WithStream returns a context whose calls end with the stream that their answer
// would travel on, for transports whose requests do not.
func WithStream(ctx, stream context.Context) context.Context {
	return context.WithValue(ctx, streamKey{}, stream)
}

func withStream(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stream, ok := ctx.Value(streamKey{}).(context.Context)
	if !ok {
		return ctx, cancel
	}
	stop := context.AfterFunc(stream, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// deliver returns the result, or puts it into the slot of the call.
func deliver(ctx context.Context, result *mcp.CallToolResult) *mcp.CallToolResult {
	slot, ok := ctx.Value(slotKey{}).(*Slot)
	if !ok {
		return result
	}
	slot.Result, slot.Modern = result, server.IsModernRequest(ctx)
	return &mcp.CallToolResult{Content: []mcp.Content{}}
}

// report tells the client how processes stand until the returned function is
// called. It does nothing if the client did not ask for progress.
func (t *Tools) report(ctx context.Context, c *call, ids ...string) (stop func()) {
	if c.progress == nil || len(ids) == 0 {
		return func() {}
	}
	begin := t.clock.Now()
	ctx, cancel := context.WithCancel(ctx)
	waiter := t.clock.TickerFunc(ctx, progressEvery, func() error {
		message, err := t.progress(c, ids)
		if err != nil {
			return err
		}
		elapsed := t.clock.Since(begin)
		SendProgress(ctx, map[string]any{
			"progressToken": c.progress,
			"progress":      elapsed.Seconds(),
			"message":       message,
		})
		return nil
	}, "progress")
	return func() {
		cancel()
		_ = waiter.Wait() // nothing is sent behind the answer
	}
}

// progress tells in one line where processes stand.
func (t *Tools) progress(c *call, ids []string) (string, error) {
	ended := 0
	for _, id := range ids {
		p, view, err := t.manager.Output(c.Scope, id)
		switch {
		case len(ids) == 1 && err != nil:
			return "", err
		case len(ids) == 1:
			return progressMessage(p, view), nil
		case err != nil || !p.State.Running():
			ended++
		}
	}
	return fmt.Sprintf("%d of %d processes have ended", ended, len(ids)), nil
}

func progressMessage(p procmgr.Process, v output.View) string {
	message := fmt.Sprintf("%s, %d bytes of output", status(p), v.Next)
	text := strings.TrimRight(v.Text, "\r\n")
	if last := text[strings.LastIndexAny(text, "\r\n")+1:]; last != "" {
		message += ": " + clip(last)
	}
	return message
}
