package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// collisions are tags of different repositories that become one and the same at our mirror. A
// wildcard source drops the host: with *.example.com mirrored to m.local/x, both
// a.example.com/app:v1 and b.example.com/app:v1 are m.local/x/app:v1, and whichever is copied last
// is what the pods of both would run. Digests cannot collide: they name their content.
func (p Plan) collisions() []rollout.Problem {
	first, reported := map[string]Item{}, map[string]bool{}
	var out []rollout.Problem
	for _, i := range p.Items {
		if i.After.ByDigest || !i.hasTarget() || i.Accepted != "" {
			continue
		}
		for _, target := range append([]string{i.Target}, i.MoreTargets...) {
			other, taken := first[target]
			switch {
			case !taken:
				first[target] = i
			case other.Name != i.Name && !reported[target]:
				reported[target] = true
				out = append(out, collisionProblem(other, i, target))
			}
		}
	}
	slices.SortFunc(out, func(a, b rollout.Problem) int { return strings.Compare(a.Message, b.Message) })
	return out
}

func collisionProblem(a, b Item, target string) rollout.Problem {
	return rollout.Problem{
		Reason: v1alpha1.ReasonInvalidMirrorSets, Kind: "Image", Name: b.Name,
		Message: fmt.Sprintf("%s (used by %s) and %s (used by %s) are both %s at the mirror, because the scopes %s and %s leave out what tells them apart: give each of "+
			"them a source and a mirror of its own, or list one of them in spec.inventory.acceptedRisks", a.Name,
			a.Reference.UsedBy(), b.Name, b.Reference.UsedBy(), target,
			a.After.Scope, b.After.Scope),
	}
}
