package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

func service(namespace, name string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.ServiceSpec{Selector: map[string]string{"app": name}}}
}

// webhook is asked about pods that are created, and fails closed.
func webhook(change func(*admissionv1.ValidatingWebhook)) *admissionv1.ValidatingWebhookConfiguration {
	w := admissionv1.ValidatingWebhook{
		ClientConfig: admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: "policy",
			Name: "policy"}},
		Rules: []admissionv1.RuleWithOperations{{Operations: []admissionv1.OperationType{admissionv1.Create},
			Rule: admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}}}},
	}
	change(&w)
	return &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "policy"},
		Webhooks: []admissionv1.ValidatingWebhook{w}}
}

// TestCriticalServices: which of them a drain depends on.
func TestCriticalServices(t *testing.T) {
	resources := func(list ...string) func(*admissionv1.ValidatingWebhook) {
		return func(w *admissionv1.ValidatingWebhook) { w.Rules[0].Resources = list }
	}
	const asked = "Admission policy/policy creates"
	cases := map[string]struct {
		objects []client.Object
		options Options
		want    []string // beside the DNS
	}{
		"a mirror by the name of its Service": {[]client.Object{service("mirror", "registry")},
			Options{Mirrors: []string{"registry.mirror.svc:5000/acme", "registry.mirror.svc:5000/other"}},
			[]string{"Registry mirror/registry registry.mirror.svc:5000"}},
		"by its whole name": {[]client.Object{service("mirror", "registry")},
			Options{Mirrors: []string{"registry.mirror.svc.cluster.local/acme"}},
			[]string{"Registry mirror/registry registry.mirror.svc.cluster.local"}},
		"a mirror elsewhere": {[]client.Object{service("mirror", "registry")},
			Options{Mirrors: []string{"registry.mirror.example.com/acme"}}, nil},
		"a Service that is not there": {nil, Options{Mirrors: []string{"registry.mirror.svc:5000/acme"}}, nil},
		"the operator itself":         {[]client.Object{&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "operators", Name: "one", Labels: map[string]string{nameLabel: operatorName}}}}, Options{}, []string{"Operator operators/safe-mirror-operator"}},
		"a webhook that fails closed": {[]client.Object{service("policy", "policy"), webhook(resources("pods"))},
			Options{}, []string{asked}},
		"of every resource": {[]client.Object{service("policy", "policy"), webhook(resources("*/*"))},
			Options{}, []string{asked + " evicts"}},
		"of evictions": {[]client.Object{service("policy", "policy"),
			webhook(resources("pods/eviction"))}, Options{}, []string{"Admission policy/policy evicts"}},
		"of something else": {[]client.Object{service("policy", "policy"),
			webhook(resources("services"))}, Options{}, nil},
		"whose Service is not there": {[]client.Object{webhook(resources("pods"))}, Options{}, nil},
		"that is outside": {[]client.Object{service("policy", "policy"),
			webhook(func(w *admissionv1.ValidatingWebhook) { w.ClientConfig.Service = nil })}, Options{}, nil},
		"that is asked about updates only": {[]client.Object{service("policy", "policy"),
			webhook(func(w *admissionv1.ValidatingWebhook) { w.Rules[0].Operations[0] = admissionv1.Update })},
			Options{}, nil},
		"a webhook that fails open": {[]client.Object{service("policy", "policy"),
			webhook(func(w *admissionv1.ValidatingWebhook) {
				ignore := admissionv1.Ignore
				w.FailurePolicy = &ignore
			})}, Options{}, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, s := range Read(context.Background(), minicluster.Client(interceptor.Funcs{}, c.objects...),
				c.options).CriticalServices {
				if s.Role == drain.RoleDNS {
					continue
				}
				text := fmt.Sprintf("%s %s/%s", s.Role, s.Namespace, s.Name)
				if s.Host != "" {
					text += " " + s.Host
				}
				if s.OnCreate {
					text += " creates"
				}
				if s.OnEvict {
					text += " evicts"
				}
				got = append(got, text)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("services (-want +got):\n%s", diff)
			}
		})
	}
}

// TestUnreadKinds is named, so that what rests on it is unknown: a budget that nobody has seen is
// not one that there is not.
func TestUnreadKinds(t *testing.T) {
	down := minicluster.FailingReads[*policyv1.PodDisruptionBudgetList](errors.New("forbidden"))
	got := Read(context.Background(), minicluster.Client(down, minicluster.Objects("worker-0")...), Options{})
	if !slices.ContainsFunc(got.UnreadKinds, func(u drain.UnreadKind) bool {
		return u.Kind == "PodDisruptionBudget" &&
			u.Why == "forbidden"
	}) {
		t.Errorf("unseen: %v", got.UnreadKinds)
	}
	if len(got.Nodes) == 0 {
		t.Error("the nodes could be read")
	}
	readable := Read(context.Background(), minicluster.Client(interceptor.Funcs{}, minicluster.Objects("worker-0")...),
		Options{})
	if len(readable.UnreadKinds) > 0 {
		t.Errorf("unseen, though all can be read: %v", readable.UnreadKinds)
	}
}

// TestPullAvailability: an image whose pull changes is what the registries have said of it, on a
// node with the planned configuration; on others, and of what does not change, it is as it always
// was.
func TestPullAvailability(t *testing.T) {
	item := plan.Item{Reference: inventory.Reference{Class: inventory.Blocking}, Name: "quay.io/acme/app:v1",
		Spellings: []string{"quay.io/acme/app:v1"}, Pools: []string{"worker"}, Target: "mirror.local/acme/app:v1",
		Before: registriesconf.Resolution{Reference: "quay.io/acme/app:v1",
			Endpoints: []registriesconf.Endpoint{{Reference: "quay.io/acme/app:v1"}}},
		After: registriesconf.Resolution{Reference: "quay.io/acme/app:v1", Endpoints: []registriesconf.Endpoint{
			{Reference: "mirror.local/acme/app:v1", Mirror: true}, {Reference: "quay.io/acme/app:v1", Blocked: true}}}}
	pool := rollout.Pool{Name: "worker", Rendered: "new", Registries: rollout.MatchesPlanned,
		Nodes: []rollout.Node{{Name: "before", DesiredConfig: "old"}, {Name: "after", DesiredConfig: "new"}}}
	missing := mirror.Result{State: mirror.Failed,
		Err: &mirror.Error{Class: mirror.Missing, Endpoint: "mirror.local/acme/app:v1"}}
	at := "mirror.local/acme/app:v1"
	proven := mirror.Result{State: mirror.Verified, Proof: mirror.Proof{Endpoint: at, At: minicluster.StartTime}}
	cases := map[string]struct {
		node, image string
		result      *mirror.Result
		want        drain.Availability
	}{
		"proven": {"after", "quay.io/acme/app:v1", &proven,
			drain.Availability{State: drain.ImageVerified, Endpoint: at}},
		"nobody has asked": {"after", "quay.io/acme/app:v1", nil,
			drain.Availability{State: drain.ImageUnverified, Endpoint: at}},
		"it is not there": {"after", "quay.io/acme/app:v1", &missing,
			drain.Availability{State: drain.ImageUnverified, Endpoint: at, Why: missing.Err.Error()}},
		"on a node of before": {"before", "quay.io/acme/app:v1", &missing,
			drain.Availability{State: drain.ImageUnchanged, Endpoint: "quay.io/acme/app:v1"}},
		"an image that changes nothing": {"after", "quay.io/other/app:v1", &missing,
			drain.Availability{State: drain.ImageUnchanged}},
		"on a node of a pool that is not its": {"elsewhere", "quay.io/acme/app:v1", &missing,
			drain.Availability{State: drain.ImageUnchanged}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			results := map[string]mirror.Result{}
			if c.result != nil {
				results[item.Key()] = *c.result
			}
			pull := PullAvailability(plan.Plan{Items: []plan.Item{item}}, results, nil, []rollout.Pool{pool})
			if diff := cmp.Diff(c.want, pull(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: c.node}},
				c.image)); diff != "" {
				t.Errorf("availability (-want +got):\n%s", diff)
			}
		})
	}
}

// TestMirrorLocations are mirrors, and not the sources; of the plan and of the spec.
func TestMirrorLocations(t *testing.T) {
	p := plan.Plan{Items: []plan.Item{{After: registriesconf.Resolution{Endpoints: []registriesconf.Endpoint{
		{Reference: "mirror.local/acme/app:v1", Mirror: true},
		{Reference: "blocked.local/acme/app:v1", Mirror: true, Blocked: true}, {Reference: "quay.io/acme/app:v1"}}}}}}
	if diff := cmp.Diff([]string{"registry.mirror.svc/acme", "mirror.local"},
		MirrorLocations(p, "registry.mirror.svc/acme")); diff != "" {
		t.Errorf("locations (-want +got):\n%s", diff)
	}
}
