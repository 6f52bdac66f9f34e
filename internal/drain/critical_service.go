package drain

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// ServiceRole is what a service does for a drain.
type ServiceRole string

// The roles.
const (
	// RoleRegistry serves images under the planned configuration.
	RoleRegistry ServiceRole = "Registry"
	// RoleDNS resolves names for pods.
	RoleDNS ServiceRole = "DNS"
	// RoleAdmission is asked about pods that are created, or evicted, and nothing happens without
	// its answer.
	RoleAdmission ServiceRole = "Admission"
	// RoleOperator is this operator.
	RoleOperator ServiceRole = "Operator"
)

// CriticalService is something that other pods need while a node is drained, and whose own pods may
// be on that node.
type CriticalService struct {
	Role ServiceRole
	// Name names it for people: ValidatingWebhookConfiguration policy, or Service mirror/registry.
	Kind, Namespace, Name string
	// Host is that of a registry in image references: registry.mirror.svc:5000.
	Host string
	// Pods select those that serve, in Namespace.
	Pods labels.Selector
	// OnCreate and Evicts tell what a webhook is asked about.
	OnCreate, OnEvict bool
	// NamespaceSelector and Objects select the namespaces and the pods that a webhook is asked
	// about; nil selects all.
	NamespaceSelector, ObjectSelector labels.Selector
}

// callsWebhookFor tells whether the webhook is asked about the pod. Namespaces whose labels are not
// known count as selected.
func (svc *CriticalService) CallsWebhookFor(p *corev1.Pod, namespaces map[string]map[string]string) bool {
	if svc.ObjectSelector != nil && !svc.ObjectSelector.Matches(labels.Set(p.Labels)) {
		return false
	}
	l, known := namespaces[p.Namespace]
	return svc.NamespaceSelector == nil || !known || svc.NamespaceSelector.Matches(labels.Set(l))
}
