package inventory

import (
	"cmp"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
)

// Reference is one image reference as a pod spells it, with everybody who needs it.
type Reference struct {
	// Image is the reference as it stands in the pod or template, for example quay.io/acme/shop:v1.
	Image string
	// Class is that of the owner who is nearest to pulling it.
	Class Class
	// Owners are the first owners, those of the reference's class first and then in sort order;
	// Count is how many there are in all.
	Owners []Owner
	Count  int
	// AlwaysPull is true when an owner pulls with the policy Always, spelt or implied by the tag
	// latest: a node asks the registry each time it starts a container, whatever it has cached.
	AlwaysPull bool
	// NodeStart is true when a node that joins now pulls the image before or as it becomes ready:
	// its operating system, the Machine Config Operator's own image, the pause image, its static
	// pods and every DaemonSet.
	NodeStart bool
	// Platforms are those that the pods of the reference's class are bound to, such as linux/arm64,
	// by the node they run on or by a selector on kubernetes.io/arch. Empty means any platform of
	// the cluster.
	Platforms []string
	// Running are digests that running containers report, in sort order. They are hints: CRI-O
	// reports the first digest it knows the image by, which of a multi-platform image may be the
	// index or the one platform's manifest. At most maxRunning.
	Running []string
	// PullSecrets are the pull secrets of the pods and templates, or of their ServiceAccounts, in
	// sort order. A node sends them to the registry of the reference, never to a mirror on another
	// host. At most maxPullSecrets.
	PullSecrets []types.NamespacedName
}

// Blocking tells whether the reference holds a rollout while it is not proven.
func (r Reference) Blocking() bool { return r.Class == Blocking }

// Owner is an object that names a reference.
type Owner struct {
	Kind      string
	Namespace string
	Name      string
}

func (o Owner) String() string {
	if o.Namespace == "" {
		return o.Kind + " " + o.Name
	}
	return o.Kind + " " + o.Namespace + "/" + o.Name
}

func (o Owner) compare(p Owner) int {
	return cmp.Or(cmp.Compare(o.Kind, p.Kind), cmp.Compare(o.Namespace, p.Namespace), cmp.Compare(o.Name, p.Name))
}

// UsedBy names the first owner and how many more there are, for messages.
func (r Reference) UsedBy() string {
	switch {
	case len(r.Owners) == 0:
		return "nobody"
	case r.Count > 1:
		return fmt.Sprintf("%s and %d more", r.Owners[0], r.Count-1)
	default:
		return r.Owners[0].String()
	}
}
