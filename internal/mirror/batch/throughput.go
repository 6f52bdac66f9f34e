package batch

import "time"

// rateWindow is how far back the rate looks: long enough not to jump with every layer, short enough
// to notice that a link has slowed down.
const rateWindow = 10 * time.Second

// Throughput measures how fast a run moves bytes.
type Throughput struct{ samples []sample }

type sample struct {
	at    time.Time
	bytes int64
}

// Add takes in how many bytes have been moved by now.
func (p *Throughput) Add(now time.Time, bytes int64) {
	p.samples = append(p.samples, sample{now, bytes})
	for len(p.samples) > 2 && now.Sub(p.samples[1].at) >= rateWindow {
		p.samples = p.samples[1:]
	}
}

// Rate is in bytes per second, 0 as long as it cannot be told.
func (p *Throughput) Rate() float64 {
	if len(p.samples) < 2 {
		return 0
	}
	first, last := p.samples[0], p.samples[len(p.samples)-1]
	took := last.at.Sub(first.at).Seconds()
	if took <= 0 || last.bytes <= first.bytes {
		return 0
	}
	return float64(last.bytes-first.bytes) / took
}

// Remaining is how long so many bytes will take at this rate, 0 when that cannot be told.
func (p *Throughput) Remaining(bytes int64) time.Duration {
	rate := p.Rate()
	if rate == 0 || bytes <= 0 {
		return 0
	}
	return time.Duration(float64(bytes) / rate * float64(time.Second)).Round(time.Second)
}
