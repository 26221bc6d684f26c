// Package procmgr runs processes on behalf of chats and keeps what became of
// them. It knows nothing of MCP, HTTP or JSON and can be embedded:
//
//	m := procmgr.New(procmgr.Options{Env: procmgr.EnvOptions{Inherit: os.Environ()}})
//	defer m.Close(context.Background())
//	p, err := m.In(procmgr.Chat("c1")).Start(ctx, procmgr.Spec{Command: "make test"})
//	…
//	err = p.Wait(ctx)
//	snapshot, view := p.View()
//
// # Scope
//
// Every process belongs to the [Scope] that started it. [Manager.In] is the manager as
// one scope sees it, [Scoped.Find] the only way from an id to a process: an id of
// another scope is answered exactly as an id that never was, [ErrNotFound]. No scope
// stands for several. Only the [Owner], whom [NewOwned] returns beside the manager,
// can list the scopes and find that of an id.
//
// # State
//
// The legal steps of a process; the single writer is State.transition:
//
//	running  -> stopping   a signal, the time limit or Close asked it to end
//	running  -> exited     its exit was seen
//	running  -> lost       its exit status cannot be known
//	stopping -> running    the request could not be delivered
//	stopping -> exited     its exit was seen
//	stopping -> lost       its exit status cannot be known
//
// A process has ended when its command has. It is gone, and only kept to be read, when
// all that it forked has ended as well. Whether its output is still open (a descendant
// may hold it) is a fact of its own.
//
// # Context
//
// A context given to a method bounds only how long that call waits. A process
// ends by itself, by its time limit, by [Handle.Signal] or by [Manager.Close],
// never because a call ended.
//
// # Input
//
// A process reads nothing unless its [Spec] says so: text and then end of file, a pipe
// that stays open, or a terminal. [Handle.Input] writes to the latter two, in turn,
// and never waits longer than its context. What a terminal shows can be found out from
// the output and from Process.Sizes.
//
// # Goroutines and locks
//
// The manager starts a goroutine for the log record of each exit, for each process that
// is forgotten because others have ended, and while it makes room for output, and no
// other. Package spawn has one for all processes, and more for some. [Manager.Close]
// waits for all of them. Timers (the time limit, the grace, forgetting) run their
// function for a moment and are stopped by Close.
//
// Locks are taken in the order Manager.mu, process.mu, that of an output.Store. The
// first two are not held while package spawn, a hook or the log is called, or while a
// file is read or written; package lockorder checks that in builds with the race
// detector. Package spawn takes all three when something was written or has ended, for
// all processes from one goroutine: a store that writes to its file for another reason
// than new output holds no lock but at the very end.
//
// A waiter costs nothing but its own call: it waits for a channel that the exit
// closes. One for Condition.Asks or Condition.Port looks at /proc now and then.
package procmgr
