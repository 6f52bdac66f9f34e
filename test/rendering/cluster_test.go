//go:build lab

package rendering

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	configv1 "github.com/openshift/api/config/v1"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/test/lab"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

var pools = []string{"worker", "master"}

// cluster is the lab's API server, the sets on it, and what its controller makes of them.
type cluster struct {
	client        client.WithWatch
	release       string
	objects       map[string]client.Object // by kind and name; image.config is in it if it says anything
	base          map[string][]byte        // the file of the templates, by pool
	followers     map[string]*registriesWatcher
	controllerLog *controllerLog
}

func connect(ctx context.Context, l *lab.Lab) (*cluster, error) {
	c := &cluster{objects: map[string]client.Object{}, base: map[string][]byte{},
		followers: map[string]*registriesWatcher{}}
	var err error
	if c.client, err = scenario.NewClient(l.Config()); err != nil {
		return nil, err
	}
	if c.controllerLog, err = openControllerLog(l); err != nil {
		return nil, err
	}
	version := &configv1.ClusterVersion{}
	if err := c.client.Get(ctx, client.ObjectKey{Name: "version"}, version); err != nil {
		return nil, err
	}
	c.release = version.Status.Desired.Image
	for _, pool := range pools {
		if c.base[pool], err = template(ctx, c.client, pool); err != nil {
			return nil, err
		}
		if c.followers[pool], err = follow(ctx, c.client, pool); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// template is the file that a node of the pool has without any mirror set.
func template(ctx context.Context, c client.Client, pool string) ([]byte, error) {
	mc := &mcfgv1.MachineConfig{}
	if err := c.Get(ctx, client.ObjectKey{Name: "01-" + pool + "-container-runtime"}, mc); err != nil {
		return nil, err
	}
	files, err := registriesconf.FromMachineConfig(mc)
	if err == nil && len(files.Main) == 0 {
		err = fmt.Errorf("MachineConfig/%s has no registries.conf", mc.Name)
	}
	return files.Main, err
}

// accepted leaves out what the API server refuses: it never gets as far as the controller.
func (c *cluster) accepted(ctx context.Context, union []client.Object) ([]client.Object, error) {
	var out []client.Object
	for _, o := range union {
		err := c.tryCreate(ctx, o.DeepCopyObject().(client.Object))
		switch {
		case err == nil, apierrors.IsAlreadyExists(err):
			out = append(out, o)
		case !apierrors.IsInvalid(err):
			return nil, err
		}
	}
	return out, nil
}

func (c *cluster) tryCreate(ctx context.Context, o client.Object) error {
	if image, ok := o.(*configv1.Image); ok {
		return c.patchImage(ctx, image, client.DryRunAll)
	}
	return c.client.Create(ctx, o, client.DryRunAll)
}

// apply makes the cluster's sets those of the union. They are written in its order.
func (c *cluster) apply(ctx context.Context, union []client.Object) error {
	want := map[string]bool{}
	for _, o := range union {
		want[key(o)] = true
	}
	for _, k := range slices.Sorted(maps.Keys(c.objects)) {
		if want[k] {
			continue
		}
		if err := c.remove(ctx, c.objects[k]); err != nil {
			return err
		}
	}
	for _, o := range union {
		if err := c.put(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) put(ctx context.Context, o client.Object) error {
	written := o.DeepCopyObject().(client.Object) // the answer is written into it
	err := c.write(ctx, written)
	if err != nil {
		return fmt.Errorf("writing %s: %w", key(o), err)
	}
	c.objects[key(o)] = written
	return nil
}

func (c *cluster) write(ctx context.Context, o client.Object) error {
	if image, ok := o.(*configv1.Image); ok {
		return c.patchImage(ctx, image)
	}
	if old := c.objects[key(o)]; old != nil {
		o.SetResourceVersion(old.GetResourceVersion())
		return c.client.Update(ctx, o)
	}
	return c.client.Create(ctx, o)
}

func (c *cluster) remove(ctx context.Context, o client.Object) error {
	var err error
	if _, ok := o.(*configv1.Image); ok {
		err = c.patchImage(ctx, newImage())
	} else {
		err = c.client.Delete(ctx, c.objects[key(o)])
	}
	if err != nil {
		return fmt.Errorf("deleting %s: %w", key(o), err)
	}
	delete(c.objects, key(o))
	return nil
}

// patchImage sets the lists of image.config. The Go type drops an empty list where the API has one
// that is different from none, hence the patch by hand.
func (c *cluster) patchImage(ctx context.Context, image *configv1.Image, options ...client.PatchOption) error {
	lists := image.Spec.RegistrySources
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"registrySources": map[string]any{
		"insecureRegistries": lists.InsecureRegistries, // nil is null, which removes the field
		"blockedRegistries":  lists.BlockedRegistries,
		"allowedRegistries":  lists.AllowedRegistries,
	}}})
	if err != nil {
		return err
	}
	return c.client.Patch(ctx, newImage(), client.RawPatch(types.MergePatchType, patch), options...)
}

// predict is the content of every pool's registries.conf once the union is there.
func (c *cluster) predict(union []client.Object) (map[string]string, error) {
	out := map[string]string{}
	for _, pool := range pools {
		text, err := registriesconf.Render(c.base[pool], asSets(union, c.release))
		if err != nil {
			return nil, err
		}
		out[pool] = string(text)
	}
	return out, nil
}

// applyAndAwait makes the cluster's sets those of the union and waits for the content predicted.
func (c *cluster) applyAndAwait(ctx context.Context, union []client.Object, want map[string]string) error {
	if err := c.reset(); err != nil {
		return err
	}
	if err := c.apply(ctx, union); err != nil {
		return err
	}
	if err := c.await(ctx, want); err != nil {
		refusals, _ := c.controllerLog.refusals()
		return fmt.Errorf("%w\nrefused meanwhile: %q", err, refusals)
	}
	return nil
}

// await returns when every pool has the content predicted.
func (c *cluster) await(ctx context.Context, want map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, renderTimeout)
	defer cancel()
	for _, pool := range pools {
		if err := c.followers[pool].await(ctx, want[pool]); err != nil {
			return err
		}
	}
	return nil
}

// written is what the controller has written since forget, for the reader of a failure.
func (c *cluster) written() string {
	var b strings.Builder
	for _, pool := range pools {
		f := c.followers[pool]
		if err := f.readPending(); err != nil {
			return err.Error()
		}
		fmt.Fprintf(&b, "pool %s: %d contents\n%s\n", pool, len(f.seen), strings.Join(f.seen, "\n"))
	}
	return b.String()
}

// reset begins a new chapter in what the controller has said and done so far.
func (c *cluster) reset() error {
	for _, f := range c.followers {
		f.reset()
	}
	return c.controllerLog.reset()
}

func key(o client.Object) string { return fmt.Sprintf("%T/%s", o, o.GetName()) }

// asYAML is the union for the reader of a failure, ready to be applied.
func asYAML(union []client.Object) string {
	var b strings.Builder
	for _, o := range union {
		kind := strings.TrimPrefix(fmt.Sprintf("%T", o), "*v1.")
		text, err := yaml.Marshal(o)
		if err != nil {
			text = []byte(err.Error())
		}
		fmt.Fprintf(&b, "---\nkind: %s\n%s", strings.TrimPrefix(kind, "*v1alpha1."), text)
	}
	return b.String()
}
