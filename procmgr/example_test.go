//go:build linux

package procmgr_test

import (
	"context"
	"fmt"
	"os"

	"github.com/proctor-mcp/proctor/procmgr"
	"github.com/proctor-mcp/proctor/procmgr/output"
)

func Example() {
	m := procmgr.New(procmgr.Options{Env: procmgr.EnvOptions{Inherit: os.Environ()}})
	defer m.Close(context.Background())

	ctx := context.Background()
	p, err := m.In(procmgr.Chat("c1")).Start(ctx, procmgr.Spec{Command: "echo building; exit 2"})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := p.Wait(ctx); err != nil {
		fmt.Println(err)
		return
	}
	snapshot, view := p.View()
	fmt.Printf("%s with code %d: %s", snapshot.State, snapshot.Exit.Code, view.Text)
	// Output: exited with code 2: building
}

// A server is ready when it says so.
func ExampleHandle_WaitFor() {
	m := procmgr.New(procmgr.Options{Env: procmgr.EnvOptions{Inherit: os.Environ()}})
	defer m.Close(context.Background())

	ctx := context.Background()
	p, err := m.In(procmgr.Chat("c1")).Start(ctx, procmgr.Spec{Command: "echo listening on 8080; exec sleep 1000"})
	if err != nil {
		fmt.Println(err)
		return
	}
	ready, err := output.CompilePattern(`^listening on \d+$`, false)
	if err != nil {
		fmt.Println(err)
		return
	}
	waited := p.WaitFor(ctx, procmgr.Condition{Match: ready})
	fmt.Println(waited.Result, waited.Line.Text)
	reach, err := p.Signal(procmgr.SignalKill, procmgr.NoGrace)
	fmt.Println(reach.KillDomain, reach.Escapes, err)
	// Output:
	// output_matches listening on 8080
	// process_group true <nil>
}

// Only the owner sees more than one scope.
func ExampleNewOwned() {
	m, owner := procmgr.NewOwned(procmgr.Options{Env: procmgr.EnvOptions{Inherit: os.Environ()}})
	defer m.Close(context.Background())

	p, err := m.In(procmgr.Chat("c1")).Start(context.Background(), procmgr.Spec{Command: "exec sleep 1000"})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = m.In(procmgr.Chat("c2")).Find(p.ID())
	fmt.Println(err)
	scope, err := owner.ScopeOf(p.ID())
	fmt.Println(owner.Scopes(), scope, err)
	// Output:
	// no such process
	// [c1] c1 <nil>
}
