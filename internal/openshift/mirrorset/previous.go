package mirrorset

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	configv1 "github.com/openshift/api/config/v1"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// Previous has the lists of the two mirror sets of a rollout as they were before it. They are kept
// in a ControllerRevision in the operator's namespace, as the objects that they were, so that a
// person can read them and apply them:
//
//	oc get controllerrevision shop-3f5a… -n safe-mirror-operator -o jsonpath='{.data}' | oc apply -f -
//
// The name ends in a hash of the content: a revision of a name never holds anything else, and one
// that does was edited.
type Previous struct {
	Digest []v1alpha1.ImageMirrors
	Tag    []v1alpha1.ImageMirrors
}

// PreviousOf are the lists of the sets; nil stands for none.
func PreviousOf(idms *configv1.ImageDigestMirrorSet, itms *configv1.ImageTagMirrorSet) Previous {
	var p Previous
	if idms != nil {
		for _, m := range idms.Spec.ImageDigestMirrors {
			p.Digest = append(p.Digest, imageMirrors(m.Source, m.Mirrors, m.MirrorSourcePolicy))
		}
	}
	if itms != nil {
		for _, m := range itms.Spec.ImageTagMirrors {
			p.Tag = append(p.Tag, imageMirrors(m.Source, m.Mirrors, m.MirrorSourcePolicy))
		}
	}
	return p
}

func imageMirrors(source string, mirrors []configv1.ImageMirror,
	policy configv1.MirrorSourcePolicy) v1alpha1.ImageMirrors {
	m := v1alpha1.ImageMirrors{Source: source, MirrorSourcePolicy: v1alpha1.MirrorSourcePolicy(policy)}
	for _, s := range mirrors {
		m.Mirrors = append(m.Mirrors, string(s))
	}
	return m
}

// hashLength keeps 128 of the 256 bits, as hexadecimal digits: names stay readable, and nobody
// finds another content of the same hash.
const hashLength = 32

// Reference names the ControllerRevision of the lists; nil when there are none.
func (p Previous) Reference(rollout string) *v1alpha1.PreviousMirrorSets {
	if len(p.Digest)+len(p.Tag) == 0 {
		return nil
	}
	hash := contentHash([][]v1alpha1.ImageMirrors{p.Digest, p.Tag})[:hashLength]
	return &v1alpha1.PreviousMirrorSets{Name: rollout + "-" + hash, DataHash: hash}
}

// referenceTo is the reference of which only the name is known.
func referenceTo(name string) *v1alpha1.PreviousMirrorSets {
	return &v1alpha1.PreviousMirrorSets{Name: name, DataHash: name[strings.LastIndex(name, "-")+1:]}
}

// revisionList is the data of a revision: a List, as oc get prints one.
type revisionList struct {
	metav1.TypeMeta `json:",inline"`
	Items           []runtime.RawExtension `json:"items"`
}

// Revision is the ControllerRevision that holds the lists. It has no owner reference, for the
// reason that mirror sets have none: a foreground deletion of the rollout would delete it before
// the finalizer has rolled back.
func (p Previous) Revision(r *v1alpha1.SafeMirrorRollout, namespace string, number int64) (*appsv1.ControllerRevision,
	error) {
	before := WithPrevious(r, p)
	before.Status = v1alpha1.SafeMirrorRolloutStatus{}
	list := revisionList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "List"}}
	add := func(o any) error {
		text, err := json.Marshal(o)
		if err == nil {
			list.Items = append(list.Items, runtime.RawExtension{Raw: text})
		}
		return err
	}
	var failed error
	if set := IDMS(before); set != nil {
		failed = errors.Join(failed, add(set))
	}
	if set := ITMS(before); set != nil {
		failed = errors.Join(failed, add(set))
	}
	data, err := json.Marshal(list)
	if err := errors.Join(failed, err); err != nil {
		return nil, fmt.Errorf("the present mirror sets are no JSON: %w", err)
	}
	ref := p.Reference(r.Name)
	if ref == nil {
		return nil, errors.New("there are no mirror sets to remember")
	}
	return &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: ref.Name, Labels: Labels(r.Name),
			Annotations: map[string]string{AnnotationUID: string(r.UID), AnnotationAbout: aboutRevision},
		},
		Revision: number, Data: runtime.RawExtension{Raw: data},
	}, nil
}

const aboutRevision = "Written by safe-mirror-operator: the mirror sets of this name before the SafeMirrorRollout changed them. A rollback writes " +
	"them again, and is refused without this object."

// ReadRevision reads the lists back, and refuses what is not what the reference is about.
func ReadRevision(revision *appsv1.ControllerRevision, ref v1alpha1.PreviousMirrorSets) (Previous, error) {
	var list revisionList
	if err := json.Unmarshal(revision.Data.Raw, &list); err != nil {
		return Previous{}, fmt.Errorf("its data is no List: %w", err)
	}
	var p Previous
	for i, raw := range list.Items {
		var kind metav1.TypeMeta
		if err := json.Unmarshal(raw.Raw, &kind); err != nil {
			return Previous{}, fmt.Errorf("data.items[%d]: %w", i, err)
		}
		var one Previous
		var err error
		switch kind.Kind {
		case "ImageDigestMirrorSet":
			var set configv1.ImageDigestMirrorSet
			err = json.Unmarshal(raw.Raw, &set)
			one = PreviousOf(&set, nil)
		case "ImageTagMirrorSet":
			var set configv1.ImageTagMirrorSet
			err = json.Unmarshal(raw.Raw, &set)
			one = PreviousOf(nil, &set)
		default:
			err = fmt.Errorf("is a %s, and no mirror set", kind.Kind)
		}
		if err != nil {
			return Previous{}, fmt.Errorf("data.items[%d]: %w", i, err)
		}
		p.Digest, p.Tag = slices.Concat(p.Digest, one.Digest), slices.Concat(p.Tag, one.Tag)
	}
	if got := p.Reference(""); got == nil || got.DataHash != ref.DataHash {
		return Previous{}, errors.New("its data was changed since it was written: it does not have the recorded hash " +
			ref.DataHash)
	}
	return p, nil
}

// WithPrevious is the rollout as it would be if its spec had these lists.
func WithPrevious(r *v1alpha1.SafeMirrorRollout, p Previous) *v1alpha1.SafeMirrorRollout {
	out := r.DeepCopy()
	out.Spec.ImageDigestMirrors, out.Spec.ImageTagMirrors = p.Digest, p.Tag
	return out
}
