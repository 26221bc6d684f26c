package proctest

import (
	"slices"
	"time"

	"github.com/coder/quartz"
)

// PatientClock returns the real clock, but for how long procmgr.Manager.Close waits for
// what it has killed: on a busy machine a kill takes as long as it takes, and what lives on
// is found when the tests end (see Run).
func PatientClock() quartz.Clock { return patientClock{quartz.NewReal()} }

type patientClock struct{ quartz.Clock }

func (c patientClock) AfterFunc(d time.Duration, f func(), tags ...string) *quartz.Timer {
	if slices.Equal(tags, []string{"close", "kill"}) {
		d = 24 * time.Hour
	}
	return c.Clock.AfterFunc(d, f, tags...)
}
