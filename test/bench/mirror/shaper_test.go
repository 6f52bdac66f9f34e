package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// 400 Mbit/s and 20 ms, as the benchmark has it by default.
var usual = linkSpec{bytesPerSecond: 50e6, roundTrip: 20 * time.Millisecond}

func TestShaper(t *testing.T) {
	const full = burst // what an idle link may send at once
	type send struct {
		after  time.Duration // since start
		bytes  int
		depart time.Duration
	}
	for name, sends := range map[string][]send{
		"an idle link sends at once":         {{0, quantum, 0}},
		"an idle link sends a burst at once": {{0, full, 0}},
		"after the burst the rate counts": {{0, full, 0}, {0, 50_000, time.Millisecond},
			{0, 50_000, 2 * time.Millisecond}},
		"who asks first goes first": {{0, full, 0}, {0, 100_000, 2 * time.Millisecond},
			{0, 50, 2*time.Millisecond + time.Microsecond}},
		"late by less than a burst loses none": {{0, full, 0}, {2 * time.Millisecond, 100_000, 2 * time.Millisecond},
			{2 * time.Millisecond, 50_000, 3 * time.Millisecond}},
		"idle for long saves up only one burst": {{0, full, 0}, {time.Minute, full, time.Minute},
			{time.Minute, 50_000, time.Minute + time.Millisecond}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShaper(usual)
			for i, one := range sends {
				depart, arrive := s.admit(start.Add(one.after), one.bytes)
				if diff := cmp.Diff(one.depart, depart.Sub(start).Round(100*time.Nanosecond)); diff != "" {
					t.Errorf("depart of send %d (-want +got):\n%s", i, diff)
				}
				if got := arrive.Sub(depart); got != 10*time.Millisecond {
					t.Errorf("send %d is %s on its way, want half of the round trip", i, got)
				}
			}
		})
	}
}

// Senders that wait for each of their parcels to depart and wake up late by up to a millisecond, as
// real timers do, must get the link's rate together: not more than it, apart from the first burst,
// and not less.
func TestShaperKeepsItsRateAmongManyLateSenders(t *testing.T) {
	const senders, each = 5, 400
	s := newShaper(usual)
	next := make([]time.Time, senders)
	for i := range next {
		next[i] = start
	}
	sent := 0
	var last time.Time
	for range senders * each {
		turn := 0
		for i := range next {
			if next[i].Before(next[turn]) {
				turn = i
			}
		}
		depart, _ := s.admit(next[turn], quantum)
		late := time.Duration(sent%7) * 150 * time.Microsecond
		next[turn] = depart.Add(late)
		sent += quantum
		last = depart
	}
	took := last.Sub(start).Seconds()
	most, least := float64(sent-burst)/usual.bytesPerSecond, float64(sent)/usual.bytesPerSecond
	if took < most-1e-6 || took > least {
		t.Errorf("%d bytes took %.4f s; at the link's rate it is between %.4f and %.4f s", sent, took, most, least)
	}
}
