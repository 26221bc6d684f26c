package transport

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/proctor-mcp/proctor/tools"
)

// request is a request that is being answered.
type request struct {
	message
	owner  string             // the connection or event stream that its id belongs to
	cancel context.CancelFunc // ends the call; its process goes on
	call   *tools.Call

	// One of these is set if the library has called a handler of ours.
	reply   *tools.Reply
	failure *protocolError

	silent bool // answered or cancelled: nothing more is sent for it; guarded by requests.mu
}

// requests are all requests that are being answered.
type requests struct {
	mu     sync.Mutex // guards the fields below, and request.silent
	all    map[*request]struct{}
	owned  map[string]int // how many each owner has
	ending bool           // no more are taken
	idle   chan struct{}  // closed once ending is set and there are none
}

func newRequests() *requests {
	return &requests{all: map[*request]struct{}{}, owned: map[string]int{}, idle: make(chan struct{})}
}

// begin adds a request. It returns false if no more are taken.
func (r *requests) begin(q *request) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ending {
		r.all[q] = struct{}{}
		r.owned[q.owner]++
	}
	return !r.ending
}

// count returns how many requests an owner has.
func (r *requests) count(owner string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.owned[owner]
}

// mayNotify reports whether notifications about a request may be sent.
func (r *requests) mayNotify(q *request) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, known := r.all[q]
	return known && !q.silent
}

// mayAnswer reports whether the answer to a request may be sent, and nothing after it.
func (r *requests) mayAnswer(q *request) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.all[q]; !known || q.silent {
		return false
	}
	q.silent = true
	return true
}

// finish removes a request: its answer is sent, or never will be.
func (r *requests) finish(q *request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.removeLocked(q)
	r.checkIdleLocked()
}

// cancel cancels the requests with that id of an owner. They are not answered.
func (r *requests) cancel(owner string, id json.RawMessage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for q := range r.all {
		if q.owner == owner && string(q.id) == string(id) && !q.silent {
			q.silent = true
			q.cancel()
		}
	}
}

// drop cancels and removes all requests of an owner that is gone.
func (r *requests) drop(owner string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for q := range r.all {
		if q.owner == owner {
			r.removeLocked(q)
		}
	}
	r.checkIdleLocked()
}

func (r *requests) removeLocked(q *request) {
	if _, known := r.all[q]; !known {
		return
	}
	q.cancel()
	delete(r.all, q)
	if r.owned[q.owner]--; r.owned[q.owner] == 0 {
		delete(r.owned, q.owner)
	}
}

// end makes begin take no more requests.
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

// awaitIdle waits, after end, until all requests are finished. It returns false if
// that takes longer than the limit.
func (r *requests) awaitIdle(limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-r.idle:
		return true
	case <-timer.C:
		return false
	}
}
