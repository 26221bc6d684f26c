package transport

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/proctor-mcp/proctor/tools"
)

// request is one on its way. To the MCP library it goes by a number of ours,
// which no client can choose: the ids of two clients never meet, and what one
// cancels is never another's.
type request struct {
	id     json.RawMessage    // the client's
	owner  string             // whose ids are apart from others': a connection, a stream
	cancel context.CancelFunc // ends the call; its process goes on
	slot   tools.Slot

	silent bool // answered or cancelled: nothing more is sent; guarded by requests.mu
}

// requests are all that are on their way.
type requests struct {
	mu     sync.Mutex // guards the fields below, and request.silent
	last   uint64
	all    map[uint64]*request
	owned  map[string]int // how many each owner has
	ending bool           // no more are taken
	idle   chan struct{}  // closed once it is ending and none is on its way
}

func newRequests() *requests {
	return &requests{all: map[uint64]*request{}, owned: map[string]int{}, idle: make(chan struct{})}
}

// number returns the next number.
func (r *requests) number() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	return r.last
}

// begin takes a request, unless it is too late.
func (r *requests) begin(number uint64, q *request) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ending {
		r.all[number] = q
		r.owned[q.owner]++
	}
	return !r.ending
}

// of counts those of an owner.
func (r *requests) of(owner string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.owned[owner]
}

// active returns the request of that number if more may be sent for it, else nil.
func (r *requests) active(number uint64) *request {
	r.mu.Lock()
	defer r.mu.Unlock()
	if q := r.all[number]; q != nil && !q.silent {
		return q
	}
	return nil
}

// answer is active, and the last of it.
func (r *requests) answer(number uint64) *request {
	r.mu.Lock()
	defer r.mu.Unlock()
	q := r.all[number]
	if q == nil || q.silent {
		return nil
	}
	q.silent = true
	return q
}

// finish lets a request go: its answer is sent, or never will be.
func (r *requests) finish(number uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if q, ok := r.all[number]; ok {
		r.removeLocked(number, q)
	}
	r.checkIdleLocked()
}

// cancel cancels the request that the owner calls by that id. It is not answered.
func (r *requests) cancel(owner string, id json.RawMessage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, q := range r.all {
		if q.owner == owner && string(q.id) == string(id) && !q.silent {
			q.silent = true
			q.cancel()
		}
	}
}

// drop lets go of everything of an owner that is gone.
func (r *requests) drop(owner string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for number, q := range r.all {
		if q.owner == owner {
			r.removeLocked(number, q)
		}
	}
	r.checkIdleLocked()
}

func (r *requests) removeLocked(number uint64, q *request) {
	q.cancel()
	delete(r.all, number)
	if r.owned[q.owner]--; r.owned[q.owner] == 0 {
		delete(r.owned, q.owner)
	}
}

// end takes no more requests.
func (r *requests) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ending = true
	r.checkIdleLocked()
}

func (r *requests) checkIdleLocked() {
	if !r.ending || len(r.all) > 0 {
		return
	}
	select {
	case <-r.idle:
	default:
		close(r.idle)
	}
}

// finished waits that long, once it is ending, for all requests to be finished.
func (r *requests) finished(atMost time.Duration) bool {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-r.idle:
		return true
	case <-timer.C:
		return false
	}
}
