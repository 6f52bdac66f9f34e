package rollout

import (
	"fmt"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// MaintenanceWindow is a maintenance window.
type MaintenanceWindow struct {
	Schedule string        `json:"schedule"`
	Duration time.Duration `json:"duration"`
	TimeZone string        `json:"zone,omitempty"`
}

// parse fails on what is no schedule or no time zone.
func (w MaintenanceWindow) parse() (cron.Schedule, *time.Location, error) {
	zone, err := time.LoadLocation(w.TimeZone) // "" is UTC
	if err != nil {
		return nil, nil, fmt.Errorf("timeZone: %q is not the name of a time zone such as Europe/Berlin", w.TimeZone)
	}
	schedule, err := cron.ParseStandard(w.Schedule)
	if err != nil {
		return nil, nil, fmt.Errorf("schedule: %q is not a cron schedule of five fields such as \"0 22 * * 1-5\": %w",
			w.Schedule, err)
	}
	if schedule.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, zone)).IsZero() {
		return nil, nil, fmt.Errorf("schedule: %q never comes up", w.Schedule)
	}
	return schedule, zone, nil
}

// Check says what is wrong with the window, nil when nothing is.
func (w MaintenanceWindow) Check() error {
	_, _, err := w.parse()
	return err
}

// openAt tells whether the window is open, until when, and when it opens next.
func (w MaintenanceWindow) openAt(now time.Time) (open bool, until, next time.Time, err error) {
	schedule, zone, err := w.parse()
	if err != nil {
		return false, time.Time{}, time.Time{}, err
	}
	local := now.In(zone)
	if opened := schedule.Next(local.Add(-w.Duration)); !opened.IsZero() && !opened.After(local) {
		return true, opened.Add(w.Duration), schedule.Next(local), nil
	}
	return false, time.Time{}, schedule.Next(local), nil
}

// outsideWindows is the wait while no window is open. A window that cannot be read is not open:
// unknown never disrupts.
func outsideWindows(o Observed) (Wait, bool) {
	if len(o.Rollout.Windows) == 0 {
		return Wait{}, false
	}
	var soonest time.Time
	for _, w := range o.Rollout.Windows {
		open, _, next, err := w.openAt(o.Now)
		if err == nil && open {
			return Wait{}, false
		}
		if err == nil && (soonest.IsZero() || next.Before(soonest)) {
			soonest = next
		}
	}
	message := "no maintenance window of spec.release.windows is open, and none can be read"
	if !soonest.IsZero() {
		message = "no maintenance window is open; the next one opens at " + soonest.UTC().Format(time.RFC3339)
	}
	return Wait{RecheckAt: soonest, Blockers: []Blocker{{
		Reason: v1alpha1.ReasonOutsideWindow, Kind: "SafeMirrorRollout", Name: o.Rollout.Name,
		Message: message + "; nothing is paused, applied or released meanwhile, and an updating node finishes",
	}}}, true
}
