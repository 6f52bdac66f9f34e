package rollout

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// Remedies is what the cluster looks like where remedies have changed it, or may. It is read only
// while the record has a remedy that has not ended, or a drain is blocked.
type Remedies struct {
	// Objects has the present state of each object that a remedy on record is about.
	Objects []RemedyObject `json:"changed,omitempty"`
	// Candidates are what remedies that disturb something would find.
	Candidates []RemedyCandidate `json:"offers,omitempty"`
	// Unrecorded are remedies that only the notes on the objects tell of, because the record was
	// lost.
	Unrecorded []v1alpha1.RemedyRecord `json:"found,omitempty"`
}

// RemedyObject is the object of a remedy as it is now.
type RemedyObject struct {
	// ID is that of the remedy.
	ID string `json:"id"`
	// Gone is true when there is no object of that UID any more.
	Gone bool `json:"gone,omitempty"`
	// Value is what it has now, in the form of the record's original and intended values.
	Value string `json:"value,omitempty"`
	// HasNote is true while it carries the note of this remedy; Ours when nobody else has written
	// the value since.
	HasNote bool `json:"noted,omitempty"`
	Ours    bool `json:"ours,omitempty"`
}

// RemedyCandidate is an object that a remedy could change to get a drain going.
type RemedyCandidate struct {
	// Node is the one whose drain is blocked.
	Node      string                `json:"node"`
	Action    v1alpha1.RemedyAction `json:"action"`
	Kind      string                `json:"kind"`
	Namespace string                `json:"namespace,omitempty"`
	Name      string                `json:"name"`
	UID       string                `json:"uid,omitempty"`
	// Value is what it has now; Key, of a ConfigMap, is the key that is missing.
	Value string `json:"value,omitempty"`
	Key   string `json:"key,omitempty"`
	// FeasibleNodes is on how many other nodes the pods in question could start: those that have
	// the image, or pull it from where they did before.
	FeasibleNodes int `json:"spares,omitempty"`
	// Refusal says why it is not to be changed, or cannot be: it is somebody else's, or a right is
	// missing. Empty when neither.
	Refusal string `json:"refusal,omitempty"`
}

// RemedyStarted remembers a remedy before anything is changed for it.
type RemedyStarted struct{ Remedy v1alpha1.RemedyRecord }

// RemedyStateChanged remembers how far a remedy is.
type RemedyStateChanged struct {
	ID      string
	State   v1alpha1.RemedyState
	Outcome v1alpha1.RemedyOutcome
}

// maxRemedies bounds the record. Those that have ended go first, the oldest of them before the
// others.
const maxRemedies = 24

func (f RemedyStarted) apply(r *v1alpha1.Record) {
	if slices.ContainsFunc(r.Remedies, func(have v1alpha1.RemedyRecord) bool { return have.ID == f.Remedy.ID }) {
		return
	}
	if i := slices.IndexFunc(r.Remedies, remedyEnded); i >= 0 && len(r.Remedies) >= maxRemedies {
		r.Remedies = slices.Delete(r.Remedies, i, i+1)
	}
	if len(r.Remedies) >= maxRemedies {
		return
	}
	r.Remedies = append(r.Remedies, f.Remedy)
}

// apply frees the release when the stuck node is not waited for any longer: another node of its
// pool is released from the finalizer instead.
func (f RemedyStateChanged) apply(r *v1alpha1.Record) {
	for i := range r.Remedies {
		if m := &r.Remedies[i]; m.ID == f.ID {
			m.State = f.State
			if m.Outcome == "" || f.Outcome == v1alpha1.OutcomeChangedElsewhere {
				m.Outcome = f.Outcome
			}
			if m.Action == v1alpha1.RaiseMaxUnavailable && m.State == v1alpha1.RemedyTaken {
				r.Release = nil
			}
		}
	}
}

func remedyEnded(r v1alpha1.RemedyRecord) bool { return r.State == v1alpha1.RemedyEnded }

// OpenRemedies are those of which something may be left in the cluster.
func OpenRemedies(r v1alpha1.Record) []v1alpha1.RemedyRecord {
	return slices.DeleteFunc(slices.Clone(r.Remedies), remedyEnded)
}

// Each remedy has an action of its own that carries it out, and where there is something to undo,
// one that undoes it. They hold the record of the remedy, and nothing that is not in it.

// RetryMirroring proves references once more and at once, and copies what is missing.
type RetryMirroring struct {
	Remedy     v1alpha1.RemedyRecord
	References []string
}

// DeletePod deletes one pod of which no container has ever run (I9).
type DeletePod struct{ Remedy v1alpha1.RemedyRecord }

// AddTrustedCA adds one key to the ConfigMap of the cluster's additional certificate authorities.
type AddTrustedCA struct{ Remedy v1alpha1.RemedyRecord }

// Cordon keeps new pods off a node, Uncordon takes that back.
type Cordon struct{ Remedy v1alpha1.RemedyRecord }

// Uncordon takes a Cordon back, unless somebody else has changed the node since.
type Uncordon struct{ Remedy v1alpha1.RemedyRecord }

// ScaleUp gives a workload more replicas through its scale subresource.
type ScaleUp struct{ Remedy v1alpha1.RemedyRecord }

// ScaleDown takes a ScaleUp back, unless somebody else has changed the number since.
type ScaleDown struct{ Remedy v1alpha1.RemedyRecord }

// Key implements Action.
func (a RetryMirroring) Key() string { return "mirror-again/" + a.Remedy.ID }

// Key implements Action.
func (a DeletePod) Key() string { return "delete-pod/" + a.Remedy.ID }

// Key implements Action.
func (a AddTrustedCA) Key() string { return "add-trust/" + a.Remedy.ID }

// Key implements Action.
func (a Cordon) Key() string { return "cordon/" + a.Remedy.ID }

// Key implements Action.
func (a Uncordon) Key() string { return "uncordon/" + a.Remedy.ID }

// Key implements Action.
func (a ScaleUp) Key() string { return "scale-up/" + a.Remedy.ID }

// Key implements Action.
func (a ScaleDown) Key() string { return "scale-back/" + a.Remedy.ID }

// Disruptive implements Action. It writes to the mirrors only.
func (RetryMirroring) Disruptive() bool { return false }

// Disruptive implements Action. What has never run takes nothing away; the executor looks once more
// whether that is so.
func (DeletePod) Disruptive() bool { return false }

// Disruptive implements Action. Every node trusts more from then on.
func (AddTrustedCA) Disruptive() bool { return true }

// Disruptive implements Action. A node that takes no pods is capacity that is missing.
func (Cordon) Disruptive() bool { return true }

// Disruptive implements Action. It gives capacity back, and has to be possible whatever else is
// unknown.
func (Uncordon) Disruptive() bool { return false }

// Disruptive implements Action.
func (ScaleUp) Disruptive() bool { return true }

// Disruptive implements Action. Pods go, those that are not ready first.
func (ScaleDown) Disruptive() bool { return true }

func (RetryMirroring) isAction() {}
func (DeletePod) isAction()      {}
func (AddTrustedCA) isAction()   {}
func (Cordon) isAction()         {}
func (Uncordon) isAction()       {}
func (ScaleUp) isAction()        {}
func (ScaleDown) isAction()      {}

// remedyRecord is a remedy for the drain of the node, decided now. Its id is a hash of what it is
// about, so that it has one length whatever the names are, and the same decision on a later look
// has another one.
func remedyRecord(o Observed, node string, action v1alpha1.RemedyAction, kind, namespace, name string,
	references ...string) v1alpha1.RemedyRecord {
	at := apiTime(o.Now)
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", append([]string{
		string(action), node, kind, namespace, name, at.UTC().Format(time.RFC3339)}, references...)))
	return v1alpha1.RemedyRecord{
		ID: hex.EncodeToString(sum[:])[:remedyIDLength], Action: action, Node: node, Kind: kind, Namespace: namespace,
		Name:       name,
		References: references, DecidedAt: *at, Deadline: metav1.NewTime(at.Add(remedyTime(action))),
		State: v1alpha1.RemedyIntended, SpecHash: o.Rollout.SpecHash,
	}
}

// remedyIDLength keeps 64 bits of the hash: a record has 24 remedies.
const remedyIDLength = 16

// remedyTitle names the remedy for people: RestartFailingPods of Pod shop/cart-7 for node worker-2.
func remedyTitle(r v1alpha1.RemedyRecord) string {
	return string(r.Action) + " of " + remedyObjectName(r) + " for node " + r.Node
}

// remedyName is the name of the object, or the first of several images.
func remedyName(r v1alpha1.RemedyRecord) string {
	if len(r.References) > 0 {
		return r.References[0]
	}
	return r.Name
}

// remedyObjectName names what the remedy changes.
func remedyObjectName(r v1alpha1.RemedyRecord) string {
	switch {
	case len(r.References) > 0:
		return r.Kind + " " + strings.Join(r.References, ", ")
	case r.Namespace != "":
		return r.Kind + " " + r.Namespace + "/" + r.Name
	default:
		return r.Kind + " " + r.Name
	}
}

// remedyTime is how long a remedy may take to help before it is given up and undone.
func remedyTime(action v1alpha1.RemedyAction) time.Duration {
	switch action {
	case v1alpha1.RestartFailingPods:
		return 2 * time.Minute
	case v1alpha1.TrustMirrorCA:
		return 3 * time.Minute
	case v1alpha1.ScaleIngress, v1alpha1.ScaleDeployments:
		return 10 * time.Minute
	case v1alpha1.RaiseMaxUnavailable:
		return time.Hour
	case v1alpha1.MirrorMissingImages, v1alpha1.Relocate:
	}
	return 5 * time.Minute
}
