package plan

import (
	"fmt"
	"strings"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// maxProblems bounds how many references are named.
const maxProblems = 10

// Summarize folds what the registries said into the plan. engaged is the digest of the plan whose
// jobs the engine has, copying whether it may write to the mirrors.
func (p Plan) Summarize(results map[string]mirror.Result, transferPlan string, copying bool) (rollout.PlanSummary,
	rollout.Transfers) {
	sum := rollout.PlanSummary{Digest: p.Digest, Total: p.Total, Changed: len(p.Items)}
	transfers := rollout.Transfers{PlanDigest: transferPlan, Copying: copying}
	for _, problem := range p.collisions() {
		sum.Lost++
		if len(sum.Problems) < maxProblems {
			sum.Problems = append(sum.Problems, problem)
		}
	}
	for _, i := range p.Items {
		result := results[i.Key()]
		countCopies(&transfers, result)
		switch p.outcome(i, results) {
		case outcomeNotBlocking:
			countNotBlocking(&sum, i)
		case outcomeNoWorse:
			sum.NoWorse++
		case outcomeLost:
			sum.Lost++
			if len(sum.Problems) < maxProblems {
				sum.Problems = append(sum.Problems, lostProblem(i, result, results[i.beforeKey()]))
			}
		case outcomeUnknown:
			transfers.Total++
			if !i.hasTarget() {
				sum.PendingChecks++
			}
		case outcomeNotMirrored:
			transfers.Total++
			transfers.Failed++
			if len(transfers.Problems) < maxProblems {
				transfers.Problems = append(transfers.Problems, failedProblem(i, result, p.VerifyOnly))
			}
		case outcomePullable:
			p.countPullable(&sum, &transfers, i, result)
		}
	}
	return sum, transfers
}

// countNotBlocking counts what holds nothing, by the reason.
func countNotBlocking(sum *rollout.PlanSummary, i Item) {
	switch {
	case i.Accepted != "":
		sum.Accepted++
	case i.Reference.Class == inventory.Historical:
		sum.Historical++
	default:
		sum.Advisory++
	}
}

// countPullable counts what is proven. A tag that has moved is proven to be another image than the
// one that runs.
func (p Plan) countPullable(sum *rollout.PlanSummary, transfers *rollout.Transfers, i Item, result mirror.Result) {
	transfers.Total++
	if i.drifted(result) {
		sum.Drifted++
		if p.driftBlocks() {
			transfers.Failed++
			if len(transfers.Problems) < maxProblems {
				transfers.Problems = append(transfers.Problems, driftProblem(i, result))
			}
			return
		}
	}
	transfers.Verified++
	if at := result.Proof.At; transfers.OldestProof.IsZero() || at.Before(transfers.OldestProof) {
		transfers.OldestProof = at
	}
}

func countCopies(transfers *rollout.Transfers, result mirror.Result) {
	for _, c := range result.Copies {
		if c.Pushed {
			transfers.Copied++
		}
		transfers.Bytes += c.Bytes
	}
}

// lostProblem says which reference is lost, who needs it, why, and what to add to the spec.
func lostProblem(i Item, result, before mirror.Result) rollout.Problem {
	why := whyUnpullable(i, result)
	if i.ShadowedBy != "" {
		why += "; " + i.ShadowedBy + " takes its scope " + i.After.Scope + " away from the mirrors it has today"
	}
	if before.Err != nil && before.Err.Class == mirror.Denied {
		why += " (whether it can be pulled today is known to its pods only: the registry refuses the cluster's pull secret)"
	}
	return rollout.Problem{
		Reason: v1alpha1.ReasonImagesLost, Kind: "Image", Name: i.Name,
		Message: fmt.Sprintf("%s, used by %s, could not be pulled any more: %s. %s", i.Name, i.Reference.UsedBy(), why,
			suggestion(i)),
	}
}

// whyUnpullable says what stands in the way of pulling the item under the planned configuration.
func whyUnpullable(i Item, result mirror.Result) string {
	switch {
	case i.After.Err != "":
		return "its name cannot be rewritten for the mirror: " + i.After.Err
	case unpullable(i.After):
		return "every place it could be pulled from is blocked (NeverContactSource on " + blockedBy(i.After) +
			" blocks pulls by tag and by digest)"
	default:
		return "it can only be pulled from " + strings.Join(endpointReferences(i.After.Usable()), ", ") +
			", and that fails: " + failureText(result)
	}
}

// suggestion names the item to add: the kind of mirror that serves this kind of reference, for the
// scope that decides.
func suggestion(i Item) string {
	field := "imageTagMirrors"
	if i.After.ByDigest {
		field = "imageDigestMirrors"
	}
	scope := i.After.Scope
	mirrors := currentMirrors(i.Before, scope)
	if len(mirrors) == 0 {
		mirrors = i.OtherKindMirrors
	}
	if len(mirrors) == 0 {
		return fmt.Sprintf("Add an item to spec.%s with source %s and a mirror that holds the image, or list the reference in spec.inventory.acceptedRisks", field, scope)
	}
	item := fmt.Sprintf("source: %s, mirrors: [%s]", scope, strings.Join(mirrors, ", "))
	if i.NeverContactSource {
		item += ", mirrorSourcePolicy: NeverContactSource" // all items of one source need the same
	}
	return fmt.Sprintf("Add to spec.%s: {%s}, or list the reference in spec.inventory.acceptedRisks", field, item)
}

// currentMirrors gives the mirrors that serve the reference today, cut down to the scope. With
// scope quay.io/acme/shop the endpoint mirror/acme/shop/app@sha256:… for
// quay.io/acme/shop/app@sha256:… becomes mirror/acme/shop.
func currentMirrors(before registriesconf.Resolution, scope string) []string {
	rest, ok := strings.CutPrefix(before.Reference, scope)
	if scope == "" || !ok || strings.HasPrefix(scope, "*.") {
		return nil
	}
	var out []string
	for _, e := range before.Usable() {
		if location, ok := strings.CutSuffix(e.Reference, rest); ok && e.Mirror && location != "" {
			out = append(out, location)
		}
	}
	return out
}

func blockedBy(r registriesconf.Resolution) string {
	for _, e := range r.Endpoints {
		if e.Blocked {
			return e.BlockedBy
		}
	}
	return r.Scope
}

// failedProblem says which copy or proof failed, where, and what happens next.
func failedProblem(i Item, result mirror.Result, verifyOnly bool) rollout.Problem {
	next := "it is tried again by itself"
	why := v1alpha1.ReasonImagesFailed
	if e := resultError(result); e != nil {
		switch e.Class {
		case mirror.Denied:
			next = "check spec.mirroring.pushSecret and spec.mirroring.sourceSecrets, or, when nodes are refused, the cluster's global pull secret"
			why = v1alpha1.ReasonMirrorUnreachable
		case mirror.TLS:
			next = "add the registry's CA to the ConfigMap that image.config.openshift.io/cluster spec.additionalTrustedCA names"
			why = v1alpha1.ReasonMirrorUnreachable
		case mirror.Refused, mirror.Timeout:
			next = "check the mirror's address in the spec, its DNS name and the proxy; it is tried again by itself"
			why = v1alpha1.ReasonMirrorUnreachable
		case mirror.ReadOnly:
			next = "the mirror takes no uploads: make it writable, or set spec.mirroring.mode to VerifyOnly and fill it yourself"
			why = v1alpha1.ReasonMirrorUnreachable
		case mirror.Quota:
			next = "the mirror has no room: raise its quota or free some; it is tried again by itself"
			why = v1alpha1.ReasonMirrorUnreachable
		case mirror.Blocked:
			next = "a policy between the operator and the registry forbids it: allow it there, or have somebody else fill the mirror and set spec.mirroring.mode to VerifyOnly"
			why = v1alpha1.ReasonMirrorUnreachable
		default: // about this image, not about the registry
		}
	}
	if verifyOnly {
		next = "spec.mirroring.mode is VerifyOnly, so it has to be put there by whoever fills the mirror"
	}
	return rollout.Problem{
		Reason: why, Kind: "Image", Name: i.Name, Transient: true,
		Message: fmt.Sprintf("%s, used by %s, is not proven at %s: %s; %s", i.Name, i.Reference.UsedBy(), i.Target,
			failureText(result), next),
	}
}

func failureText(result mirror.Result) string {
	if e := resultError(result); e != nil {
		return e.Error()
	}
	return "no answer yet"
}
