package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// drifted tells whether a tag stands for another image now than for the containers that run from
// it: after the change a pod that is started anew would run something that was never tried here.
// What containers report is a hint: the digest of an index, or of one platform's manifest. So one
// of them that is in the proof is enough, and where nothing runs there is nothing to drift from.
func (i Item) drifted(r mirror.Result) bool {
	if i.After.ByDigest || !i.hasTarget() || len(i.Reference.Running) == 0 || len(r.Proof.Digests) == 0 {
		return false
	}
	return !slices.ContainsFunc(i.Reference.Running, func(d string) bool { return slices.Contains(r.Proof.Digests, d) })
}

// driftBlocks tells whether tags that have moved wait for a person.
func (p Plan) driftBlocks() bool {
	return p.Mirroring.TagDrift == "" || p.Mirroring.TagDrift == v1alpha1.TagDriftHold
}

// pinnedDigest is the digest that the spec wants mirrored under a tag: what runs, when it asks for
// that and all containers agree.
func (p Plan) pinnedDigest(i Item) string {
	if p.Mirroring.TagDrift != v1alpha1.TagDriftUseRunning || i.After.ByDigest || len(i.Reference.Running) != 1 {
		return ""
	}
	return i.Reference.Running[0]
}

func driftProblem(i Item, r mirror.Result) rollout.Problem {
	return rollout.Problem{
		Reason: v1alpha1.ReasonTagsDrifted, Kind: "Image", Name: i.Name,
		Message: fmt.Sprintf("%s, used by %s, is %s at its source now, and its containers run %s: the tag has moved. Set spec.mirroring.tagDrift to UseRunning to "+
			"mirror what runs, or to UseSource to take what the tag stands for", i.Name, i.Reference.UsedBy(),
			r.Proof.Digest, strings.Join(i.Reference.Running, ", ")),
	}
}
