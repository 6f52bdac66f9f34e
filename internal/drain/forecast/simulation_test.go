package forecast

import (
	"strings"
	"testing"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// The ways in which the drain of n1 does not end, or leaves a cluster in which the next one does
// not, each with a twin that looks alike and is safe.
func TestStructuralCases(t *testing.T) {
	type build = func() *clusterBuilder
	router := []podOption{withHostPort(80), withNodeSelector("router", "yes")}
	lost := drain.Availability{State: drain.ImageUnpullable, Endpoint: "mirror.example.com/acme/app:v1",
		Why: "mirror.example.com/acme/app:v1 answers 404"}
	cases := []struct {
		name          string
		cluster, twin build
		want          string // part of what is said of the node
		result        string // when it is not Blocked
		remark        string // of the twin
	}{
		{name: "1 saturated by ports, with two pods of one budget on the node",
			cluster: func() *clusterBuilder {
				return workers(2).app("web", "n1 n1 n2", withAntiAffinity("zone")).budget("web", "max 1").cordon("n2")
			},
			want: "would have to wait for their replacements",
			twin: func() *clusterBuilder {
				return workers(3).label("router", "yes", "yes", "yes").app("web", "n1 n2 n3", router...).budget("web",
					"max 1")
			},
			remark: "pod shop/web-a has no other node to go to (of 3 nodes 2 port 80 of the node in use, 1 the node that is drained) and waits until n1 is back"},
		{name: "2 undersized",
			cluster: func() *clusterBuilder {
				return workers(2).app("web", "n1 n2 -:pending", withHostPort(80)).budget("web", "max 1")
			},
			want: "PDB shop/web allows 0 (2 of 3 healthy, 2 wanted, maxUnavailable 1), so pod web-a on n1 cannot be evicted; not healthy: pod web-c on no node yet (Unschedulable)",
			twin: func() *clusterBuilder {
				return workers(3).app("web", "n1 n2 n3", withHostPort(80)).budget("web", "max 1")
			}},
		{name: "3 a budget of nothing",
			cluster: func() *clusterBuilder { return workers(3).app("web", "n1 n2").budget("web", "max 0") },
			want:    "allows 0 (2 of 2 healthy, 2 wanted, maxUnavailable 0), whatever happens, so pod web-a on n1 can never be evicted",
			twin:    func() *clusterBuilder { return workers(3).app("web", "n1 n2").budget("web", "max 1") }},
		{name: "3 one pod, of which one has to be there",
			cluster: func() *clusterBuilder { return workers(3).app("web", "n1").budget("web", "min 1") },
			want:    "whatever happens",
			twin:    func() *clusterBuilder { return workers(3).app("web", "n1 n2").budget("web", "min 1") }},
		{name: "3 half of one rounds to one",
			cluster: func() *clusterBuilder { return workers(3).app("web", "n1").budget("web", "min 50%") },
			want:    "whatever happens",
			twin:    func() *clusterBuilder { return workers(3).app("web", "n1").budget("web", "max 50%") }},
		{name: "4 cold landing",
			cluster: func() *clusterBuilder {
				return workers(3).app("web", "n1 n2", withAntiAffinity(corev1.LabelHostname)).budget("web",
					"max 1").pulling("quay.io/acme/web:v1", lost)
			},
			want: "the replacement of pod shop/web-a, which PDB shop/web protects, would land on n3, where quay.io/acme/web:v1 is not cached and cannot be pulled: mirror.example.com/acme/app:v1 answers 404",
			twin: func() *clusterBuilder {
				return workers(3).app("web", "n1 n2", withAntiAffinity(corev1.LabelHostname)).budget("web",
					"max 1").pulling("quay.io/acme/web:v1", lost).caches("n3", "quay.io/acme/web:v1")
			}},
		{name: "4 cold landing, and nobody has looked", result: "Unknown",
			cluster: func() *clusterBuilder {
				return workers(3).app("web", "n1 n2", withAntiAffinity(corev1.LabelHostname)).budget("web",
					"max 1").pulling("quay.io/acme/web:v1", drain.Availability{State: drain.ImageUnverified})
			},
			want: "may land on n3, where quay.io/acme/web:v1 is not cached, and its pull is not proven",
			twin: func() *clusterBuilder {
				return workers(3).app("web", "n1 n2", withAntiAffinity(corev1.LabelHostname)).budget("web",
					"max 1").pulling("quay.io/acme/web:v1", drain.Availability{State: drain.ImageVerified})
			}},
		{name: "4 a cached image that is asked for each time",
			cluster: func() *clusterBuilder {
				always := func(p *corev1.Pod) { p.Spec.Containers[0].ImagePullPolicy = corev1.PullAlways }
				return workers(3).app("web", "n1 n2", always).budget("web", "max 1").pulling("quay.io/acme/web:v1",
					lost).caches("n3", "quay.io/acme/web:v1")
			},
			want: "cannot be pulled",
			twin: func() *clusterBuilder {
				return workers(3).app("web", "n1 n2").budget("web", "max 1").pulling("quay.io/acme/web:v1",
					lost).caches("n3", "quay.io/acme/web:v1")
			}},
		{name: "4 cold landing on one of two nodes",
			cluster: func() *clusterBuilder {
				return workers(4).app("web", "n1 n2", withAntiAffinity(corev1.LabelHostname)).budget("web",
					"max 1").pulling("quay.io/acme/web:v1", lost).caches("n3", "quay.io/acme/web:v1")
			},
			want: "would land on n4, where quay.io/acme/web:v1 is not cached and cannot be pulled",
			twin: func() *clusterBuilder {
				return workers(4).cordon("n4").app("web", "n1 n2", withAntiAffinity(corev1.LabelHostname)).budget("web",
					"max 1").pulling("quay.io/acme/web:v1", lost).caches("n3", "quay.io/acme/web:v1")
			}},
		{name: "4 cold landing of the image that comes before the others",
			cluster: func() *clusterBuilder {
				return workers(3).app("web", "n1 n2", withInitContainer("quay.io/acme/setup:v1")).budget("web",
					"max 1").pulling("quay.io/acme/setup:v1", lost)
			},
			want: "where quay.io/acme/setup:v1 is not cached and cannot be pulled",
			twin: func() *clusterBuilder {
				return workers(3).app("web", "n1 n2", withInitContainer("quay.io/acme/setup:v1")).budget("web",
					"max 1").pulling("quay.io/acme/setup:v1", lost).
					caches("n2", "quay.io/acme/setup:v1").caches("n3", "quay.io/acme/setup:v1")
			}},
		{name: "5 another node is away already",
			cluster: func() *clusterBuilder {
				return workers(3).cordon("n3").app("web", "n1 n2 -:pending",
					withAntiAffinity(corev1.LabelHostname)).budget("web", "max 1")
			},
			want: "PDB shop/web allows 0",
			twin: func() *clusterBuilder {
				return workers(3).cordon("n3").app("web=2", "n1 n2",
					withAntiAffinity(corev1.LabelHostname)).budget("web", "max 1")
			}},
		{name: "6 broken elsewhere",
			cluster: func() *clusterBuilder { return workers(3).app("web", "n1 n2:crash n3").budget("web", "max 1") },
			want:    "PDB shop/web allows 0 (2 of 3 healthy, 2 wanted, maxUnavailable 1), so pod web-a on n1 cannot be evicted; not healthy: pod web-b on n2 (CrashLoopBackOff)",
			twin:    func() *clusterBuilder { return workers(3).app("web", "n1:pull n2 n3").budget("web", "max 1") }},
		{name: "6 broken elsewhere, four replicas",
			cluster: func() *clusterBuilder {
				return workers(5).app("web", "n1 n2 n3 n4:pull").budget("web",
					"max 25%")
			},
			want: "not healthy: pod web-d on n4 (ImagePullBackOff)",
			twin: func() *clusterBuilder {
				return workers(6).app("web", "n1 n2 n3 n4 n5:crash").budget("web",
					"max 25%")
			}},
		{name: "6 not ready, and the policy of the budget",
			cluster: func() *clusterBuilder {
				return workers(3).app("web", "n1:unready n2:unready n3").budget("web", "max 1")
			},
			want: "PDB shop/web allows 0",
			twin: func() *clusterBuilder {
				return workers(3).app("web", "n1:unready n2:unready n3").budget("web", "max 1", alwaysAllow)
			}},
		{name: "7 two budgets of one pod",
			cluster: func() *clusterBuilder {
				return workers(3).app("web", "n1 n2").budget("web", "max 1").budgetNamed("all", "web", "max 1")
			},
			want: "pod web-a on n1 cannot be evicted: PDBs shop/all and shop/web all select it, and the API server answers 500 then",
			twin: func() *clusterBuilder {
				return workers(3).app("web", "n1 n2").budget("web", "max 1").budgetNamed("all", "other", "max 1")
			}},
		{name: "8 a taint that came later",
			cluster: func() *clusterBuilder {
				return workers(3).taint("n1", "infra").taint("n2", "infra").taint("n3", "infra").app("web",
					"n1 n2").budget("web", "max 1")
			},
			want: "pod shop/web-a, which PDB shop/web protects, would have no node to go to (of 3 nodes 2 taint infra, 1 the node that is drained), and could not go back to n1 either: taint infra",
			twin: func() *clusterBuilder {
				return workers(3).taint("n1", "infra").taint("n2", "infra").taint("n3", "infra").app("web", "n1 n2",
					withToleration("infra")).budget("web", "max 1")
			}},
		{name: "9 a volume of one zone, and two pods on the node",
			cluster: func() *clusterBuilder {
				return workers(3).label("zone", "a", "b", "b").app("db", "n1 n1 n2", withClaim("data")).volume("data",
					"zone", "a").budget("db", "max 1")
			},
			want: "would have to wait for their replacements",
			twin: func() *clusterBuilder {
				return workers(3).label("zone", "a", "a", "b").app("db", "n1 n1 n2", withClaim("data")).volume("data",
					"zone", "a").budget("db", "max 1")
			}},
		{name: "10 a pod that nobody owns is lost, and its budget asked all the same",
			cluster: func() *clusterBuilder {
				s := workers(2).budget("web", "min 1")
				s.Pods = append(s.Pods, podNamed("web", "n1", "web"))
				return s
			},
			want: "PDB shop/web allows 0",
			twin: func() *clusterBuilder {
				s := workers(2)
				s.Pods = append(s.Pods, podNamed("web", "n1", "web"))
				return s
			},
			remark: "pod shop/web belongs to no controller: it is deleted, and nothing starts it again"},
		{name: "11 a finalizer, and a long grace",
			cluster: func() *clusterBuilder { return workers(2).app("web", "n1:stuck n2") },
			want:    "pod shop/web-a should have been gone at 2026-03-01T11:00:00Z and is kept by its finalizer acme.io/backup",
			twin:    func() *clusterBuilder { return workers(2).app("web", "n1:terminating n2") },
			remark:  "pod shop/web-a is being deleted, and has until 2026-03-01T13:00:00Z"},
		{name: "11 a finalizer on a pod that has ended",
			cluster: func() *clusterBuilder { return workers(2).app("web", "n1:stuck n2", succeeded) },
			want:    "pod shop/web-a should have been gone at 2026-03-01T11:00:00Z and is kept by its finalizer acme.io/backup",
			twin:    func() *clusterBuilder { return workers(2).app("web", "n1 n2", succeeded) }},
		{name: "12 a webhook that fails closed has no pod",
			cluster: func() *clusterBuilder {
				return workers(3).app("policy", "n2:crash").app("web",
					"n1 n2").service(drain.CriticalService{Role: drain.RoleAdmission, Kind: "ValidatingWebhookConfiguration",
					Name: "policy", OnCreate: true}, "policy")
			},
			want: "ValidatingWebhookConfiguration policy fails closed, and none of its pods in namespace shop is ready",
			twin: func() *clusterBuilder {
				return workers(3).app("policy", "n2").app("web",
					"n1 n2").service(drain.CriticalService{Role: drain.RoleAdmission, Kind: "ValidatingWebhookConfiguration",
					Name: "policy", OnCreate: true}, "policy")
			}},
		{name: "12 a webhook that is asked about itself",
			cluster: func() *clusterBuilder {
				return workers(3).app("policy",
					"n1").service(drain.CriticalService{Role: drain.RoleAdmission, Kind: "ValidatingWebhookConfiguration",
					Name: "policy", OnCreate: true}, "policy")
			},
			want: "is asked about its own pods, and is served by shop/policy-a on n1 only",
			twin: func() *clusterBuilder {
				return workers(3).app("policy",
					"n1 n2").service(drain.CriticalService{Role: drain.RoleAdmission, Kind: "ValidatingWebhookConfiguration",
					Name: "policy", OnCreate: true}, "policy")
			}},
		{name: "13 the disruption controller cannot compute it",
			cluster: func() *clusterBuilder {
				return workers(3).app("web", "n1 n2").budget("web", "max 1", func(b *policyv1.PodDisruptionBudget) {
					b.Status.Conditions = []metav1.Condition{{Type: policyv1.DisruptionAllowedCondition,
						Status: metav1.ConditionFalse, Reason: policyv1.SyncFailedReason,
						Message: "found no controllers for pod \"web-a\""}}
				})
			},
			want: `allows 0: the disruption controller cannot compute it: found no controllers for pod "web-a"; so pod web-a on n1 cannot be evicted`,
			twin: func() *clusterBuilder {
				return workers(3).app("web", "n1 n2").budget("web", "max 1", func(b *policyv1.PodDisruptionBudget) {
					b.Status.Conditions = []metav1.Condition{{Type: policyv1.DisruptionAllowedCondition,
						Status: metav1.ConditionTrue, Reason: policyv1.SufficientPodsReason}}
				})
			}},
		{name: "14 the disruption controller lags", result: "Unknown",
			cluster: func() *clusterBuilder {
				return workers(3).app("web", "n1 n2").budget("web", "max 1",
					func(b *policyv1.PodDisruptionBudget) { b.Generation, b.Status.ObservedGeneration = 3, 2 })
			},
			want: "the disruption controller has seen generation 2 of it, and it is at 3",
			twin: func() *clusterBuilder {
				return workers(3).app("web", "n1 n2").budget("web", "max 1",
					func(b *policyv1.PodDisruptionBudget) { b.Generation, b.Status.ObservedGeneration = 3, 3 })
			}},
		{name: "15 two routers for the same ports",
			cluster: func() *clusterBuilder {
				return workers(4).app("web", "n1 n1 n2", withHostPort(8080)).app("other", "n3 n4",
					withHostPort(8080)).budget("web", "max 1")
			},
			want: "PDB shop/web allows 1 (3 of 3 healthy, 2 wanted, maxUnavailable 1), which is used up by the first 1 pods that leave n1: pod web-b on n1 would have to wait",
			twin: func() *clusterBuilder {
				return workers(4).app("web", "n1 n1 n2", withHostPort(8080)).app("other", "n3 n4",
					withHostPort(9090)).budget("web", "max 1")
			}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, result := c.cluster().report("n1"), "Blocked"
			if c.result != "" {
				result = c.result
			}
			if string(got.Result) != result || !strings.Contains(describeNode(got), c.want) {
				t.Errorf("got %s\nwant %s: %s", describeNode(got), result, c.want)
			}
			twin := c.twin().report("n1")
			if twin.Result != "Safe" {
				t.Errorf("the twin is not safe: %s", describeNode(twin))
			}
			if c.remark != "" && !strings.Contains(strings.Join(twin.Remarks, "\n"), c.remark) {
				t.Errorf("remarks of the twin: %q, want %q", twin.Remarks, c.remark)
			}
		})
	}
}

// What a drain itself depends on: the mirror, the DNS, the operator, virtual machines, and a
// control plane that is whole.
func TestCriticalServices(t *testing.T) {
	registry := drain.CriticalService{Role: drain.RoleRegistry, Kind: "Service", Name: "mirror", Host: "mirror.shop.svc:5000"}
	own := drain.Availability{State: drain.ImageVerified, Endpoint: "mirror.shop.svc:5000/acme/mirror:v1"}
	cases := map[string]struct {
		cluster      *clusterBuilder
		result, want string
	}{
		"the mirror's own image comes from itself": {workers(3).app("mirror", "n1").service(registry,
			"mirror").pulling("quay.io/acme/mirror:v1", own),
			"Blocked", "mirror mirror.shop.svc:5000 runs as pod shop/mirror-a on n1 only, and that could not start elsewhere"},
		"it is there elsewhere": {workers(3).app("mirror", "n1").service(registry,
			"mirror").pulling("quay.io/acme/mirror:v1", own).caches("n2", "quay.io/acme/mirror:v1"), "Safe", ""},
		"a second one serves": {workers(3).app("mirror", "n1 n2").service(registry,
			"mirror").pulling("quay.io/acme/mirror:v1", own), "Safe", ""},
		"its disk keeps it, and a protected pod needs it": {workers(3).label("disk", "n1").app("mirror", "n1",
			withClaim("data")).volume("data", "disk", "n1").service(registry, "mirror").
			app("web", "n1 n2").budget("web", "max 1").pulling("quay.io/acme/web:v1",
			drain.Availability{State: drain.ImageVerified, Endpoint: "mirror.shop.svc:5000/acme/web:v1"}),
			"Blocked", "mirror.shop.svc:5000 is served by shop/mirror-a only, which leaves n1 with this drain"},
		"its disk keeps it, and nobody protected needs it": {workers(3).label("disk", "n1").app("mirror", "n1",
			withClaim("data")).volume("data", "disk", "n1").service(registry, "mirror").
			app("web", "n1 n2").budget("web", "max 1"), "Safe", ""},
		"the DNS has nowhere to go": {workers(2).cordon("n2").app("dns",
			"n1").service(drain.CriticalService{Role: drain.RoleDNS, Kind: "Service", Name: "dns"}, "dns"),
			"Blocked", "Service dns is served by shop/dns-a on n1 only, which has no other node to go to: pods find no names while it is away"},
		"the DNS moves": {workers(2).app("dns",
			"n1").service(drain.CriticalService{Role: drain.RoleDNS, Kind: "Service", Name: "dns"}, "dns"), "Safe", ""},
		"the operator cannot start elsewhere": {workers(2).app("operator",
			"n1").service(drain.CriticalService{Role: drain.RoleOperator, Kind: "Deployment", Name: "operator"}, "operator").
			pulling("quay.io/acme/operator:v1", drain.Availability{State: drain.ImageUnpullable}), "Blocked",
			"whose images are not all there elsewhere: nobody would lead the rollout"},
		"a second operator leads": {workers(2).app("operator",
			"n1 n2").service(drain.CriticalService{Role: drain.RoleOperator, Kind: "Deployment", Name: "operator"}, "operator").
			pulling("quay.io/acme/operator:v1", drain.Availability{State: drain.ImageUnpullable}), "Safe", ""},
		"a machine that cannot be moved": {withVM(drain.VMEviction{EvictionStrategy: "LiveMigrate",
			Why: "it has a local disk"}), "Blocked",
			"virtual machine shop/vm has evictionStrategy LiveMigrate and cannot be moved (it has a local disk)"},
		"a machine that can": {withVM(drain.VMEviction{EvictionStrategy: "LiveMigrate", Migratable: true}),
			"Safe", ""},
		"a machine that is shut down": {withVM(drain.VMEviction{EvictionStrategy: "LiveMigrateIfPossible"}), "Safe", ""},
		"a machine of which nothing is known": {func() *clusterBuilder { s := withVM(drain.VMEviction{}); s.VMEvictions = nil; return s }(),
			"Unknown", "virtual machine shop/vm: whether it can be moved was not seen"},
		"another control plane node is not whole": {controlPlaneNodes("n2:unready"), "Blocked",
			"static pod openshift-etcd/etcd-n2 on n2 is not ready"},
		"the control plane is whole": {controlPlaneNodes("n2"), "Safe", ""},
		"a new revision is on its way": {controlPlaneNodes("n2/8"), "Unknown",
			"etcd in openshift-etcd runs in revisions 7 and 8"},
		"budgets could not be read": {func() *clusterBuilder {
			s := workers(2).app("web", "n1")
			s.UnreadKinds = []drain.UnreadKind{{Kind: "PodDisruptionBudget", Why: "forbidden"}}
			return s
		}(), "Unknown", "PodDisruptionBudget could not be read: forbidden"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := c.cluster.report("n1")
			if string(got.Result) != c.result || !strings.Contains(describeNode(got), c.want) {
				t.Errorf("got %s\n%q\nwant %s: %s", describeNode(got), got.Remarks, c.result, c.want)
			}
		})
	}
}

func withVM(m drain.VMEviction) *clusterBuilder {
	s := workers(2).app("vm", "n1", func(p *corev1.Pod) {
		p.Labels["kubevirt.io"], p.Labels["vm.kubevirt.io/name"] = "virt-launcher", "vm"
	})
	s.VMEvictions = map[string]drain.VMEviction{"shop/vm": m}
	return s
}

// controlPlaneNodes are three control plane nodes with etcd on each; the state, or the revision, of
// that on n2 is given.
func controlPlaneNodes(second string) *clusterBuilder {
	s := workers(3)
	s.Pools[0].Name, s.Pools[0].ControlPlane = "master", true
	for _, on := range []string{"n1", second, "n3"} {
		on, revision, found := strings.Cut(on, "/")
		if !found {
			revision = "7"
		}
		node, state, _ := strings.Cut(on, ":")
		p := podNamed("etcd-"+node, node, "etcd")
		p.Namespace, p.Labels["revision"], p.Annotations = "openshift-etcd", revision,
			map[string]string{corev1.MirrorPodAnnotationKey: "x"}
		setState(p, state)
		s.Pods = append(s.Pods, p)
	}
	return s
}

// The replacement is steered to nodes that are done when the pool is unpaused, and nowhere when the
// node itself is told: so what the landing means depends on the mechanism.
func TestPendingTaintMovesReplacements(t *testing.T) {
	build := func(steered bool) *clusterBuilder {
		s := workers(3).updated("n3").app("web", "n1", withHostPort(80)).budget("web", "max 50%")
		s.Pools[0].TaintsPendingNodes = steered
		s.PullAvailability = func(n *corev1.Node, _ string) drain.Availability {
			if n.Name == "n2" {
				return drain.Availability{State: drain.ImageUnpullable}
			}
			return drain.Availability{State: drain.ImageVerified}
		}
		return s
	}
	if got := build(true).report("n1"); got.Result != "Unknown" ||
		!strings.Contains(describeNode(got), "may land on n2") {
		t.Errorf("steered to n3: %s", describeNode(got))
	}
	if got := build(false).report("n1"); got.Result != "Blocked" ||
		!strings.Contains(describeNode(got), "would land on n2") {
		t.Errorf("not steered: %s", describeNode(got))
	}
}

// A service's own selector finds its pods by their labels, whoever owns them.
func TestReadyBackends(t *testing.T) {
	s := workers(2).app("mirror", "n1 n2:unready")
	s.Scales = drain.NewScales(s.workloads)
	v := drain.CriticalService{Namespace: "shop", Pods: labels.SelectorFromSet(labels.Set{"app": "mirror"})}
	if got := newCluster(&s.Snapshot).readyBackends(&v); len(got) != 1 || got[0].Name != "mirror-a" {
		t.Errorf("%v", got)
	}
}
