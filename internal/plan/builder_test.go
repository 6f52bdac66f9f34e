package plan

import (
	"strings"
	"testing"
	"time"

	configv1 "github.com/openshift/api/config/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	sha   = "@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	block = v1alpha1.NeverContactSource
	allow = v1alpha1.AllowContactingSource
)

// builder makes the input of a plan: what the spec wants, what is in the cluster already, and who
// uses what.
type builder struct {
	spec     v1alpha1.SafeMirrorRolloutSpec
	existing registriesconf.Sets
	refs     []inventory.Reference
	pools    []string
	dropIns  map[string]string // what a pool's own configuration adds
}

func newBuilder() *builder { return &builder{pools: []string{"worker"}, dropIns: map[string]string{}} }

func item(source string, policy v1alpha1.MirrorSourcePolicy, mirrors ...string) v1alpha1.ImageMirrors {
	return v1alpha1.ImageMirrors{Source: source, Mirrors: mirrors, MirrorSourcePolicy: policy}
}

func (b *builder) tags(items ...v1alpha1.ImageMirrors) *builder {
	b.spec.ImageTagMirrors = append(b.spec.ImageTagMirrors, items...)
	return b
}

func (b *builder) digests(items ...v1alpha1.ImageMirrors) *builder {
	b.spec.ImageDigestMirrors = append(b.spec.ImageDigestMirrors, items...)
	return b
}

func (b *builder) verifyOnly() *builder {
	b.spec.Mirroring.Mode = v1alpha1.VerifyOnly
	return b
}

func (b *builder) accepts(pattern string) *builder {
	b.spec.Inventory.AcceptedRisks = append(b.spec.Inventory.AcceptedRisks,
		v1alpha1.AcceptedRisk{Pattern: pattern, Reason: "nobody needs " + pattern})
	return b
}

// existingDigests are mirrors of an ImageDigestMirrorSet that is in the cluster already.
func (b *builder) existingDigests(source string, mirrors ...configv1.ImageMirror) *builder {
	b.existing.IDMSs = append(b.existing.IDMSs, configv1.ImageDigestMirrorSet{
		ObjectMeta: metav1.ObjectMeta{Name: "existing"},
		Spec: configv1.ImageDigestMirrorSetSpec{ImageDigestMirrors: []configv1.ImageDigestMirrors{{Source: source,
			Mirrors: mirrors}}},
	})
	return b
}

func (b *builder) blocks(registry ...string) *builder {
	b.existing.Image = &configv1.Image{}
	b.existing.Image.Spec.RegistrySources.BlockedRegistries = registry
	return b
}

// uses adds references that Deployment shop/app needs.
func (b *builder) uses(images ...string) *builder {
	for _, i := range images {
		b.refs = append(b.refs, inventory.Reference{
			Image: i, Class: inventory.Blocking, Count: 1,
			Owners: []inventory.Owner{{Kind: "Deployment", Namespace: "shop", Name: "app"}},
		})
	}
	return b
}

// knowsAdvisory adds references that nothing can start right now.
func (b *builder) knowsAdvisory(images ...string) *builder {
	n := len(b.refs)
	b.uses(images...)
	for i := range b.refs[n:] {
		b.refs[n+i].Class = inventory.Advisory
	}
	return b
}

func (b *builder) inPools(pools ...string) *builder {
	b.pools = pools
	return b
}

// withDropIn gives the pool lines of its own, as a drop-in of its nodes.
func (b *builder) withDropIn(pool, text string) *builder {
	b.dropIns[pool] = text
	return b
}

func (b *builder) build(t *testing.T) Plan {
	t.Helper()
	r := &v1alpha1.SafeMirrorRollout{ObjectMeta: metav1.ObjectMeta{Name: "shop"}, Spec: b.spec}
	after := b.existing.With(mirrorset.IDMS(r), mirrorset.ITMS(r))
	in := Input{References: b.refs, Spec: b.spec, Sets: after, Platforms: []string{"linux/arm64", "linux/amd64"}}
	for _, name := range b.pools {
		p := PoolConfig{Name: name, Before: config(t, b.existing, b.dropIns[name]),
			After: config(t, after, b.dropIns[name])}
		in.Pools = append(in.Pools, p)
		text, err := registriesconf.Render([]byte(base), after)
		if err != nil {
			t.Fatal(err)
		}
		in.RegistriesConfs = append(in.RegistriesConfs, name+"\n"+string(text))
	}
	return Build(in)
}

const base = "unqualified-search-registries = ['registry.access.redhat.com', 'docker.io']\n"

func config(t *testing.T, sets registriesconf.Sets, dropIn string) registriesconf.Config {
	t.Helper()
	text, err := registriesconf.Render([]byte(base), sets)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	if dropIn != "" {
		files["/etc/containers/registries.conf.d/50-own.conf"] = []byte(dropIn)
	}
	c, err := registriesconf.Parse(text, files)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// registryResults are what the registries have said, by job.
type registryResults map[string]mirror.Result

func (a registryResults) proven(job string, age time.Duration) registryResults {
	at := now.Add(-age)
	a[job] = mirror.Result{Reference: job, State: mirror.Verified, At: at, Proof: mirror.Proof{At: at}}
	return a
}

func (a registryResults) failed(job string, class mirror.ErrorClass) registryResults {
	a[job] = mirror.Result{Reference: job, State: mirror.Failed, At: now, Attempts: 9,
		Err: &mirror.Error{Class: class, Endpoint: strings.Fields(job)[0]}}
	return a
}

func (a registryResults) change(job string, change func(*mirror.Result)) registryResults {
	r := a[job]
	change(&r)
	a[job] = r
	return a
}

// again: the job is looked at once more, and what was found before stands meanwhile.
func (a registryResults) recheckedAs(job string, state mirror.State) registryResults {
	return a.change(job, func(r *mirror.Result) { r.State, r.At = state, now })
}
