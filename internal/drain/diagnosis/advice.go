package diagnosis

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Advice is what to do about an obstacle: what helps, the least risky first, and what looks as if
// it would and does not.
type Advice struct {
	Helps       []string `json:"helps,omitempty"`
	Ineffective []string `json:"useless,omitempty"`
}

// Advise says what to do. Everything that has to reach a node through the Machine Config Operator
// is stuck behind the drain itself: a node in a drain counts as unavailable, and a pool of
// maxUnavailable 1 then has room for no other. So only what acts from outside helps.
func Advise(o rollout.BlockedDrain) Advice {
	var a Advice
	switch o.Reason {
	case rollout.DrainBlockTerminating, rollout.DrainBlockMigrating, rollout.DrainBlockStarting,
		rollout.DrainBlockRetrying:
		return Advice{Helps: []string{"Wait: this passes by itself."}}
	case rollout.DrainBlockPull:
		a.Helps = pullAdvice(o)
	case rollout.DrainBlockUnschedulable:
		a.Helps = []string{
			"Give " + podList(o) + " a node: uncordon one that was cordoned by hand, add one, or free the ports and resources that the scheduler names.",
			"Where two pools drain at the same time and each keeps the node that the other needs, a further node ends it; a SafeMirrorRollout drains one pool at a time.",
		}
	case rollout.DrainBlockCrashing:
		a.Helps = []string{"See why " + podList(o) +
			" does not become ready (oc logs --previous, oc describe), and roll its workload back if it is new."}
	case rollout.DrainBlockBudgetZero:
		a.Helps = []string{fmt.Sprintf("Only its owner can decide: more replicas than PDB %s wants, or a budget that allows one disruption.", budgetText(o))}
	case rollout.DrainBlockOverlap:
		a.Helps = []string{"Make the selectors of the budgets disjoint: a pod may be selected by one only."}
	case rollout.DrainBlockFinalizer:
		a.Helps = []string{"Find the controller that has put the finalizer there and see why it does not take it away; without a finalizer, look at the kubelet and the volumes of " + o.Node + "."}
	case rollout.DrainBlockWebhook:
		a.Helps = []string{"Mend what refuses: the pods behind the webhook, or the quota; a virtual machine that cannot be migrated has to be stopped, or get evictionStrategy LiveMigrateIfPossible."}
	case rollout.DrainBlockBudgetStale:
		a.Helps = []string{"See whether kube-controller-manager is well; a budget over pods of a controller without a scale subresource needs an integer minAvailable."}
	case rollout.DrainBlockNodeLost:
		a.Helps = []string{"Bring the node back; or, once it is certain that it is switched off, delete its Node object, and its pods are replaced."}
	case rollout.DrainBlockNotDraining:
		a.Helps = []string{"Read the log of machine-config-daemon on " + o.Node +
			", and that of machine-config-controller, in openshift-machine-config-operator."}
	default:
		a.Helps = []string{"Look at the events of the pods on " + o.Node +
			"; safe-mirror diagnose --try-evictions also asks the admission webhooks."}
	}
	a.Ineffective = ineffective(o)
	return a
}

// pullAdvice is for pods that wait for an image. What helps depends on why, and on who answers so.
func pullAdvice(o rollout.BlockedDrain) []string {
	var out []string
	seen := map[string]bool{}
	relocateTo := ""
	for _, p := range o.Pods {
		for _, f := range p.Pulls {
			text := fixFor(f)
			if !seen[text] {
				seen[text] = true
				out = append(out, text)
			}
			switch {
			case f.Cause == rollout.PullBlocked || f.ShadowedBy != "":
				relocateTo = p.Node
			case p.NeverStarted && (f.Cause == rollout.PullMissing || f.Cause == rollout.PullIncomplete):
				out = append(out, fmt.Sprintf("Then the kubelet pulls within 5 minutes. Deleting pod %s/%s makes it at once: none of its containers runs.", p.Namespace, p.Name))
			case !p.NeverStarted:
				out = append(out, fmt.Sprintf("Do not delete pod %s/%s to make it pull: containers of it run, or have run.", p.Namespace, p.Name))
			}
		}
	}
	if relocateTo != "" {
		out = append(out, fmt.Sprintf("Or move the pod where the old configuration still serves it: cordon %s, delete the pod, and uncordon %s once the drain is through. "+
			"A cordoned node counts as unavailable, so no further node begins meanwhile.", relocateTo, relocateTo))
	}
	return out
}

// fixFor is what makes one image arrive.
func fixFor(f rollout.FailedPull) string {
	host, _, _ := strings.Cut(f.Endpoint, "/")
	switch f.Cause {
	case rollout.PullMissing:
		return fmt.Sprintf("Copy the image to where nodes look for it, with all platforms that the nodes have: skopeo copy --all docker://%s docker://%s", f.Reference, f.Endpoint)
	case rollout.PullIncomplete:
		return fmt.Sprintf("Copy the image anew, all of it: %s has a manifest whose blobs or platforms it lacks: skopeo copy --all docker://%s docker://%s", host, f.Reference, f.Endpoint)
	case rollout.PullDenied:
		return fmt.Sprintf("Let %s serve this without a login, or to the login that nodes have in the global pull secret: a pod's imagePullSecrets do not count at a mirror on another host.", host)
	case rollout.PullUntrusted:
		return fmt.Sprintf("Add the authority of %s to the ConfigMap that image.config.openshift.io/cluster spec.additionalTrustedCA names, as one key (%s): it reaches the nodes without a rollout.",
			host, strings.ReplaceAll(host, ":", ".."))
	case rollout.PullUnreachable:
		return fmt.Sprintf("Let nodes reach %s: its DNS name, routes, firewalls, the cluster's proxy, and the registry itself.", cmp.Or(host, "the registry"))
	case rollout.PullBlocked:
		kind := "ImageTagMirrorSet"
		if referenceKind(f.Reference) == "by digest" {
			kind = "ImageDigestMirrorSet"
		}
		return fmt.Sprintf("Copying alone does not help, for no mirror is asked for this reference: give it one by an %s for the same source, with the same mirrorSourcePolicy as %s has, "+
			"copy the image there, and raise spec.maxUnavailable of the pool by one until the node has the new set.",
			kind, cmp.Or(f.BlockedBy, "the set that blocks it"))
	case rollout.PullSignature:
		return "Copy the image's signatures with it (its tags sha256-….sig), and see the ClusterImagePolicy or ImagePolicy that covers it."
	case rollout.PullThrottled:
		return fmt.Sprintf("Wait, or raise the limits of %s: nodes come back after their back-off of up to 5 minutes.", host)
	default:
		return fmt.Sprintf("See what %s says to a pull of %s from a node: crictl pull, and the log of crio.",
			cmp.Or(host, "the registry"), f.Reference)
	}
}

// ineffective are the attempts that many make first.
func ineffective(o rollout.BlockedDrain) []string {
	out := []string{
		"Uncordoning " + o.Node + ": the Machine Config Controller cordons it again, or goes on with a node that takes pods while it changes.",
		"Pausing the pool: a drain that has begun goes on; it keeps further nodes from beginning, no more.",
	}
	switch o.Reason {
	case rollout.DrainBlockPull:
		out = append(out,
			"Deleting the mirror set: nodes that have it keep it, because taking it away waits behind this drain.",
			"Changing openshift-config/pull-secret alone: it travels the same way.",
			"A PinnedImageSet: it takes digests only, and pulls by the configuration that does not work.")
	case rollout.DrainBlockNotDraining:
		return nil
	case rollout.DrainBlockNodeLost, rollout.DrainBlockFinalizer:
		return out
	default:
	}
	if o.Budget == nil {
		return out
	}
	out = append(out, "unhealthyPodEvictionPolicy AlwaysAllow: the pod that is refused is a healthy one; one in phase Pending passes by every budget as it is.")
	if o.Budget.Namespace == "openshift-ingress" {
		out = append(out,
			"Scaling Deployment "+o.Budget.Name+
				" or editing its PDB: the ingress operator writes both back; replicas are those of the IngressController.",
			"One replica more: with one router down the budget stays at 0 until there are 5.")
	}
	return out
}

func budgetText(o rollout.BlockedDrain) string {
	if o.Budget == nil {
		return "it"
	}
	return o.Budget.Namespace + "/" + o.Budget.Name
}

func podList(o rollout.BlockedDrain) string {
	var names []string
	for _, p := range o.Pods {
		names = append(names, p.Namespace+"/"+p.Name)
	}
	if len(names) == 0 {
		return "the pod"
	}
	return "pod " + strings.Join(names[:min(len(names), 3)], ", ")
}
