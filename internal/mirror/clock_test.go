package mirror

import (
	"sync"
	"time"
)

// clock is a time that only moves when the test says so.
type clock struct {
	mu     sync.Mutex
	now    time.Time
	alarms map[int]alarm
	next   int
	armed  chan struct{} // one value when somebody has set an alarm
}

type alarm struct {
	at time.Time
	f  func()
}

func newClock() *clock {
	return &clock{
		now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), alarms: map[int]alarm{}, armed: make(chan struct{}, 1),
	}
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) After(d time.Duration, f func()) (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d <= 0 {
		go f()
		return func() {}
	}
	id := c.next
	c.next++
	c.alarms[id] = alarm{c.now.Add(d), f}
	signal(c.armed)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.alarms, id)
	}
}

// advance moves the time and rings what has become due.
func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	var due []func()
	for id, a := range c.alarms {
		if !a.at.After(c.now) {
			due = append(due, a.f)
			delete(c.alarms, id)
		}
	}
	c.mu.Unlock()
	for _, f := range due {
		f()
	}
}
