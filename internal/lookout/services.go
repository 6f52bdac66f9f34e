package lookout

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

// readServices finds what a drain depends on: webhooks that fail closed, mirrors in this cluster, the DNS, and the operator.
func (l *reading) readServices(ctx context.Context) {
	var list corev1.ServiceList
	if !l.may(ctx, "Service", &list) {
		return
	}
	l.services = make(map[string]*corev1.Service, len(list.Items))
	for _, s := range pointers(list.Items) {
		l.services[s.Namespace+"/"+s.Name] = s
	}
	l.mirrors()
	l.webhooks(ctx)
	for namespace, selector := range map[string]string{"openshift-dns": "dns.operator.openshift.io/daemonset-dns=default", "kube-system": "k8s-app=kube-dns"} {
		if s, err := labels.Parse(selector); err == nil {
			l.out.Services = append(l.out.Services, drain.Service{Role: drain.RoleDNS, Kind: "DNS", Namespace: namespace, Name: "cluster DNS", Pods: s})
		}
	}
	for _, namespace := range operators(l.out) {
		l.out.Services = append(l.out.Services, drain.Service{Role: drain.RoleOperator, Kind: "Deployment", Namespace: namespace, Name: operatorName,
			Pods: labels.SelectorFromSet(labels.Set{nameLabel: operatorName})})
	}
	slices.SortFunc(l.out.Services, func(a, b drain.Service) int { return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name) })
}

// operatorName is that of the operator's Deployment, and the label of its pods.
const operatorName = "safe-mirror-operator"

// mirrors finds those that are reached by the name of a Service: registry.mirror.svc:5000/acme is Service registry in namespace mirror.
// One that is reached by another name, through a Route for example, cannot be told from one outside.
func (l *reading) mirrors() {
	seen := map[string]bool{}
	for _, location := range l.Mirrors {
		host, _, _ := strings.Cut(location, "/")
		name, _, _ := strings.Cut(host, ":")
		name = strings.TrimSuffix(strings.TrimSuffix(name, ".cluster.local"), ".svc")
		service, namespace, ok := strings.Cut(name, ".")
		if seen[host] || !ok || !strings.Contains(host, ".svc") {
			continue
		}
		seen[host] = true
		if pods := l.behind(namespace, service); pods != nil {
			l.out.Services = append(l.out.Services, drain.Service{Role: drain.RoleRegistry, Kind: "Service", Namespace: namespace, Name: service, Host: host, Pods: pods})
		}
	}
}

// behind are the pods of a Service; nil when it has no selector, or is not there.
func (l *reading) behind(namespace, name string) labels.Selector {
	s := l.services[namespace+"/"+name]
	if s == nil || len(s.Spec.Selector) == 0 {
		return nil
	}
	return labels.SelectorFromSet(s.Spec.Selector)
}

// webhooks are those without whose answer no pod is created, or none evicted (R13).
func (l *reading) webhooks(ctx context.Context) {
	var validating admissionv1.ValidatingWebhookConfigurationList
	if l.may(ctx, "ValidatingWebhookConfiguration", &validating) {
		for i := range validating.Items {
			for k := range validating.Items[i].Webhooks {
				w := &validating.Items[i].Webhooks[k]
				l.webhook("ValidatingWebhookConfiguration", validating.Items[i].Name, hook{w.FailurePolicy, w.ClientConfig, w.Rules, w.NamespaceSelector, w.ObjectSelector})
			}
		}
	}
	var mutating admissionv1.MutatingWebhookConfigurationList
	if l.may(ctx, "MutatingWebhookConfiguration", &mutating) {
		for i := range mutating.Items {
			for k := range mutating.Items[i].Webhooks {
				w := &mutating.Items[i].Webhooks[k]
				l.webhook("MutatingWebhookConfiguration", mutating.Items[i].Name, hook{w.FailurePolicy, w.ClientConfig, w.Rules, w.NamespaceSelector, w.ObjectSelector})
			}
		}
	}
}

// hook is what a validating and a mutating webhook have in common.
type hook struct {
	policy           *admissionv1.FailurePolicyType
	client           admissionv1.WebhookClientConfig
	rules            []admissionv1.RuleWithOperations
	scope, selection *metav1.LabelSelector
}

func (l *reading) webhook(kind, name string, h hook) {
	creates, evicts := h.asks("pods"), h.asks("pods/eviction")
	if (h.policy != nil && *h.policy == admissionv1.Ignore) || h.client.Service == nil || (!creates && !evicts) {
		return
	}
	pods := l.behind(h.client.Service.Namespace, h.client.Service.Name)
	if pods == nil {
		return
	}
	s := drain.Service{Role: drain.RoleAdmission, Kind: kind, Namespace: h.client.Service.Namespace, Name: name, Pods: pods, Creates: creates, Evicts: evicts}
	if h.scope != nil {
		s.Scope, _ = metav1.LabelSelectorAsSelector(h.scope)
	}
	if h.selection != nil {
		s.Objects, _ = metav1.LabelSelectorAsSelector(h.selection)
	}
	l.out.Services = append(l.out.Services, s)
}

// asks tells whether a rule has the resource, which a create of it goes by.
func (h hook) asks(resource string) bool {
	parent, _, sub := strings.Cut(resource, "/")
	return slices.ContainsFunc(h.rules, func(r admissionv1.RuleWithOperations) bool {
		core := slices.ContainsFunc(r.APIGroups, func(g string) bool { return g == "" || g == "*" })
		creates := slices.ContainsFunc(r.Operations, func(o admissionv1.OperationType) bool {
			return o == admissionv1.Create || o == admissionv1.OperationAll
		})
		named := slices.ContainsFunc(r.Resources, func(s string) bool {
			return s == resource || s == "*/*" || (s == "*" && !sub) || (sub && (s == parent+"/*" || s == "*/eviction"))
		})
		return core && creates && named
	})
}
