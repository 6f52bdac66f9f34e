package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	configv1 "github.com/openshift/api/config/v1"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	opv1 "github.com/openshift/api/operator/v1"
	operatorv1alpha1 "github.com/openshift/api/operator/v1alpha1"
	"github.com/spf13/pflag"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/clusterfiles"
	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan/prediction"
	"github.com/safe-mirror/safe-mirror-operator/internal/preview"
)

// sourceOptions say which cluster to read.
type sourceOptions struct {
	kubeconfig, context string
	from                string
	save, replay        string
	timeout             time.Duration
	// extraKinds are read from files beside those that a plan looks at.
	extraKinds []client.Object
}

func (o *sourceOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "the kubeconfig file (default: $KUBECONFIG, or ~/.kube/config)")
	f.StringVar(&o.context, "context", "", "the context of the kubeconfig (default: its current one)")
	f.StringVar(&o.from, "from", "",
		"read a directory, or one file, in place of a cluster: a must-gather, or what oc get wrote")
	f.StringVar(&o.save, "save", "", "write what was read to a file; it holds no Secrets")
	f.StringVar(&o.replay, "replay", "", "read what --save has written in place of a cluster")
	f.DurationVar(&o.timeout, "timeout", 10*time.Minute, "how long everything may take")
}

// clusterSource is a cluster to read, and how to keep what was read.
type clusterSource struct {
	preview.Source
	// gaps are what the files themselves lack.
	gaps []preview.CoverageGap

	saveTo      string
	recorder    *clusterfiles.Recorder
	servedKinds map[string]bool
}

// recordingMetadata is what a recording has besides the objects.
type recordingMetadata struct {
	At      time.Time `json:"at"`
	Partial bool      `json:"partial,omitempty"`
	// Kinds are those that were looked for.
	Kinds map[string]bool `json:"kinds"`
}

func (o sourceOptions) open(ctx context.Context) (*clusterSource, error) {
	given := 0
	for _, flag := range []string{o.from, o.replay, o.kubeconfig + o.context} {
		if flag != "" {
			given++
		}
	}
	if given > 1 {
		return nil, errors.New("--from, --replay and --kubeconfig or --context are three ways to say which cluster: give one of them")
	}
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	s := &clusterSource{saveTo: o.save, servedKinds: map[string]bool{}}
	s.Scheme, s.Now = scheme, time.Now()
	switch {
	case o.replay != "":
		err = s.openReplay(o.replay)
	case o.from != "":
		err = s.openFiles(ctx, o.from, o.extraKinds)
	default:
		err = s.openCluster(o)
	}
	if err != nil {
		return nil, err
	}
	s.Discovery = s.recordingDiscovery(s.Discovery)
	return s, nil
}

// pageSize is how many objects a live cluster is asked for at a time.
const pageSize = 500

// pagedReader asks a live cluster for long lists in parts, for whoever goes on where a part ends,
// as the recorder does.
type pagedReader struct{ client.Reader }

func (c pagedReader) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	return c.Reader.List(ctx, list, append(opts, client.Limit(pageSize))...)
}

// client is one for the live cluster.
func (o *sourceOptions) client(scheme *runtime.Scheme) (client.Client, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules,
		&clientcmd.ConfigOverrides{CurrentContext: o.context}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w; or read files with --from", err)
	}
	config.QPS, config.Burst = 50, 100
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	return c, nil
}

func (s *clusterSource) openCluster(o sourceOptions) error {
	c, err := o.client(s.Scheme)
	if err != nil {
		return err
	}
	// From here on there is only a Reader.
	s.recorder = clusterfiles.NewRecorder(pagedReader{c}, s.Scheme, inventory.Trim)
	s.Reader, s.Discovery = s.recorder, prediction.DiscoveryFrom(c.RESTMapper())
	return nil
}

func (s *clusterSource) openFiles(ctx context.Context, dir string, more []client.Object) error {
	kinds, err := kindsToRead(s.Scheme, more...)
	if err != nil {
		return err
	}
	cluster, findings, err := clusterfiles.Open(ctx, dir, s.Scheme,
		clusterfiles.Options{Kinds: kinds, Transform: inventory.Trim})
	if err != nil {
		return errors.Join(append([]error{err}, problemErrors(findings)...)...)
	}
	s.Reader, s.Partial = cluster, true
	s.Discovery = func(gvk schema.GroupVersionKind) (bool, error) { return cluster.Has(gvk), nil }
	if s.saveTo != "" {
		s.recorder = clusterfiles.NewRecorder(cluster, s.Scheme, nil)
		s.Reader = s.recorder
	}
	for _, f := range findings {
		if f.Severity != clusterfiles.SeverityNote {
			lost := f.Severity == clusterfiles.SeverityLost && (f.Kind == "" || preview.Essential(f.Kind))
			s.gaps = append(s.gaps, preview.CoverageGap{Source: "file " + f.File, Why: f.String(), Essential: lost})
		}
	}
	return nil
}

// problemErrors lists the first problems, and counts the others.
func problemErrors(problems clusterfiles.FileProblems) []error {
	const most = 20
	var out []error
	for _, p := range problems[:min(len(problems), most)] {
		out = append(out, errors.New(p.String()))
	}
	if more := len(problems) - most; more > 0 {
		out = append(out, fmt.Errorf("and %d more problems", more))
	}
	return out
}

func (s *clusterSource) openReplay(file string) error {
	if s.saveTo != "" {
		return errors.New("--save with --replay would write what is there already")
	}
	in, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("--replay: %w", err)
	}
	defer in.Close()
	cluster, values, err := clusterfiles.Replay(in, s.Scheme)
	if err != nil {
		return fmt.Errorf("--replay %s: %w", file, err)
	}
	var metadata recordingMetadata
	if err := json.Unmarshal(values["plan"], &metadata); err != nil {
		return fmt.Errorf("--replay %s: it was not saved by a plan: %w", file, err)
	}
	s.Reader, s.Now, s.Partial = cluster, metadata.At, metadata.Partial
	s.Discovery = func(gvk schema.GroupVersionKind) (bool, error) {
		return metadata.Kinds[gvk.String()] || cluster.Has(gvk), nil
	}
	return nil
}

// recordingDiscovery notes which kinds there are, for the recording.
func (s *clusterSource) recordingDiscovery(has prediction.Discovery) prediction.Discovery {
	return func(gvk schema.GroupVersionKind) (bool, error) {
		ok, err := has(gvk)
		if err == nil {
			s.servedKinds[gvk.String()] = ok
		}
		return ok, err
	}
}

// save writes the recording, if one is wanted.
func (s *clusterSource) save() error {
	if s.saveTo == "" || s.recorder == nil {
		return nil
	}
	out, err := os.OpenFile(s.saveTo, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("--save: %w", err)
	}
	err = s.recorder.Save(out, map[string]any{"plan": recordingMetadata{At: s.Now.UTC(), Partial: s.Partial,
		Kinds: s.servedKinds}})
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("--save %s: %w", s.saveTo, err)
	}
	return nil
}

// kindsToRead are the kinds that a plan looks at, and more.
func kindsToRead(scheme *runtime.Scheme, more ...client.Object) ([]schema.GroupVersionKind, error) {
	objects := []client.Object{
		&configv1.ClusterVersion{}, &configv1.Infrastructure{}, &configv1.Image{}, &configv1.ImageTagMirrorSet{},
		&configv1.ImageDigestMirrorSet{},
		&operatorv1alpha1.ImageContentSourcePolicy{}, &opv1.MachineConfiguration{}, &v1alpha1.SafeMirrorRollout{},
		&mcfgv1.MachineConfigPool{}, &mcfgv1.MachineConfig{}, &mcfgv1.MachineConfigNode{}, &mcfgv1.MachineOSConfig{},
		&mcfgv1.ControllerConfig{},
		&mcfgv1.PinnedImageSet{}, &corev1.Node{}, &corev1.Pod{}, &corev1.ConfigMap{}, &policyv1.PodDisruptionBudget{},
		&corev1.Service{}, &corev1.Namespace{}, &corev1.PersistentVolume{}, &corev1.PersistentVolumeClaim{},
		&admissionv1.ValidatingWebhookConfiguration{},
	}
	for _, k := range inventory.Kinds() {
		objects = append(objects, k.Object)
	}
	out := []schema.GroupVersionKind{
		{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"},
		{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "MutatingWebhookConfiguration"},
	}
	seen := map[schema.GroupVersionKind]bool{}
	for _, o := range append(objects, more...) {
		gvk, err := apiutil.GVKForObject(o, scheme)
		if err != nil {
			return nil, err
		}
		if !seen[gvk] {
			seen[gvk] = true
			out = append(out, gvk)
		}
	}
	return out, nil
}
