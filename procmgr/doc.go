// Package procmgr runs processes on behalf of chats and keeps what became of
// them. It knows nothing of MCP, HTTP or JSON and can be embedded:
//
//	m := procmgr.New(procmgr.Options{Environ: os.Environ()})
//	defer m.Close(context.Background())
//	started, err := m.Start(ctx, procmgr.Chat("c1"), procmgr.Spec{Command: "make test"})
//	…
//	err = m.Wait(ctx, procmgr.Chat("c1"), started.ID)
//	p, view, err := m.Output(procmgr.Chat("c1"), started.ID)
//
// # Scope
//
// Every process belongs to the [Scope] that started it, and every method that
// touches a process takes one. An id of another scope is answered exactly as an
// id that never was: [ErrNotFound].
//
// # State
//
// The legal steps of a process; the single writer is process.transitionLocked:
//
//	running  -> stopping   a signal, the time limit or Close asked it to end
//	running  -> exited     its exit was seen
//	running  -> lost       its exit status cannot be known
//	stopping -> running    the request could not be delivered
//	stopping -> exited     its exit was seen
//	stopping -> lost       its exit status cannot be known
//
// Whether its output is still open (a descendant may hold it) and whether
// descendants live on are facts of their own.
//
// # Context
//
// A context given to a method bounds only how long that call waits. A process
// ends by itself, by its time limit, by [Manager.Signal] or by [Manager.Close],
// never because a call ended.
//
// # Input
//
// A process reads nothing unless its [Spec] says so: text and then end of file, a pipe
// that stays open, or a terminal. [Manager.Input] writes to the latter two, in turn,
// and never waits longer than its context. What a terminal shows is for others to find
// out from its output and its Process.Sizes.
//
// # Goroutines and locks
//
// The manager starts a goroutine for the log record of each exit, and no other. Package
// spawn has one for all processes, and more for some. [Manager.Close] waits for all
// of them. Timers (the time limit, the grace, forgetting) run their function for a
// moment and are stopped by Close.
//
// Locks are taken in the order Manager.mu, process.mu; neither is held while
// package spawn is called. What makes room when output exceeds Options.OutputMemory takes
// them while it holds the budget's lock, and no other.
//
// A waiter costs nothing but its own call: it waits for a channel that the exit
// closes. One for Condition.Asks or Condition.Port looks at /proc now and then.
package procmgr
