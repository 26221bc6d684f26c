package tools

import (
	"encoding/json"
	"sync"

	"github.com/proctor-mcp/proctor/procmgr"
)

// inputOrder has each process get its input in the order in which the calls came,
// whichever is worked on first.
type inputOrder struct {
	mu     sync.Mutex // guards the fields below, and over of the places
	places map[inputKey][]*inputPlace
}

type inputKey struct {
	scope procmgr.Scope
	id    string
}

// inputPlace is the place of one call among the inputs of a process.
type inputPlace struct {
	key   inputKey
	first chan struct{} // closed once it is the first
	over  bool
}

// join takes the last place.
func (o *inputOrder) join(key inputKey) *inputPlace {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := &inputPlace{key: key, first: make(chan struct{})}
	if o.places == nil {
		o.places = map[inputKey][]*inputPlace{}
	}
	o.places[key] = append(o.places[key], p)
	if len(o.places[key]) == 1 {
		close(p.first)
	}
	return p
}

// leave gives a place back. A second call does nothing.
func (o *inputOrder) leave(p *inputPlace) {
	o.mu.Lock()
	defer o.mu.Unlock()
	p.over = true
	places := o.places[p.key]
	if len(places) == 0 || places[0] != p {
		return // the places before it are still taken
	}
	for len(places) > 0 && places[0].over {
		places = places[1:]
	}
	if len(places) == 0 {
		delete(o.places, p.key)
		return
	}
	o.places[p.key] = places
	close(places[0].first)
}

// processID returns the process_id of arguments, or "" if they have none.
func processID(arguments json.RawMessage) string {
	var in struct {
		ID string `json:"process_id"`
	}
	_ = json.Unmarshal(arguments, &in) // what is wrong is found when they are decoded
	return in.ID
}
