package forecast

import "github.com/safe-mirror/safe-mirror-operator/internal/drain"

import "strings"

// budgetHint is what is known of a budget that blocks drains by nature.
type budgetHint struct {
	text      string
	transient bool
}

// knownBudgetHint says what is known of the budgets of the platform and of widespread operators:
// why they refuse, and what helps. Nobody edits them: their operators put them back.
func knownBudgetHint(b *drain.Budget) budgetHint {
	ns, name := b.PDB.Namespace, b.PDB.Name
	guard := strings.HasSuffix(name, "-guard-pdb") || b.PDB.Spec.Selector != nil &&
		b.PDB.Spec.Selector.MatchLabels["app"] == "guard"
	switch {
	case guard && strings.HasPrefix(ns, "openshift-"):
		return budgetHint{text: "a guard pod is ready when the control plane pod beside it is: bring " +
			strings.TrimPrefix(ns, "openshift-") + " back to health on every control plane node"}
	case strings.HasPrefix(name, "rook-ceph-osd") && b.NeverAllows():
		return budgetHint{text: "rook sets it while placement groups are not active+clean, and takes it away when they are", transient: true}
	case strings.HasPrefix(name, "rook-ceph-mon"), strings.HasPrefix(name, "rook-ceph-m"):
		return budgetHint{text: "it follows the health of the Ceph cluster: see its HEALTH"}
	case strings.HasPrefix(name, "kubevirt-disruption-budget"):
		return budgetHint{text: "KubeVirt moves the machine, and takes the budget away when it has"}
	case ns == "openshift-ingress" && strings.HasPrefix(name, "router-"):
		return budgetHint{text: "the ingress operator keeps this budget: fix the router, or scale IngressController " +
			strings.TrimPrefix(name, "router-")}
	case strings.HasSuffix(name, "-primary") && b.NeverAllows():
		return budgetHint{text: "a database of one instance: its operator has to move it, or it needs a second instance"}
	}
	return budgetHint{}
}
