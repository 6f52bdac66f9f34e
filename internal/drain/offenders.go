package drain

import "strings"

// hint is what is known of a budget that blocks drains by nature.
type hint struct {
	text    string
	passing bool
}

// offender says what is known of the budgets of the platform and of widespread operators: why they refuse, and what helps. Nobody edits
// them: their operators put them back.
func offender(b *Budget) hint {
	ns, name := b.PDB.Namespace, b.PDB.Name
	guard := strings.HasSuffix(name, "-guard-pdb") || b.PDB.Spec.Selector != nil && b.PDB.Spec.Selector.MatchLabels["app"] == "guard"
	switch {
	case guard && strings.HasPrefix(ns, "openshift-"):
		return hint{text: "a guard pod is ready when the control plane pod beside it is: bring " + strings.TrimPrefix(ns, "openshift-") + " back to health on every control plane node"}
	case strings.HasPrefix(name, "rook-ceph-osd") && b.Never():
		return hint{text: "rook sets it while placement groups are not active+clean, and takes it away when they are", passing: true}
	case strings.HasPrefix(name, "rook-ceph-mon"), strings.HasPrefix(name, "rook-ceph-m"):
		return hint{text: "it follows the health of the Ceph cluster: see its HEALTH"}
	case strings.HasPrefix(name, "kubevirt-disruption-budget"):
		return hint{text: "KubeVirt moves the machine, and takes the budget away when it has"}
	case ns == "openshift-ingress" && strings.HasPrefix(name, "router-"):
		return hint{text: "the ingress operator keeps this budget: mend the router, or scale IngressController " + strings.TrimPrefix(name, "router-")}
	case strings.HasSuffix(name, "-primary") && b.Never():
		return hint{text: "a database of one instance: its operator has to move it, or it needs a second instance"}
	}
	return hint{}
}
