package procmgr

import (
	"crypto/sha256"

	"github.com/coder/quartz"
)

// scopes has what belongs to each scope. There is no other way to a process than by its
// scope. Manager.mu guards it and all that is in it.
type scopes map[Scope]*belongings

// belongings are what belongs to one scope.
type belongings struct {
	processes map[string]*process // by id, until they are forgotten
	requests  map[string]*request // by request id
	running   int                 // processes that are being started or are not gone
	finished  int                 // processes that are gone and not forgotten
	// unreported are processes that have ended, in that order. The exits of some may have
	// been reported since.
	unreported []*process
}

// request is a start that carries an id, kept for RequestTTL.
type request struct {
	digest  [sha256.Size]byte
	settled chan struct{} // closed once the start has succeeded or failed
	err     error         // why it failed; set before settled is closed
	process *process      // nil before the start and once the process is forgotten
	last    Process       // the process when it was forgotten, without its command
	expiry  *quartz.Timer
}

// of returns what belongs to a scope. After something was removed, tidy must be called.
func (s scopes) of(scope Scope) *belongings {
	if s[scope] == nil {
		s[scope] = &belongings{processes: map[string]*process{}, requests: map[string]*request{}}
	}
	return s[scope]
}

// find returns a process of a scope, or nil.
func (s scopes) find(scope Scope, id string) *process {
	if b := s[scope]; b != nil {
		return b.processes[id]
	}
	return nil
}

// holds reports whether a process is known and not forgotten.
func (s scopes) holds(p *process) bool { return s.find(p.facts.Scope, p.facts.ID) == p }

// tidy removes a scope to which nothing belongs.
func (s scopes) tidy(scope Scope) {
	b := s[scope]
	if b != nil && len(b.processes) == 0 && len(b.requests) == 0 && b.running == 0 && b.finished == 0 {
		delete(s, scope)
	}
}

// processes returns every process of every scope.
func (s scopes) processes() (all []*process) {
	for _, b := range s {
		for _, p := range b.processes {
			all = append(all, p)
		}
	}
	return all
}
