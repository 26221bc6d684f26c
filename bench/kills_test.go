//go:build linux

package main

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

// killsTrees starts trees of processes and kills each, until ctx ends. What has left the
// process group must be searched for.
func killsTrees(ctx context.Context, s *server) (killed int, err error) {
	const tree = `{"command":"(setsid sleep 1000 &); sleep 1000 & echo up; wait","background":true}`
	for ; ctx.Err() == nil; killed++ {
		a, err := s.call(ctx, attacker, "process_start", tree)
		if err != nil {
			return killed, err
		}
		_, err = s.call(ctx, attacker, "process_output", fmt.Sprintf(`{"process_id":%q,"wait_ms":10000,"wait_for":{"output_matches":"up"}}`, a.ProcessID))
		if err == nil {
			_, err = s.call(ctx, attacker, "process_signal", fmt.Sprintf(`{"process_id":%q,"signal":"kill","wait_ms":10000}`, a.ProcessID))
		}
		if err != nil {
			return killed, err
		}
	}
	return killed, nil
}

// TestWakeUpBesideKills measures the wake-ups of a chat while another one kills trees of
// processes, beside many idle ones.
func TestWakeUpBesideKills(t *testing.T) {
	n, idle := *wakes, 1500
	if n == 0 {
		n, idle = 3, 20
	}
	for _, domain := range []string{"cgroup", "descendants"} {
		t.Run(domain, func(t *testing.T) {
			s := newServer(t, serverArgv(t, "--max-running", "0", "--max-running-per-chat", "0", "--kill-domain", domain))
			var starts series
			var wg sync.WaitGroup
			for range idle {
				wg.Go(func() {
					a, err := s.call(t.Context(), "idle", "process_start", idleCommand)
					starts.add(a.took(), err)
				})
			}
			wg.Wait()
			starts.check(t, "starts of idle processes")

			dir := t.TempDir()
			wakeUps := func() *series {
				var took series
				for range n {
					d, err := wakeUp(t.Context(), s, dir, `{"output_matches":"^done$"}`, false)
					took.add(d, err)
				}
				took.check(t, "wake-ups")
				return &took
			}
			alone := wakeUps()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			killed := make(chan int, 1)
			go func() {
				kills, err := killsTrees(ctx, s)
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				killed <- kills
			}()
			took := wakeUps()
			cancel()
			t.Logf("beside %d idle processes: %v", idle, alone)
			t.Logf("and beside %d kills: %v", <-killed, took)
			if *wakes > 0 && took.at(99) > 10*time.Millisecond {
				t.Errorf("p99 is %v", took.at(99))
			}
		})
	}
}
