package inventory

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// Reference is one image reference as a pod spells it, with everybody who needs it.
type Reference struct {
	// Image is the reference as it stands in the pod or template, for example quay.io/acme/shop:v1.
	Image string
	// Blocking is true when a pod uses it, or a controller can start a pod with it right now. The others (a Deployment
	// scaled to zero) are mirrored and reported, and do not hold a rollout.
	Blocking bool
	// Owners are the first owners in sort order; Count is how many there are in all.
	Owners []Owner
	Count  int
}

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

// maxOwners bounds how many owners a reference remembers: messages name one, reports a few.
const maxOwners = 5

// Collector gathers references from many objects, each distinct one once. What it returns does not depend on the order in
// which they come: a cache lists its objects in another order each time.
type Collector struct{ byImage map[string]*gathered }

type gathered struct {
	blocking bool
	owners   map[Owner]bool
}

// Add notes that the owner needs the image.
func (c *Collector) Add(image string, owner Owner, blocking bool) {
	if image == "" {
		return
	}
	if c.byImage == nil {
		c.byImage = map[string]*gathered{}
	}
	g, ok := c.byImage[image]
	if !ok {
		g = &gathered{owners: map[Owner]bool{}}
		c.byImage[image] = g
	}
	g.blocking = g.blocking || blocking
	g.owners[owner] = true
}

// References returns what was gathered, sorted by image.
func (c *Collector) References() []Reference {
	out := make([]Reference, 0, len(c.byImage))
	for _, image := range slices.Sorted(maps.Keys(c.byImage)) {
		g := c.byImage[image]
		owners := slices.SortedFunc(maps.Keys(g.owners), Owner.compare)
		out = append(out, Reference{
			Image: image, Blocking: g.blocking, Owners: owners[:min(len(owners), maxOwners)], Count: len(owners),
		})
	}
	return out
}
