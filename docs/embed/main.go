// Command embed is a program that embeds the process manager. The documentation
// shows it (docs/library.md).
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/procmgr/spawn"
	"github.com/proctor-mcp/proctor/procmgr/spawn/early"
)

func main() {
	host := spawn.Setup(spawn.SetupOptions{Guard: early.GuardName})
	os.Exit(host.Run(func() int { // the main thread reaps orphans; the program runs in here
		host.LogTo(slog.Default())
		host.Sweep() // ends what an earlier program left behind when it was killed
		m := procmgr.New(procmgr.Options{Host: host, Env: procmgr.EnvOptions{Inherit: os.Environ()}})
		defer m.Close(context.Background()) // ends what still runs
		if err := run(context.Background(), m); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}))
}

// run leaves a daemon behind and ends it.
func run(ctx context.Context, m *procmgr.Manager) error {
	chat := m.In(procmgr.Chat("c1"))
	p, err := chat.Start(ctx, procmgr.Spec{Command: "setsid sleep 1000 & echo left"})
	if err != nil {
		return err
	}
	if err := p.Wait(ctx); err != nil {
		return err
	}
	process, view := p.View()
	fmt.Printf("exit code %d, descendants %d: %s", process.Exit.Code, process.Descendants, view.Text)
	if _, err := p.Signal(procmgr.SignalKill, procmgr.NoGrace); err != nil {
		return err
	}
	return p.WaitGone(ctx)
}
