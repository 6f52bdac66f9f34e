package minicluster

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"

	configv1 "github.com/openshift/api/config/v1"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
)

// File is one file of a MachineConfig.
type File struct{ Path, Content string }

// RegistriesFile is /etc/containers/registries.conf.
func RegistriesFile(content string) File { return File{registriesconf.RegistriesPath, content} }

// MachineConfig writes the files.
func MachineConfig(name string, files ...File) *mcfgv1.MachineConfig {
	entries := []map[string]any{}
	for _, f := range files {
		source := "data:text/plain;charset=utf-8;base64," + base64.StdEncoding.EncodeToString([]byte(f.Content))
		entries = append(entries, map[string]any{"path": f.Path, "mode": 0o644, "overwrite": true,
			"contents": map[string]any{"source": source}})
	}
	raw, err := json.Marshal(map[string]any{"ignition": map[string]any{"version": "3.5.0"},
		"storage": map[string]any{"files": entries}})
	if err != nil {
		panic(err)
	}
	return &mcfgv1.MachineConfig{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: mcfgv1.MachineConfigSpec{Config: runtime.RawExtension{Raw: raw}}}
}

// RenderPools renders the mirror sets into every pool, paused or not, as the MCO does; a file of
// the extra ones overrides it.
func RenderPools(ctx context.Context, c client.Client, extra ...File) error {
	var sets registriesconf.Sets
	var tag configv1.ImageTagMirrorSetList
	var digest configv1.ImageDigestMirrorSetList
	var pools mcfgv1.MachineConfigPoolList
	for _, list := range []client.ObjectList{&tag, &digest, &pools} {
		if err := c.List(ctx, list); err != nil {
			return err
		}
	}
	sets.ITMSs, sets.IDMSs = tag.Items, digest.Items
	text, err := registriesconf.Render([]byte(BaseRegistriesConf), sets)
	if err != nil {
		return err
	}
	for i := range pools.Items {
		name := FirstRendered(pools.Items[i].Name)
		if string(text) != BaseRegistriesConf || len(extra) > 0 {
			name = fmt.Sprintf("rendered-%s-%x", pools.Items[i].Name,
				sha256.Sum256(fmt.Appendf(text, "%v", extra)))[:40]
		}
		if err := render(ctx, c, &pools.Items[i],
			MachineConfig(name, append([]File{RegistriesFile(string(text))}, extra...)...)); err != nil {
			return err
		}
	}
	return nil
}

func render(ctx context.Context, c client.Client, mcp *mcfgv1.MachineConfigPool, rendered *mcfgv1.MachineConfig) error {
	if mcp.Spec.Configuration.Name == rendered.Name {
		return nil
	}
	if err := c.Create(ctx, rendered); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	mcp.Spec.Configuration.Name = rendered.Name
	return c.Update(ctx, mcp, client.FieldOwner("machine-config-controller"))
}

// StartUpdate lets the MCO hand the pool's configuration to its first node that does not have it,
// if the pool is open, and tells which one that was.
func StartUpdate(ctx context.Context, c client.Client, pool string) (string, error) {
	mcp := &mcfgv1.MachineConfigPool{}
	if err := c.Get(ctx, client.ObjectKey{Name: pool}, mcp); err != nil || mcp.Spec.Paused {
		return "", err
	}
	nodes, err := nodesOf(ctx, c, pool)
	if err != nil {
		return "", err
	}
	for i := range nodes {
		if n := &nodes[i]; n.Annotations[DesiredConfig] != mcp.Spec.Configuration.Name {
			n.Annotations[DesiredConfig], n.Annotations[DaemonState] = mcp.Spec.Configuration.Name, "Working"
			return n.Name, c.Update(ctx, n)
		}
	}
	return "", nil
}

// FinishUpdates lets every updating node reach its end.
func FinishUpdates(ctx context.Context, c client.Client) error {
	nodes, err := nodesOf(ctx, c, "")
	if err != nil {
		return err
	}
	for i := range nodes {
		n := &nodes[i]
		if n.Annotations[CurrentConfig] == n.Annotations[DesiredConfig] {
			continue
		}
		n.Annotations[CurrentConfig], n.Annotations[DaemonState] = n.Annotations[DesiredConfig], "Done"
		if err := c.Update(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// nodesOf are the nodes of the pool, all of them when it has no name, in the order of their names.
func nodesOf(ctx context.Context, c client.Client, pool string) ([]corev1.Node, error) {
	var list corev1.NodeList
	if err := c.List(ctx, &list); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list.Items, func(n corev1.Node) bool {
		_, of := n.Labels[roleLabel(pool)]
		return pool != "" && !of
	}), nil
}
