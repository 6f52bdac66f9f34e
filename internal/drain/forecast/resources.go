package forecast

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"
)

// podRequests are what a pod requests. Of processors in thousandths, of all else in units.
type podRequests struct {
	cpu, memory int64
	others      map[corev1.ResourceName]int64
}

func requestsOf(p *corev1.Pod) podRequests {
	var n podRequests
	for name, q := range resource.PodRequests(p, resource.PodResourcesOptions{}) {
		switch name {
		case corev1.ResourceCPU:
			n.cpu = q.MilliValue()
		case corev1.ResourceMemory:
			n.memory = q.Value()
		default:
			if n.others == nil {
				n.others = map[corev1.ResourceName]int64{}
			}
			n.others[name] = q.Value()
		}
	}
	return n
}

// freeResources is what a node has left. Nothing is known of a node that reports nothing.
type freeResources struct {
	known       bool
	cpu, memory int64
	pods        int64
	others      map[corev1.ResourceName]int64
}

func allocatableOf(n *corev1.Node) freeResources {
	a := n.Status.Allocatable
	r := freeResources{known: len(a) > 0, cpu: a.Cpu().MilliValue(), memory: a.Memory().Value(), pods: a.Pods().Value()}
	if _, ok := a[corev1.ResourcePods]; !ok {
		r.pods = 1 << 20
	}
	for name, q := range a {
		if name != corev1.ResourceCPU && name != corev1.ResourceMemory && name != corev1.ResourcePods {
			if r.others == nil {
				r.others = map[corev1.ResourceName]int64{}
			}
			r.others[name] = q.Value()
		}
	}
	return r
}

func (r *freeResources) subtract(n podRequests) { r.adjust(n, -1) }
func (r *freeResources) add(n podRequests)      { r.adjust(n, 1) }

func (r *freeResources) adjust(n podRequests, sign int64) {
	r.cpu += sign * n.cpu
	r.memory += sign * n.memory
	r.pods += sign
	for name, v := range n.others {
		if r.others != nil {
			r.others[name] += sign * v
		}
	}
}

// clone is for a drain that is only thought of.
func (r freeResources) clone() freeResources {
	if r.others != nil {
		others := make(map[corev1.ResourceName]int64, len(r.others))
		for k, v := range r.others {
			others[k] = v
		}
		r.others = others
	}
	return r
}

// insufficient says what there is too little of; empty when there is enough.
func (r *freeResources) insufficient(n podRequests) string {
	switch {
	case !r.known:
		return ""
	case r.pods < 1:
		return "room for another pod"
	case n.cpu > 0 && r.cpu < n.cpu:
		return "cpu"
	case n.memory > 0 && r.memory < n.memory:
		return "memory"
	}
	for name, v := range n.others {
		if v > 0 && r.others[name] < v {
			return string(name)
		}
	}
	return ""
}

// hostPort is a port of the node itself that a pod uses.
type hostPort struct {
	ip       string
	protocol corev1.Protocol
	number   int32
}

func hostPortsOf(s *corev1.PodSpec) []hostPort {
	var out []hostPort
	for _, list := range [][]corev1.Container{s.InitContainers, s.Containers} {
		for i := range list {
			for _, p := range list[i].Ports {
				if p.HostPort != 0 {
					out = append(out, hostPortOf(p))
				}
			}
		}
	}
	return out
}

func hostPortOf(p corev1.ContainerPort) hostPort {
	out := hostPort{ip: p.HostIP, protocol: p.Protocol, number: p.HostPort}
	if out.ip == "" {
		out.ip = anyAddress
	}
	if out.protocol == "" {
		out.protocol = corev1.ProtocolTCP
	}
	return out
}

const anyAddress = "0.0.0.0"

// clashes: the same port and protocol, at the same address or one of them at all.
func (p hostPort) conflicts(o hostPort) bool {
	return p.number == o.number && p.protocol == o.protocol &&
		(p.ip == o.ip || p.ip == anyAddress || o.ip == anyAddress)
}

// hostPortConflict says which of the wanted ports is in use; empty when none is.
func hostPortConflict(wanted, used []hostPort) string {
	for _, w := range wanted {
		if slices.ContainsFunc(used, w.conflicts) {
			return fmt.Sprintf("port %d of the node in use", w.number)
		}
	}
	return ""
}

// abbreviate lists some of many: a, b, c and 4 more.
func abbreviate(names []string, limit int) string {
	if len(names) <= limit {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:limit], ", "), len(names)-limit)
}
