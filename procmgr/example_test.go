//go:build linux

package procmgr_test

import (
	"context"
	"fmt"
	"os"

	"github.com/proctor-mcp/proctor/procmgr"
)

func Example() {
	m := procmgr.New(procmgr.Options{Env: procmgr.EnvOptions{Inherit: os.Environ()}})
	defer m.Close(context.Background())

	ctx, chat := context.Background(), procmgr.Chat("c1")
	started, err := m.In(chat).Start(ctx, procmgr.Spec{Command: "echo building; exit 2"})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := started.Wait(ctx); err != nil {
		fmt.Println(err)
		return
	}
	p, view := started.View()
	fmt.Printf("%s with code %d: %s", p.State, p.Exit.Code, view.Text)
	// Output: exited with code 2: building
}
