package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/safetext"
)

// Init writes a SafeMirrorRollout that has the items of the mirror sets, as YAML with comments.
// name may be empty; from says where the sets come from.
func Init(objects []Object, name, from string) (string, error) {
	for _, o := range objects {
		if o.Rollout != nil {
			return "", fmt.Errorf("%s: is a SafeMirrorRollout already", o.At)
		}
	}
	merged, err := Merge(objects)
	if err != nil {
		return "", err
	}
	if len(merged.Spec.ImageDigestMirrors)+len(merged.Spec.ImageTagMirrors) == 0 {
		return "", errors.New("the mirror sets have no items")
	}
	r := &v1alpha1.SafeMirrorRollout{Spec: merged.Spec}
	r.Name = cmp.Or(name, commonName(objects))
	if err := check(r); err != nil {
		return "", err
	}
	return write(r, merged.Notes, from)
}

func write(r *v1alpha1.SafeMirrorRollout, notes []string, from string) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "# Made from %s.\n", from)
	for _, n := range notes {
		fmt.Fprintf(&b, "# - %s\n", n)
	}
	fmt.Fprintf(&b, rolloutHeader, v1alpha1.GroupVersion, r.Name)
	for _, list := range []struct {
		field, about string
		items        []v1alpha1.ImageMirrors
	}{
		{"imageDigestMirrors", "redirect pulls by digest; they become an ImageDigestMirrorSet of this name.",
			r.Spec.ImageDigestMirrors},
		{"imageTagMirrors", "redirect pulls by tag; they become an ImageTagMirrorSet of this name.",
			r.Spec.ImageTagMirrors},
	} {
		if len(list.items) == 0 {
			continue
		}
		items, err := safetext.MarshalYAML(list.items)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "\n  # %s %s\n  %s:\n", list.field, list.about, list.field)
		for line := range strings.Lines(string(items)) {
			b.WriteString("  " + line)
		}
	}
	b.WriteString(rolloutFooter)
	return b.String(), nil
}

const rolloutHeader = `apiVersion: %s
kind: SafeMirrorRollout
metadata:
  # The mirror sets get this name, too. Give another one if the cluster has sets of this name that the rollout did not make.
  name: %s
spec:
  # Held plans, copies and proves, and stops before anything is paused. Set it to Active to go on; when omitted, it is Active.
  state: Held
`

const rolloutFooter = `
  # What follows is what holds when it is left out.
  #
  # The operator copies what the mirrors lack, with the cluster's pull secret. Where oc-mirror, a replicating registry or a pipeline
  # fills them, VerifyOnly never pushes and waits for what is missing. A pushSecret in the operator's namespace is used to write.
  # mirroring:
  #   mode: CopyAndVerify
  #   pushSecret:
  #     name: mirror-push
  #
  # Every image that a pod uses, or that a controller can start one with, has to be pullable afterwards. additionalImages are more of
  # them; acceptedRisks may be lost, * stands for any characters.
  # inventory:
  #   additionalImages: [quay.io/acme/debug:v1]
  #   acceptedRisks:
  #   - pattern: quay.io/acme/legacy-*
  #     reason: switched off in May
  #
  # One node of each worker pool goes first, then the control plane, then all other nodes, one at a time.
  # release:
  #   stages:
  #   - pool: worker
  #     nodes: 1
  #   - pool: master
  #   - pool: worker
`
