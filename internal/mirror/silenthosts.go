package mirror

import "strings"

// silentHostShare is the part of the workers, one in so many, that may be busy with registries that
// stay silent. Each attempt there takes a whole timeout, so without a bound 1,000 images of a dead
// registry would keep every worker for hours, and the others waiting.
const silentHostShare = 4

// nextTask takes the task that is to run next out of the lines, nil when none is to.
func (e *Engine) nextTask() *task {
	if e.busySilent < max(1, e.opts.Workers/silentHostShare) {
		if t := e.pop(&e.silentQueue); t != nil {
			t.onSilentHost = e.usesSilentHost(t)
			return t
		}
	}
	for {
		t := e.pop(&e.queue)
		if t == nil || !e.usesSilentHost(t) {
			return t
		}
		if e.busySilent < max(1, e.opts.Workers/silentHostShare) {
			t.onSilentHost = true
			return t
		}
		e.silentQueue = append(e.silentQueue, t)
	}
}

// pop takes the first task of a line that is still wanted.
func (e *Engine) pop(queue *[]*task) *task {
	for len(*queue) > 0 {
		t := (*queue)[0]
		(*queue)[0] = nil
		*queue = (*queue)[1:]
		if e.tasks[t.job.Reference] == t {
			return t
		}
	}
	return nil
}

func (e *Engine) usesSilentHost(t *task) bool {
	if len(e.silentHosts) == 0 {
		return false
	}
	for host := range t.job.hosts() {
		if e.silentHosts[host] {
			return true
		}
	}
	return false
}

// updateSilentHosts notes which registries stay silent and which are back.
func (e *Engine) updateSilentHosts(t *task, failure *Error) {
	if failure != nil {
		if failure.Class == Timeout {
			e.silentHosts[hostOf(failure.Endpoint)] = true
		}
		return
	}
	recovered := false
	for host := range t.job.hosts() {
		recovered = recovered || e.silentHosts[host]
		delete(e.silentHosts, host)
	}
	if recovered {
		e.queue, e.silentQueue = append(e.silentQueue, e.queue...), nil
	}
}

// hosts are the registries that a job may talk to.
func (j Job) hosts() func(yield func(host string) bool) {
	return func(yield func(host string) bool) {
		for _, refs := range [][]string{j.Targets, j.Sources, j.PullEndpoints, j.OtherMirrors} {
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
