package inventory

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// maxOwners bounds how many owners a reference remembers: messages name one, reports a few.
	maxOwners = 5
	// maxRunning bounds the digests of one reference: a tag that has moved has two or three.
	maxRunning = 5
	// maxPullSecrets bounds the pull secrets of one reference: of an image that every namespace
	// uses, a few are enough to try.
	maxPullSecrets = 20
)

// Use is one way in which one owner needs one image. The fields are those of Reference.
type Use struct {
	Image       string
	Class       Class
	Owner       Owner
	AlwaysPull  bool
	NodeStart   bool
	Platforms   []string
	Running     string
	PullSecrets []types.NamespacedName
}

// Collector gathers uses into references, each distinct image one. What it returns does not depend
// on the order in which they come: a cache lists its objects in another order each time. Only the
// uses of one owner have to come one after the other, so that owners can be counted without
// remembering the tens of thousands that an image of every node has.
type Collector struct{ byImage map[string]*aggregate }

type aggregate struct {
	class Class
	// last is the owner who came last, and first are the first few of count.
	last              rankedOwner
	first             []rankedOwner
	count             int
	always, nodeStart bool
	// anywhere is true when an owner of the class is bound to no platform; then the platforms of
	// the others do not matter.
	anywhere    bool
	platforms   []string
	running     []string
	pullSecrets []types.NamespacedName
}

// rankedOwner is an owner with the highest class in which it uses the image. Those of a higher
// class come first.
type rankedOwner struct {
	Owner
	class Class
}

func (r rankedOwner) compare(o rankedOwner) int {
	return cmp.Or(cmp.Compare(o.class.rank(), r.class.rank()), r.Owner.compare(o.Owner))
}

// Add notes a use. An image that is empty, or blank as in a template that an image trigger has not
// filled in yet, is none.
func (c *Collector) Add(u Use) {
	u.Image = strings.TrimSpace(u.Image)
	if u.Image == "" {
		return
	}
	if c.byImage == nil {
		c.byImage = map[string]*aggregate{}
	}
	g, ok := c.byImage[u.Image]
	if !ok {
		g = &aggregate{}
		c.byImage[u.Image] = g
	}
	g.addOwner(rankedOwner{u.Owner, u.Class})
	g.always, g.nodeStart = g.always || u.AlwaysPull, g.nodeStart || u.NodeStart
	g.addPlatforms(u)
	if u.Running != "" {
		g.running = insert(g.running, u.Running, strings.Compare, maxRunning)
	}
	for _, s := range u.PullSecrets {
		g.pullSecrets = insert(g.pullSecrets, s, compareNames, maxPullSecrets)
	}
}

// addOwner counts an owner that is new, and moves one up that turns out to be nearer to pulling.
func (g *aggregate) addOwner(r rankedOwner) {
	switch {
	case g.count == 0 || r.Owner != g.last.Owner:
		g.count++
	case r.class.rank() > g.last.class.rank():
		g.first = slices.DeleteFunc(g.first, func(f rankedOwner) bool { return f == g.last })
	default:
		return
	}
	g.last = r
	g.first = insert(g.first, r, rankedOwner.compare, maxOwners)
}

// addPlatforms notes the class and the platforms. Only the platforms of the highest class count: an
// old revision that could run anywhere does not make an image that runs on arm64 alone a matter of
// other platforms.
func (g *aggregate) addPlatforms(u Use) {
	switch {
	case g.class == "" || u.Class.rank() > g.class.rank():
		g.class, g.anywhere, g.platforms = u.Class, false, nil
	case u.Class != g.class:
		return
	}
	g.anywhere = g.anywhere || len(u.Platforms) == 0
	for _, p := range u.Platforms {
		g.platforms = insert(g.platforms, p, strings.Compare, -1)
	}
}

// References returns what was gathered, sorted by image.
func (c *Collector) References() []Reference {
	out := make([]Reference, 0, len(c.byImage))
	for _, image := range slices.Sorted(maps.Keys(c.byImage)) {
		g := c.byImage[image]
		r := Reference{
			Image: image, Class: g.class, Owners: g.owners(), Count: g.count, AlwaysPull: g.always,
			NodeStart: g.nodeStart,
			Running:   g.running, PullSecrets: g.pullSecrets,
		}
		if !g.anywhere {
			r.Platforms = g.platforms
		}
		out = append(out, r)
	}
	return out
}

func (g *aggregate) owners() []Owner {
	out := make([]Owner, 0, len(g.first))
	for _, r := range g.first {
		out = append(out, r.Owner)
	}
	return out
}

// insert puts x into the sorted list unless it is there, and keeps the first most; a negative most
// keeps all. The result does not depend on the order in which the values come.
func insert[T any](list []T, x T, compare func(a, b T) int, most int) []T {
	at, found := slices.BinarySearchFunc(list, x, compare)
	if found || (most >= 0 && at >= most) {
		return list
	}
	list = slices.Insert(list, at, x)
	if most >= 0 && len(list) > most {
		list = list[:most]
	}
	return list
}

func compareNames(a, b types.NamespacedName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}
