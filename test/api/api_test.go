//go:build lab

// Package api checks on a real API server what only a real API server can tell: the schema and
// rules of the CRD, and how the operator behaves where a kind is absent.
package api

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/test/lab"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

var server *lab.Lab

func TestMain(m *testing.M) {
	flag.Parse()
	ctrl.SetLogger(zap.New(zap.WriteTo(os.Stderr)))
	l, err := lab.Start(context.Background(), lab.Options{APIOnly: true})
	if err != nil {
		fmt.Fprintln(os.Stderr, "api:", err)
		os.Exit(1)
	}
	server = l
	code := 1
	if err := install(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "api:", err)
	} else {
		code = m.Run()
	}
	l.Stop()
	os.Exit(code)
}

// install applies the operator's manifests to a server that has nothing but kinds: not even the
// namespaces of OpenShift.
func install(ctx context.Context) error {
	if err := server.Apply(ctx, "apiVersion: v1\nkind: Namespace\nmetadata: {name: openshift-config}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: openshift-machine-config-operator}"); err != nil {
		return err
	}
	return scenario.Install(ctx, server)
}

func connect(t *testing.T) client.Client {
	t.Helper()
	c, err := scenario.NewClient(server.Config())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestSchema: what the API server itself refuses, with a message that names the field and the
// remedy.
func TestSchema(t *testing.T) {
	c := connect(t)
	good := v1alpha1.ImageMirrors{Source: "quay.io/acme", Mirrors: []string{"mirror.example.com/acme"}}
	with := func(change func(*v1alpha1.SafeMirrorRolloutSpec)) v1alpha1.SafeMirrorRolloutSpec {
		s := v1alpha1.SafeMirrorRolloutSpec{ImageTagMirrors: []v1alpha1.ImageMirrors{good}}
		change(&s)
		return s
	}
	for name, tc := range map[string]struct {
		name string
		spec v1alpha1.SafeMirrorRolloutSpec
		want []string // empty: accepted
	}{
		"minimal": {spec: with(func(*v1alpha1.SafeMirrorRolloutSpec) {})},
		"everything": {spec: with(func(s *v1alpha1.SafeMirrorRolloutSpec) {
			two := int32(2)
			s.ImageDigestMirrors = []v1alpha1.ImageMirrors{good}
			s.Inventory.AdditionalImages = []string{"quay.io/acme/tool:v1"}
			s.Inventory.AcceptedRisks = []v1alpha1.AcceptedRisk{{Pattern: "quay.io/acme/old-*",
				Reason: "decommissioned"}}
			s.Mirroring = v1alpha1.MirroringSpec{Mode: v1alpha1.VerifyOnly,
				PushSecret: v1alpha1.SecretName{Name: "push"}, SourceSecrets: []v1alpha1.SecretName{{Name: "pull"}}}
			s.Release.Stages = []v1alpha1.ReleaseStage{{Pool: "worker", Nodes: &two}, {Pool: "master"}}
			s.State = v1alpha1.StateHeld
		})},
		"wildcard source": {spec: with(func(s *v1alpha1.SafeMirrorRolloutSpec) { s.ImageTagMirrors[0].Source = "*.acme.io" })},
		"no mirrors at all": {
			spec: v1alpha1.SafeMirrorRolloutSpec{State: v1alpha1.StateActive},
			want: []string{"imageTagMirrors", "imageDigestMirrors", "nothing to roll out"},
		},
		"source with a scheme": {
			spec: with(func(s *v1alpha1.SafeMirrorRolloutSpec) { s.ImageTagMirrors[0].Source = "https://quay.io/acme" }),
			want: []string{"spec.imageTagMirrors[0].source"},
		},
		"source with a tag": {
			spec: with(func(s *v1alpha1.SafeMirrorRolloutSpec) { s.ImageTagMirrors[0].Source = "quay.io/acme/app:v1" }),
			want: []string{"spec.imageTagMirrors[0].source"},
		},
		"wildcard mirror": {
			spec: with(func(s *v1alpha1.SafeMirrorRolloutSpec) { s.ImageTagMirrors[0].Mirrors = []string{"*.example.com"} }),
			want: []string{"spec.imageTagMirrors[0].mirrors[0]"},
		},
		"no mirror": {
			spec: with(func(s *v1alpha1.SafeMirrorRolloutSpec) { s.ImageTagMirrors[0].Mirrors = nil }),
			want: []string{"spec.imageTagMirrors[0].mirrors"},
		},
		"only itself as mirror": {
			spec: with(func(s *v1alpha1.SafeMirrorRolloutSpec) { s.ImageTagMirrors[0].Mirrors = []string{"quay.io/acme"} }),
			want: []string{"at least one mirror that is not the source itself"},
		},
		"never contact, and a mirror of itself": {
			spec: with(func(s *v1alpha1.SafeMirrorRolloutSpec) {
				s.ImageTagMirrors[0].Mirrors = append(s.ImageTagMirrors[0].Mirrors, "quay.io/acme")
				s.ImageTagMirrors[0].MirrorSourcePolicy = v1alpha1.NeverContactSource
			}),
			want: []string{"NeverContactSource", "one of its own mirrors"},
		},
		"two policies for one source": {
			spec: with(func(s *v1alpha1.SafeMirrorRolloutSpec) {
				s.ImageDigestMirrors = []v1alpha1.ImageMirrors{good}
				s.ImageTagMirrors[0].MirrorSourcePolicy = v1alpha1.NeverContactSource
			}),
			want: []string{"needs the same mirrorSourcePolicy in both"},
		},
		"unknown policy": {
			spec: with(func(s *v1alpha1.SafeMirrorRolloutSpec) { s.ImageTagMirrors[0].MirrorSourcePolicy = "Never" }),
			want: []string{"mirrorSourcePolicy", "NeverContactSource"},
		},
		"a risk without a reason": {
			spec: with(func(s *v1alpha1.SafeMirrorRolloutSpec) {
				s.Inventory.AcceptedRisks = []v1alpha1.AcceptedRisk{{Pattern: "quay.io/*"}}
			}),
			want: []string{"spec.inventory.acceptedRisks[0].reason"},
		},
		"a stage of no nodes": {
			spec: with(func(s *v1alpha1.SafeMirrorRolloutSpec) {
				none := int32(0)
				s.Release.Stages = []v1alpha1.ReleaseStage{{Pool: "worker", Nodes: &none}}
			}),
			want: []string{"spec.release.stages[0].nodes"},
		},
		"a name too long for a label": {
			name: strings.Repeat("n", 64), spec: with(func(*v1alpha1.SafeMirrorRolloutSpec) {}),
			want: []string{"metadata.name", "63 characters"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := &v1alpha1.SafeMirrorRollout{ObjectMeta: metav1.ObjectMeta{Name: "rollout"}, Spec: tc.spec}
			if tc.name != "" {
				r.Name = tc.name
			}
			err := c.Create(context.Background(), r, client.DryRunAll)
			if len(tc.want) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the refusal does not mention %q: %v", want, err)
				}
			}
		})
	}
}

// TestNoMachineConfigOperator: where the kind MachineConfigPool is absent, as on MicroShift, the
// operator runs, says on the rollout why it cannot be done, and lets it go when it is deleted.
func TestNoMachineConfigOperator(t *testing.T) {
	ctx := context.Background()
	if err := server.Reset(ctx); err != nil {
		t.Fatal(err)
	}
	if err := install(ctx); err != nil {
		t.Fatal(err)
	}
	c := connect(t)
	for _, crd := range []string{"machineconfigpools.machineconfiguration.openshift.io",
		"imagetagmirrorsets.config.openshift.io"} {
		remove(ctx, t, c, crd)
	}
	o, err := scenario.StartOperator(ctx, server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Kill)
	cluster := &scenario.Cluster{Lab: server}
	if cluster.Client, err = scenario.NewClient(server.Config()); err != nil {
		t.Fatal(err)
	}
	r := scenario.All()[0].Rollout()
	if err := c.Create(ctx, r); err != nil {
		t.Fatal(err)
	}
	got, err := cluster.AwaitRollout(ctx, r.Name, v1alpha1.ConditionStalled, metav1.ConditionTrue, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if b := got.Status.Blockers; len(b) == 0 || !strings.Contains(b[0].Message, "MachineConfigPool") ||
		!strings.Contains(b[0].Message, "MicroShift") {
		t.Errorf("blockers do not say what is missing: %+v", b)
	}
	if err := c.Delete(ctx, r); err != nil {
		t.Fatal(err)
	}
	err = lab.Eventually(ctx, 20*time.Second, "the rollout is gone", func(ctx context.Context) (bool, string, error) {
		err := c.Get(ctx, client.ObjectKeyFromObject(r), r)
		return err != nil, "it still exists", client.IgnoreNotFound(err)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// remove deletes a CRD and waits until the API server does not offer the kind any more, which is a
// moment later: a read in between fails because the kind is absent.
func remove(ctx context.Context, t *testing.T, c client.Client, name string) {
	t.Helper()
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := c.Get(ctx, client.ObjectKey{Name: name}, crd); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(ctx, crd); err != nil {
		t.Fatal(err)
	}
	discover, err := discovery.NewDiscoveryClientForConfig(server.Config())
	if err != nil {
		t.Fatal(err)
	}
	err = lab.Eventually(ctx, 30*time.Second, "kind "+crd.Spec.Names.Kind+" is gone",
		func(context.Context) (bool, string, error) {
			for _, v := range crd.Spec.Versions {
				offered, err := discover.ServerResourcesForGroupVersion(crd.Spec.Group + "/" + v.Name)
				if client.IgnoreNotFound(err) != nil {
					return false, "", err
				}
				if err == nil && slices.ContainsFunc(offered.APIResources,
					func(r metav1.APIResource) bool { return r.Name == crd.Spec.Names.Plural }) {
					return false, "it is still offered in " + v.Name, nil
				}
			}
			return true, "", nil
		})
	if err != nil {
		t.Fatal(err)
	}
}
