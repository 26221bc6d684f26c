package spawn

import (
	"os"
	"time"
)

// Usage returns what the command and all that it forked have used so far. An error
// means that it cannot be seen.
func (p *Process) Usage() (Usage, error) {
	p.group.pin.RLock()
	defer p.group.pin.RUnlock()
	if p.group.stage() == stageClosed {
		return p.group.dead.sum(), nil
	}
	return p.usage()
}

// usage adds up what has ended and what lives.
func (p *Process) usage() (Usage, error) {
	list, err := p.domain.living()
	u := p.group.dead.sum()
	for _, s := range list {
		const tick = time.Second / ticksPerSecond
		rss := int64(s.RSS) * int64(os.Getpagesize())
		u.add(Usage{User: time.Duration(s.User) * tick, System: time.Duration(s.System) * tick, MaxRSS: rss})
		u.RSS += rss
		u.Processes++
	}
	u.MaxRSS = max(u.MaxRSS, u.RSS)
	p.group.dead.add(Usage{MaxRSS: u.MaxRSS}) // what was seen is remembered
	p.domain.correct(&u)
	return u, err
}
