package batch

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	configv1 "github.com/openshift/api/config/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
)

// Manifests are the mirror sets of one run, from all its files.
type Manifests struct {
	// Sets are the mirror sets as a cluster would hold them.
	Sets registriesconf.Sets
	// Spec has the items of all of them in one, as a single rollout would.
	Spec v1alpha1.SafeMirrorRolloutSpec
	// Additional are the references of spec.inventory.additionalImages.
	Additional []Line

	positions map[string]string // "ImageTagMirrorSet/acme" -> where it stands
	modes     map[v1alpha1.MirroringMode]string
}

// The kinds that are read, as they stand in a manifest.
const (
	kindRollout   = "SafeMirrorRollout"
	kindTagSet    = registriesconf.KindITMS
	kindDigestSet = registriesconf.KindIDMS
)

var kindsRead = fmt.Sprintf("%s (%s), %s and %s (%s)", kindRollout, v1alpha1.GroupVersion, kindTagSet, kindDigestSet,
	configv1.GroupVersion)

// Add reads the YAML or JSON documents of a file. The error names every document that cannot be
// read, with the line it begins at.
func (m *Manifests) Add(name string, data []byte) error {
	var problems problemList
	found := 0
	for _, doc := range documents(data) {
		position := fmt.Sprintf("%s:%d", name, doc.line)
		n, err := m.addDocument(position, doc)
		if err != nil {
			problems.add("%s: %w", position, err)
		}
		found += n
	}
	if found == 0 && len(problems.errors) == 0 {
		problems.add("%s: holds no object; give %s", name, kindsRead)
	}
	return problems.join()
}

// document is one of the parts of a file that lines of --- divide.
type document struct {
	line int // of its first line that says something, counted from 1
	text []byte
}

// documents splits a file. Each text begins with as many empty lines as the file has before it, so
// that the line numbers of YAML errors are those of the file.
func documents(data []byte) []document {
	var out []document
	start, lines := 0, strings.SplitAfter(string(data), "\n")
	for i := 0; i <= len(lines); i++ {
		if i < len(lines) && strings.TrimRight(lines[i], " \r\n") != "---" {
			continue
		}
		first := slices.IndexFunc(lines[start:i], func(line string) bool {
			line = strings.TrimSpace(line)
			return line != "" && !strings.HasPrefix(line, "#")
		})
		if first >= 0 {
			text := strings.Repeat("\n", start) + strings.Join(lines[start:i], "")
			out = append(out, document{line: start + first + 1, text: []byte(text)})
		}
		start = i + 1
	}
	return out
}

// addDocument reads one document and tells how many objects it held: a List, as oc get -o yaml
// prints it, holds several.
func (m *Manifests) addDocument(position string, doc document) (int, error) {
	var meta metav1.TypeMeta
	if err := yaml.Unmarshal(doc.text, &meta); err != nil {
		return 0, err
	}
	if meta.Kind != "List" || meta.APIVersion != "v1" {
		return 1, m.addObject(position, meta, doc.text)
	}
	var list struct {
		Items []runtime.RawExtension `json:"items"`
	}
	if err := yaml.Unmarshal(doc.text, &list); err != nil {
		return 0, err
	}
	var problems problemList
	for i, item := range list.Items {
		var meta metav1.TypeMeta
		err := yaml.Unmarshal(item.Raw, &meta)
		if err == nil {
			err = m.addObject(position, meta, item.Raw)
		}
		if err != nil {
			problems.add("items[%d]: %w", i, err)
		}
	}
	return len(list.Items), problems.join()
}

func (m *Manifests) addObject(position string, meta metav1.TypeMeta, text []byte) error {
	switch meta.GroupVersionKind() {
	case v1alpha1.GroupVersion.WithKind(kindRollout):
		var r v1alpha1.SafeMirrorRollout
		if err := yaml.UnmarshalStrict(text, &r); err != nil {
			return fmt.Errorf("%s: %w", kindRollout, err)
		}
		return m.addRollout(position, &r)
	case configv1.GroupVersion.WithKind(kindTagSet):
		var set configv1.ImageTagMirrorSet
		if err := yaml.UnmarshalStrict(text, &set); err != nil {
			return fmt.Errorf("%s: %w", kindTagSet, err)
		}
		return m.addTagSet(position, set)
	case configv1.GroupVersion.WithKind(kindDigestSet):
		var set configv1.ImageDigestMirrorSet
		if err := yaml.UnmarshalStrict(text, &set); err != nil {
			return fmt.Errorf("%s: %w", kindDigestSet, err)
		}
		return m.addDigestSet(position, set)
	default:
		return fmt.Errorf("kind %q of apiVersion %q is none of %s", meta.Kind, meta.APIVersion, kindsRead)
	}
}

func (m *Manifests) addRollout(position string, r *v1alpha1.SafeMirrorRollout) error {
	if err := m.register(position, kindRollout, r.Name); err != nil {
		return err
	}
	tag, digest := mirrorset.ITMS(r), mirrorset.IDMS(r)
	if tag == nil && digest == nil {
		return fmt.Errorf("%s/%s: spec has neither imageTagMirrors nor imageDigestMirrors: there is nothing to mirror to", kindRollout, r.Name)
	}
	if err := m.checkMode(position, r); err != nil {
		return err
	}
	for i, image := range r.Spec.Inventory.AdditionalImages {
		field := fmt.Sprintf("%s spec.inventory.additionalImages[%d]", position, i)
		named, err := parseReference(image)
		if err != nil {
			return fmt.Errorf("%s/%s: spec.inventory.additionalImages[%d]: %w", kindRollout, r.Name, i, err)
		}
		m.Additional = append(m.Additional, Line{Position: field, Source: named.String()})
	}
	if tag != nil {
		if err := m.addTagSet(position, *tag); err != nil {
			return err
		}
	}
	if digest != nil {
		return m.addDigestSet(position, *digest)
	}
	return nil
}

// checkMode refuses rollouts of which some fill their mirrors and some do not: one run does the one
// or the other.
func (m *Manifests) checkMode(position string, r *v1alpha1.SafeMirrorRollout) error {
	mode := r.Spec.Mirroring.Mode
	if mode == "" {
		mode = v1alpha1.CopyAndVerify
	}
	for other, where := range m.modes {
		if other != mode {
			return fmt.Errorf("%s/%s: spec.mirroring.mode is %s, that of the one at %s is %s: mirror them in two runs",
				kindRollout, r.Name, mode, where, other)
		}
	}
	m.modes = map[v1alpha1.MirroringMode]string{mode: position}
	m.Spec.Mirroring.Mode = mode
	return nil
}

func (m *Manifests) addTagSet(position string, set configv1.ImageTagMirrorSet) error {
	if err := m.register(position, kindTagSet, set.Name); err != nil {
		return err
	}
	m.Sets.ITMSs = append(m.Sets.ITMSs, set)
	for _, i := range set.Spec.ImageTagMirrors {
		m.Spec.ImageTagMirrors = append(m.Spec.ImageTagMirrors, imageMirrors(i.Source, i.Mirrors, i.MirrorSourcePolicy))
	}
	return nil
}

func (m *Manifests) addDigestSet(position string, set configv1.ImageDigestMirrorSet) error {
	if err := m.register(position, kindDigestSet, set.Name); err != nil {
		return err
	}
	m.Sets.IDMSs = append(m.Sets.IDMSs, set)
	for _, i := range set.Spec.ImageDigestMirrors {
		m.Spec.ImageDigestMirrors = append(m.Spec.ImageDigestMirrors,
			imageMirrors(i.Source, i.Mirrors, i.MirrorSourcePolicy))
	}
	return nil
}

func imageMirrors(source string, mirrors []configv1.ImageMirror,
	policy configv1.MirrorSourcePolicy) v1alpha1.ImageMirrors {
	out := v1alpha1.ImageMirrors{Source: source, MirrorSourcePolicy: v1alpha1.MirrorSourcePolicy(policy)}
	for _, mirror := range mirrors {
		out.Mirrors = append(out.Mirrors, string(mirror))
	}
	return out
}

// register refuses a second object of the same name: in a cluster it would replace the first. The
// sets of a rollout have its name.
func (m *Manifests) register(position, kind, name string) error {
	if name == "" {
		return fmt.Errorf("%s: metadata.name is missing", kind)
	}
	key := kind + "/" + name
	if where, known := m.positions[key]; known {
		return fmt.Errorf("%s is there twice, first at %s: in a cluster the second would replace the first", key, where)
	}
	if m.positions == nil {
		m.positions = map[string]string{}
	}
	m.positions[key] = position
	return nil
}

// config is what nodes would have if these mirror sets were all there is.
func (m *Manifests) config() (registriesconf.Config, error) {
	text, err := registriesconf.Render(nil, m.Sets)
	var invalid *registriesconf.InvalidError
	if errors.As(err, &invalid) {
		var problems problemList
		for _, p := range invalid.Problems {
			problems.add("%s", p)
		}
		return registriesconf.Config{}, problems.join()
	}
	if err != nil {
		return registriesconf.Config{}, err
	}
	return registriesconf.Parse(text, nil)
}
