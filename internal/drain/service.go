package drain

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Role is what a service does for a drain.
type Role string

// The roles.
const (
	// RoleRegistry serves images under the planned configuration.
	RoleRegistry Role = "Registry"
	// RoleDNS resolves names for pods.
	RoleDNS Role = "DNS"
	// RoleAdmission is asked about pods that are created, or evicted, and nothing happens without its answer.
	RoleAdmission Role = "Admission"
	// RoleOperator is this operator.
	RoleOperator Role = "Operator"
)

// Service is something that other pods need while a node is drained, and whose own pods may be on that node.
type Service struct {
	Role Role
	// Name names it for people: ValidatingWebhookConfiguration policy, or Service mirror/registry.
	Kind, Namespace, Name string
	// Host is that of a registry in image references: registry.mirror.svc:5000.
	Host string
	// Pods select those that serve, in Namespace.
	Pods labels.Selector
	// Creates and Evicts tell what a webhook is asked about.
	Creates, Evicts bool
	// Scope and Objects select the namespaces and the pods that a webhook is asked about; nil selects all.
	Scope, Objects labels.Selector
}

// asks tells whether the webhook is asked about the pod. Namespaces whose labels are not known count as selected.
func (v *Service) asks(p *corev1.Pod, namespaces map[string]map[string]string) bool {
	if v.Objects != nil && !v.Objects.Matches(labels.Set(p.Labels)) {
		return false
	}
	l, known := namespaces[p.Namespace]
	return v.Scope == nil || !known || v.Scope.Matches(labels.Set(l))
}
