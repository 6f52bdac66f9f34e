package drain

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// replace finds a place for the pod that takes over, and tells whether it is certain to become ready there.
func (t *trial) replace(p *pod, budgets []*Budget) bool {
	if len(budgets) == 0 && !t.vital(p) {
		t.replaceUnprotected(p)
		return false
	}
	preferred, others, why := t.places(p)
	if len(preferred) == 0 {
		t.nowhere(p, budgets, why)
		return false
	}
	sound := t.images(p, preferred, others, budgets)
	t.ends[p] = outcome{sound: sound}
	t.land(p, preferred[p.at.index%len(preferred)])
	switch {
	case !sound:
		return false
	case !t.s.Volumes.Known && len(claims(p.Pod)) > 0:
		t.doubt(budgets, "where the volumes of pod "+p.String()+" can be used was not seen")
		return false
	}
	if q := t.ailing(p, budgets); q != nil {
		return false // another of its kind does not become ready either, and the budget says so
	}
	return true
}

func (t *trial) doubt(budgets []*Budget, why string) {
	for _, b := range budgets {
		t.unsureOf[b] = why
	}
}

// replaceUnprotected only takes note: nobody asked that the pod be there all the time.
func (t *trial) replaceUnprotected(p *pod) {
	n := t.anywhere(p)
	if n == nil {
		back := t.returns(p.mould, p.at) == "" && t.s.Volumes.reaches(p.Pod, p.at.Node) == ""
		t.ends[p] = outcome{nowhere: true, back: back}
		text := "pod " + p.String() + " has no other node to go to and waits until " + p.at.Name + " is back"
		if !back {
			text = "pod " + p.String() + " has no node to go to, and could not go back to " + p.at.Name + " either: " + t.returns(p.mould, p.at)
		}
		t.note(remark, "Pod", p.Namespace, p.Name, text)
		return
	}
	t.land(p, n)
	for _, w := range p.images {
		if a := t.fate(n, w); a.Fate == FateLost {
			t.note(remark, "Image", p.Namespace, w.name, fmt.Sprintf("pod %s may not start again: %s is not on %s and cannot be pulled there: %s", p, w.name, n.Name, a.Why))
		}
	}
}

// nowhere judges a pod that no other node takes. When its own node takes it again after the drain, the pod waits, and that is all: so it
// is with as many routers as there are nodes for them. Otherwise the budget has lost it for good, and the next drain is refused.
func (t *trial) nowhere(p *pod, budgets []*Budget, why map[string]int) {
	back := t.returns(p.mould, p.at)
	if back == "" {
		back = t.s.Volumes.reaches(p.Pod, p.at.Node)
	}
	t.ends[p] = outcome{nowhere: true, back: back == ""}
	if back == "" {
		t.note(remark, "Pod", p.Namespace, p.Name, fmt.Sprintf("pod %s has no other node to go to (%s) and waits until %s is back", p, t.reasons(why), p.at.Name))
		return
	}
	for _, b := range budgets {
		t.note(blocks, "PodDisruptionBudget", b.PDB.Namespace, b.PDB.Name, fmt.Sprintf(
			"pod %s, which PDB %s protects, would have no node to go to (%s), and could not go back to %s either: %s; the next drain would be refused",
			p, b.Name(), t.reasons(why), p.at.Name, back))
	}
}

// images judges the images of the pod wherever it may land. One that cannot be had somewhere leaves a protected pod broken there, and
// the drain of the next node is refused: the pod that is broken does not move, and the healthy one may not.
func (t *trial) images(p *pod, preferred, others []*place, budgets []*Budget) bool {
	sound := true
	for i, group := range [][]*place{preferred, others} {
		for _, w := range p.images {
			worst, where := t.worst(group, w)
			if worst.Fate != FateLost && worst.Fate != FateUnverified {
				continue
			}
			sound = false
			t.badImage(p, w, worst, where, budgets, i > 0)
		}
	}
	return sound
}

func (t *trial) badImage(p *pod, w wanted, worst Availability, where []string, budgets []*Budget, unlikely bool) {
	weight, may := blocks, "would land"
	if worst.Fate == FateUnverified || unlikely {
		weight, may = unsure, "may land"
	}
	protected := "which nobody protects"
	if len(budgets) > 0 {
		protected = "which PDB " + budgets[0].Name() + " protects"
		t.doubt(budgets, fmt.Sprintf("whether %s can be pulled for the replacement of pod %s is not known", w.name, p))
	}
	if worst.Fate == FateUnverified {
		t.note(weight, "Image", p.Namespace, w.name, fmt.Sprintf("the replacement of pod %s, %s, %s on %s, where %s is not cached, and its pull is not proven%s",
			p, protected, may, few(where, 3), w.name, reasonOf(worst)))
		return
	}
	t.note(weight, "Image", p.Namespace, w.name, fmt.Sprintf("the replacement of pod %s, %s, %s on %s, where %s is not cached and cannot be pulled%s",
		p, protected, may, few(where, 3), w.name, reasonOf(worst)))
}

func reasonOf(a Availability) string {
	if a.Why == "" {
		return ""
	}
	return ": " + a.Why
}

// rank orders fates from good to bad.
var rank = map[Fate]int{FateCached: 0, FateVerified: 1, FateUnchanged: 2, FateUnverified: 3, FateLost: 4}

// worst is the worst fate of an image on any of the nodes, and the nodes with it.
func (t *trial) worst(nodes []*place, w wanted) (Availability, []string) {
	worst := Availability{Fate: FateCached}
	var where []string
	for _, n := range nodes {
		a := t.fate(n, w)
		switch {
		case rank[a.Fate] > rank[worst.Fate]:
			worst, where = a, nil
			if a.Fate == FateUnverified || a.Fate == FateLost {
				where = []string{n.Name}
			}
		case a.Fate == worst.Fate && where != nil:
			where = append(where, n.Name)
		}
	}
	return worst, where
}

// fate is what becomes of an image on a node: it is there, or is pulled, from a registry that may itself be on the node that is drained.
func (t *trial) fate(n *place, w wanted) Availability {
	if !w.always && n.has[w.name] {
		return Availability{Fate: FateCached}
	}
	a := t.pull(n, w.name)
	if a.Fate == FateLost {
		return a
	}
	for host, why := range t.down {
		if servedBy(a.Endpoint, host) {
			a.Fate, a.Why = FateLost, why
			if a.Others {
				a.Fate = FateUnverified
			}
		}
	}
	return a
}

// pull is what a node would get when it asks. That a pod waits for the image in vain now is evidence enough where nobody has proven
// anything.
func (c *cluster) pull(n *place, image string) Availability {
	a := Availability{Fate: FateUnchanged}
	if c.s.Pulls != nil {
		a = c.s.Pulls(n.Node, image)
	}
	if q := c.failing[image]; q != nil && a.Fate == FateUnchanged {
		a.Fate, a.Why = FateLost, "pod "+q.on()+" waits for it in vain now"
	}
	return a
}

// servedBy tells whether a reference is at the host: registry.mirror.svc:5000/acme/shop:v1.
func servedBy(reference, host string) bool {
	return host != "" && strings.HasPrefix(reference, host+"/")
}

// ailing is another pod of the kind that runs and does not become ready, or does not start, so that a new one may not either.
func (t *trial) ailing(p *pod, budgets []*Budget) *pod {
	for _, b := range budgets {
		if b.Healthy >= int32(len(b.Pods)) {
			continue
		}
		i := slices.IndexFunc(b.Pods, func(q *corev1.Pod) bool {
			return q != p.Pod && q.DeletionTimestamp == nil && !Ready(q) && !Ended(q) && t.mouldOf(q) == p.mould
		})
		if i >= 0 {
			return &pod{Pod: b.Pods[i], mould: p.mould}
		}
	}
	return nil
}

func (t *trial) note(w weight, kind, namespace, name, text string) {
	t.findings = append(t.findings, finding{weight: w, kind: kind, namespace: namespace, name: name, text: text})
}
