package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/test/lab"
)

// StructuralCase is a cluster on which the drain of a node can never end, whatever is pulled from
// where: what stands in its way follows from the objects alone. Each has a twin that looks alike,
// in a namespace of its own beside it, and is drained without trouble.
//
// All of them stand side by side on one cluster. A case uses nodes that carry its own label, its
// own namespace and its own ports, so that none is in another's way.
type StructuralCase struct {
	// Namespace is that of the case; its twin's has -twin behind it. Node is the one whose drain is
	// looked at.
	Namespace, Title, Node string
	// Kind and Name are what stands in the way: the forecast has to name it.
	Kind, Name string
	// PodStays is true for what no eviction is refused for: a pod is on its way out, and stays.
	PodStays bool

	stage func(ctx context.Context, s *caseBuilder) error
}

// Twin is the namespace of the twin.
func (s StructuralCase) Twin() string { return s.Namespace + "-twin" }

// Stage creates the case and its twin.
func (s StructuralCase) Stage(ctx context.Context, c *Cluster) error {
	for _, twin := range []bool{false, true} {
		at := &caseBuilder{Cluster: c, namespace: s.Namespace, twin: twin, node: s.Node}
		if twin {
			at.namespace = s.Twin()
		}
		err := c.create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: at.namespace}})
		if err == nil {
			err = s.stage(ctx, at)
		}
		if err != nil {
			return fmt.Errorf("staging %s (%s): %w", at.namespace, s.Title, err)
		}
	}
	return nil
}

// StructuralTag is the image of all cases: no mirror set of a scenario is about it.
const StructuralTag = SourceHost + "/structural/app:v1"

// PushStructural puts the image of the cases where nodes pull it from.
func (c *Cluster) PushStructural(ctx context.Context) error {
	_, err := c.Lab.Registry(SourceHost).Push(ctx, "structural/app:v1", lab.Image{Seed: "structural"})
	return err
}

// caseBuilder is where a case, or its twin, is built.
type caseBuilder struct {
	*Cluster
	namespace string
	twin      bool
	node      string
	// readyAfter is how many unscaled seconds the pods take to get ready; empty is what every pod
	// of the lab takes.
	readyAfter string
}

// app is the name of what the cases run.
const app = "app"

// labelNodes lets the pods of the site run on these nodes.
func (s *caseBuilder) labelNodes(ctx context.Context, nodes ...string) error {
	for _, n := range nodes {
		if err := s.PatchNode(ctx, n, fmt.Sprintf(`{"metadata":{"labels":{%q:""}}}`, s.label())); err != nil {
			return err
		}
	}
	return nil
}

func (s *caseBuilder) label() string { return "case.lab.safemirror.io/" + s.namespace }

// deployment has so many pods on the nodes of the site. Nothing keeps them from being on the same
// one.
func (s *caseBuilder) deployment(name string, replicas int32, edits ...func(*corev1.PodSpec)) *appsv1.Deployment {
	d := deployment(s.namespace, name, StructuralTag, replicas, map[string]string{s.label(): ""})
	d.Spec.Template.Spec.Affinity = nil
	if s.readyAfter != "" {
		d.Spec.Template.Annotations = map[string]string{"lab.safemirror.io/ready-after-seconds": s.readyAfter}
	}
	for _, edit := range edits {
		edit(&d.Spec.Template.Spec)
	}
	return d
}

// newBarePod is a pod on the site's node that no workload would replace.
func (s *caseBuilder) newBarePod(name, node string) *corev1.Pod {
	spec := s.deployment(app, 1).Spec.Template.Spec
	spec.NodeName = node
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name,
		Labels: map[string]string{"app": app}}, Spec: spec}
}

func hostPort(port int32) func(*corev1.PodSpec) {
	return func(p *corev1.PodSpec) {
		p.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: port, HostPort: port,
			Protocol: corev1.ProtocolTCP}}
	}
}

// unavailable and available are the budget of the application, in the one form and the other.
func (s *caseBuilder) unavailable(name, value string) *policyv1.PodDisruptionBudget {
	b := budget(s.namespace, app, 0)
	b.Name, b.Spec.MaxUnavailable = name, ptr.To(intstr.Parse(value))
	return b
}

func (s *caseBuilder) available(name, value string) *policyv1.PodDisruptionBudget {
	b := s.unavailable(name, "0")
	b.Spec.MaxUnavailable, b.Spec.MinAvailable = nil, ptr.To(intstr.Parse(value))
	return b
}

// awaitReady waits until so many pods of the namespace are ready, and the budgets have been
// computed since.
func (s *caseBuilder) awaitReady(ctx context.Context, ready int) error {
	return lab.Eventually(ctx, stageTimeout, fmt.Sprintf("%d pods of %s are ready", ready, s.namespace),
		func(ctx context.Context) (bool, string, error) {
			var pods corev1.PodList
			var budgets policyv1.PodDisruptionBudgetList
			for _, list := range []client.ObjectList{&pods, &budgets} {
				if err := s.Client.List(ctx, list, client.InNamespace(s.namespace)); err != nil {
					return false, "", err
				}
			}
			n := 0
			for i := range pods.Items {
				if isReady(&pods.Items[i]) && pods.Items[i].DeletionTimestamp == nil {
					n++
				}
			}
			for _, b := range budgets.Items {
				if b.Status.ObservedGeneration != b.Generation || (int(b.Status.CurrentHealthy) > n) {
					return false, "budget " + b.Name + " is not computed yet", nil
				}
			}
			return n == ready, fmt.Sprintf("%d are", n), nil
		})
}

// Drained is the progress of a node's drain for the pods of one namespace.
type Drained struct {
	// Remaining are the pods that were on the node before the drain and still are.
	Remaining []string
	// Attempts counts the evictions that were requested, Refused those that were refused; Answer is
	// the last refusal.
	Attempts, Refused int
	Answer            string
	// PastGracePeriod are those of Remaining that are being deleted and are past their grace period.
	PastGracePeriod []string
}

// Drain requests a drain from the Machine Config Operator's own drain controller, as the node's
// daemon does, until enough(what became of each namespace's pods so far) is true. The node is
// uncordoned afterwards, also when the wait fails: a node that stays cordoned would change what the
// next case sees.
func (c *Cluster) Drain(ctx context.Context, node string,
	enough func(map[string]Drained) (done bool, why string)) error {
	before, err := c.podsOn(ctx, node)
	if err != nil {
		return err
	}
	start := time.Now()
	return c.drainUntil(ctx, node, func(ctx context.Context) (bool, string, error) {
		seen, err := c.drained(ctx, node, before, start)
		if err != nil {
			return false, "", err
		}
		done, why := enough(seen)
		return done, why, nil
	})
}

// drainUntil requests the drain of the node, waits until enough is true, and uncordons the node in
// every case. The uncordon has a deadline of its own: that of ctx may be what ended the wait.
func (c *Cluster) drainUntil(ctx context.Context, node string,
	enough func(context.Context) (done bool, why string, err error)) (err error) {
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stageTimeout)
		defer cancel()
		err = errors.Join(err, c.uncordonAfterDrain(ctx, node))
	}()
	if err := c.requestDrain(ctx, node, "drain-simulation"); err != nil {
		return err
	}
	return lab.Eventually(ctx, stageTimeout, "the drain of "+node+" has not shown enough", enough)
}

func (c *Cluster) uncordonAfterDrain(ctx context.Context, node string) error {
	if err := c.requestDrain(ctx, node, "uncordon-simulation"); err != nil {
		return fmt.Errorf("uncordoning %s: %w", node, err)
	}
	return lab.Eventually(ctx, stageTimeout, node+" is not uncordoned",
		func(ctx context.Context) (bool, string, error) {
			n, err := c.node(ctx, node)
			return err == nil && !n.Spec.Unschedulable, "it is still cordoned", err
		})
}

// requestDrain sets the annotation that the drain controller follows. It acts only when the value
// differs from the last one it has applied, so the value is not the name of a configuration.
func (c *Cluster) requestDrain(ctx context.Context, node, request string) error {
	return c.PatchNode(ctx, node, fmt.Sprintf(
		`{"metadata":{"annotations":{"machineconfiguration.openshift.io/desiredDrain":%q}}}`, request))
}

// AwaitTwinsReady waits until the twins are as they were before a drain: a replacement that had no
// place but the drained node starts there only when it is uncordoned, and until then its budget
// holds the other nodes. What is kept from becoming ready on purpose stays so.
func (c *Cluster) AwaitTwinsReady(ctx context.Context) error {
	return lab.Eventually(ctx, stageTimeout, "what the drain has moved is ready again",
		func(ctx context.Context) (bool, string, error) {
			for _, s := range StructuralCases() {
				var pods corev1.PodList
				if err := c.Client.List(ctx, &pods, client.InNamespace(s.Twin())); err != nil {
					return false, "", err
				}
				for i := range pods.Items {
					p := &pods.Items[i]
					if p.DeletionTimestamp == nil && !isReady(p) && p.Annotations[unreadyAnnotation] != "false" {
						return false, p.Namespace + "/" + p.Name + " is not ready", nil
					}
				}
			}
			return true, "", nil
		})
}

func (c *Cluster) node(ctx context.Context, name string) (*corev1.Node, error) {
	n := &corev1.Node{}
	return n, c.Client.Get(ctx, client.ObjectKey{Name: name}, n)
}

func (c *Cluster) podsOn(ctx context.Context, node string) (map[string]corev1.Pod, error) {
	var list corev1.PodList
	err := c.Client.List(ctx, &list)
	out := map[string]corev1.Pod{}
	for _, p := range list.Items {
		if p.Spec.NodeName == node {
			out[string(p.UID)] = p
		}
	}
	return out, err
}

func (c *Cluster) drained(ctx context.Context, node string, before map[string]corev1.Pod,
	start time.Time) (map[string]Drained, error) {
	now, err := c.podsOn(ctx, node)
	if err != nil {
		return nil, err
	}
	out, names := map[string]Drained{}, map[string]bool{}
	for uid, was := range before {
		d := out[was.Namespace]
		if p, ok := now[uid]; ok {
			d.Remaining = append(d.Remaining, p.Name)
			names[p.Namespace+"/"+p.Name] = true
			if p.DeletionTimestamp != nil && time.Now().After(p.DeletionTimestamp.Time) {
				d.PastGracePeriod = append(d.PastGracePeriod, p.Name)
			}
		}
		out[was.Namespace] = d
	}
	audit, err := c.Lab.Audit()
	if err != nil {
		return nil, err
	}
	for _, e := range audit {
		if e.Subresource != "eviction" || e.Time.Before(start) || !names[e.Namespace+"/"+e.Name] {
			continue
		}
		d := out[e.Namespace]
		d.Attempts++
		if e.Code >= 300 {
			d.Refused++
			d.Answer = fmt.Sprintf("%d %s", e.Code, e.Message)
		}
		out[e.Namespace] = d
	}
	return out, nil
}
