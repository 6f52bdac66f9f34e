package mirror

import "strings"

// silentShare is the part of the workers, one in so many, that may be busy with registries that stay silent. Each attempt there takes a
// whole timeout, so without a bound 1,000 images of a dead registry would keep every worker for hours, and the others waiting.
const silentShare = 4

// next takes the task that is to run next out of the lines, nil when none is to.
func (e *Engine) next() *task {
	if e.busySilent < max(1, e.opts.Workers/silentShare) {
		if t := e.pop(&e.aside); t != nil {
			t.suspect = e.touchesSilence(t)
			return t
		}
	}
	for {
		t := e.pop(&e.queue)
		if t == nil || !e.touchesSilence(t) {
			return t
		}
		if e.busySilent < max(1, e.opts.Workers/silentShare) {
			t.suspect = true
			return t
		}
		e.aside = append(e.aside, t)
	}
}

// pop takes the first task of a line that is still wanted.
func (e *Engine) pop(line *[]*task) *task {
	for len(*line) > 0 {
		t := (*line)[0]
		(*line)[0] = nil
		*line = (*line)[1:]
		if e.tasks[t.job.Reference] == t {
			return t
		}
	}
	return nil
}

func (e *Engine) touchesSilence(t *task) bool {
	if len(e.silent) == 0 {
		return false
	}
	for host := range t.job.hosts() {
		if e.silent[host] {
			return true
		}
	}
	return false
}

// learn notes which registries stay silent and which are back.
func (e *Engine) learn(t *task, failure *Error) {
	if failure != nil {
		if failure.Class == Timeout {
			e.silent[hostOf(failure.Endpoint)] = true
		}
		return
	}
	back := false
	for host := range t.job.hosts() {
		back = back || e.silent[host]
		delete(e.silent, host)
	}
	if back {
		e.queue, e.aside = append(e.aside, e.queue...), nil
	}
}

// hosts are the registries that a job may talk to.
func (j Job) hosts() func(yield func(host string) bool) {
	return func(yield func(host string) bool) {
		for _, refs := range [][]string{j.Fill, j.From, j.Walk, j.Others} {
			for _, r := range refs {
				if !yield(hostOf(r)) {
					return
				}
			}
		}
	}
}

func hostOf(endpoint string) string {
	host, _, _ := strings.Cut(endpoint, "/")
	return host
}
