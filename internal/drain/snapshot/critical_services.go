package snapshot

import (
	"context"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
)

// readServices finds what a drain depends on: webhooks that fail closed, mirrors in this cluster,
// the DNS, and the operator.
func (sr *snapshotReader) readServices(ctx context.Context) {
	var list corev1.ServiceList
	if !sr.readOptional(ctx, "Service", &list) {
		return
	}
	sr.services = make(map[string]*corev1.Service, len(list.Items))
	for _, s := range pointers(list.Items) {
		sr.services[s.Namespace+"/"+s.Name] = s
	}
	sr.addMirrors()
	sr.readWebhooks(ctx)
	for namespace, selector := range map[string]string{"openshift-dns": "dns.operator.openshift.io/daemonset-dns=default", "kube-system": "k8s-app=kube-dns"} {
		if s, err := labels.Parse(selector); err == nil {
			sr.out.CriticalServices = append(sr.out.CriticalServices,
				drain.CriticalService{Role: drain.RoleDNS, Kind: "DNS", Namespace: namespace, Name: "cluster DNS",
					Pods: s})
		}
	}
	for _, namespace := range operators(sr.out) {
		sr.out.CriticalServices = append(sr.out.CriticalServices,
			drain.CriticalService{Role: drain.RoleOperator, Kind: "Deployment", Namespace: namespace,
				Name: operatorName,
				Pods: labels.SelectorFromSet(labels.Set{nameLabel: operatorName})})
	}
	slices.SortFunc(sr.out.CriticalServices, func(a, b drain.CriticalService) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
}

// operatorName is that of the operator's Deployment, and the label of its pods.
const operatorName = "safe-mirror-operator"

// addMirrors finds those that are reached by the name of a Service: registry.mirror.svc:5000/acme
// is Service registry in namespace mirror. One that is reached by another name, through a Route for
// example, cannot be told from one outside.
func (sr *snapshotReader) addMirrors() {
	seen := map[string]bool{}
	for _, location := range sr.Mirrors {
		host, _, _ := strings.Cut(location, "/")
		name, _, _ := strings.Cut(host, ":")
		name = strings.TrimSuffix(strings.TrimSuffix(name, ".cluster.local"), ".svc")
		service, namespace, ok := strings.Cut(name, ".")
		if seen[host] || !ok || !strings.Contains(host, ".svc") {
			continue
		}
		seen[host] = true
		if pods := sr.backendSelector(namespace, service); pods != nil {
			sr.out.CriticalServices = append(sr.out.CriticalServices,
				drain.CriticalService{Role: drain.RoleRegistry, Kind: "Service", Namespace: namespace, Name: service,
					Host: host, Pods: pods})
		}
	}
}

// backendSelector are the pods of a Service; nil when it has no selector, or is not there.
func (sr *snapshotReader) backendSelector(namespace, name string) labels.Selector {
	s := sr.services[namespace+"/"+name]
	if s == nil || len(s.Spec.Selector) == 0 {
		return nil
	}
	return labels.SelectorFromSet(s.Spec.Selector)
}

// readWebhooks are those without whose answer no pod is created, or none evicted (R13).
func (sr *snapshotReader) readWebhooks(ctx context.Context) {
	var validating admissionv1.ValidatingWebhookConfigurationList
	if sr.readOptional(ctx, "ValidatingWebhookConfiguration", &validating) {
		for i := range validating.Items {
			for k := range validating.Items[i].Webhooks {
				w := &validating.Items[i].Webhooks[k]
				sr.addWebhook("ValidatingWebhookConfiguration", validating.Items[i].Name,
					webhookSpec{w.FailurePolicy, w.ClientConfig, w.Rules, w.NamespaceSelector, w.ObjectSelector})
			}
		}
	}
	var mutating admissionv1.MutatingWebhookConfigurationList
	if sr.readOptional(ctx, "MutatingWebhookConfiguration", &mutating) {
		for i := range mutating.Items {
			for k := range mutating.Items[i].Webhooks {
				w := &mutating.Items[i].Webhooks[k]
				sr.addWebhook("MutatingWebhookConfiguration", mutating.Items[i].Name,
					webhookSpec{w.FailurePolicy, w.ClientConfig, w.Rules, w.NamespaceSelector, w.ObjectSelector})
			}
		}
	}
}

// webhookSpec is what a validating and a mutating webhook have in common.
type webhookSpec struct {
	policy                            *admissionv1.FailurePolicyType
	client                            admissionv1.WebhookClientConfig
	rules                             []admissionv1.RuleWithOperations
	namespaceSelector, objectSelector *metav1.LabelSelector
}

func (sr *snapshotReader) addWebhook(kind, name string, h webhookSpec) {
	onCreate, onEvict := h.matchesResource("pods"), h.matchesResource("pods/eviction")
	if (h.policy != nil && *h.policy == admissionv1.Ignore) || h.client.Service == nil || (!onCreate && !onEvict) {
		return
	}
	pods := sr.backendSelector(h.client.Service.Namespace, h.client.Service.Name)
	if pods == nil {
		return
	}
	s := drain.CriticalService{Role: drain.RoleAdmission, Kind: kind, Namespace: h.client.Service.Namespace, Name: name,
		Pods: pods, OnCreate: onCreate, OnEvict: onEvict}
	if h.namespaceSelector != nil {
		s.NamespaceSelector, _ = metav1.LabelSelectorAsSelector(h.namespaceSelector)
	}
	if h.objectSelector != nil {
		s.ObjectSelector, _ = metav1.LabelSelectorAsSelector(h.objectSelector)
	}
	sr.out.CriticalServices = append(sr.out.CriticalServices, s)
}

// matchesResource tells whether a rule has the resource, which a create of it goes by.
func (h webhookSpec) matchesResource(resource string) bool {
	parent, _, sub := strings.Cut(resource, "/")
	return slices.ContainsFunc(h.rules, func(r admissionv1.RuleWithOperations) bool {
		core := slices.ContainsFunc(r.APIGroups, func(g string) bool { return g == "" || g == "*" })
		onCreate := slices.ContainsFunc(r.Operations, func(o admissionv1.OperationType) bool {
			return o == admissionv1.Create || o == admissionv1.OperationAll
		})
		named := slices.ContainsFunc(r.Resources, func(s string) bool {
			return s == resource || s == "*/*" || (s == "*" && !sub) || (sub && (s == parent+"/*" || s == "*/eviction"))
		})
		return core && onCreate && named
	})
}
