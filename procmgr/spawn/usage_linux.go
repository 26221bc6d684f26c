package spawn

import (
	"os"
	"time"
)

// usage adds up what has ended and what lives. An error means that not all could be
// seen.
func usage(d domain, dead *account) (Usage, error) {
	list, err := d.living()
	u := dead.sum()
	for _, s := range list {
		const tick = time.Second / ticksPerSecond
		rss := int64(s.RSS) * int64(os.Getpagesize())
		u.add(Usage{User: time.Duration(s.User) * tick, System: time.Duration(s.System) * tick, MaxRSS: rss})
		u.RSS += rss
		u.Processes++
	}
	u.MaxRSS = max(u.MaxRSS, u.RSS)
	dead.add(Usage{MaxRSS: u.MaxRSS}) // what was seen is remembered
	d.correct(&u)
	return u, err
}
