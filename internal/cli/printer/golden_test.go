package printer

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	configv1 "github.com/openshift/api/config/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/preview"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenCases are clusters and wishes of which each shows one thing.
func goldenCases() map[string]*builder {
	accepted := spec().tags(item("quay.io/acme", never, "m.local/acme")).withImages("quay.io/acme/app"+sha,
		"quay.io/acme/old"+sha)
	accepted.change.Rollout.Spec.Inventory.AcceptedRisks = []v1alpha1.AcceptedRisk{
		{Pattern: "quay.io/acme/*", Reason: "switched off in May"}, {Pattern: "nobody/*", Reason: "matches nothing"},
	}
	rewrite := spec().tags(item("quay.io", "", "docker.io")).withImages("quay.io/app:v1")
	unblocked := spec().digests(item("quay.io/acme", "", "m.local/acme")).withImages("quay.io/acme/app" + sha)
	unblocked.image.Spec.RegistrySources.BlockedRegistries = []string{"quay.io/acme"}
	done := spec().tags(item("quay.io/acme", "",
		"m.local/acme")).withObjects(mirrorset.ITMS(spec().tags(item("quay.io/acme", "",
		"m.local/acme")).change.Rollout)).withImages("quay.io/acme/app:v1")
	upgrading := spec().tags(item("quay.io/acme", "", "m.local/acme")).withImages("quay.io/acme/app:v1", "nginx",
		"UPPER", "*.b.io/x")
	upgrading.partial = true
	plain := spec().tags(item("quay.io/acme", "",
		"b.local/acme")).withImages("quay.io/acme/app:v1").withObjects(tagSet("site", "quay.io/acme", "a.local/acme"))
	plain.change.Tags = []configv1.ImageTagMirrorSet{*tagSet("site", "quay.io/acme", "b.local/acme")}
	staged := spec().tags(item("quay.io/acme", never, "m.local/acme")).withImages("quay.io/acme/app:v1")
	staged.change.Rollout.Spec.SourcePolicy = v1alpha1.SourcePolicyStaged
	return map[string]*builder{
		"staged": staged,
		"gains-mirror": spec().tags(item("quay.io/acme", "", "m.local/acme")).withImages("quay.io/acme/app:v1",
			"quay.io/acme/web:v2", "quay.io/other/app:v1"),
		"newly-blocked": spec().tags(item("quay.io/acme", never, "m.local/acme")).withImages("quay.io/acme/app:v1"),
		"breaks-digest": spec().tags(item("quay.io/acme", never, "m.local/acme")).withImages("quay.io/acme/app:v1",
			"quay.io/acme/app"+sha),
		"loses-mirror": spec().tags(item("quay.io/acme/edge", "", "m.local/edge")).withObjects(digestSet("site",
			"quay.io/acme", "m.local/acme")).withImages("quay.io/acme/edge/app" + sha),
		"order-changed": spec().tags(item("quay.io/acme", "", "z.local/acme",
			"a.local/acme")).withObjects(tagSet("site", "quay.io/acme", "a.local/acme",
			"z.local/acme")).withImages("quay.io/acme/app:v1"),
		"unblocked":      unblocked,
		"nothing-to-do":  done,
		"partial":        upgrading,
		"plain":          plain,
		"rewrite-error":  rewrite,
		"accepted":       accepted,
		"nothing-pulled": spec().tags(item("quay.io/acme", "", "m.local/acme")).withImages("quay.io/other/app:v1"),
		"invalid": spec().tags(item("quay.io/acme", never, "m.local/acme")).withObjects(tagSet("site",
			"quay.io/acme", "n.local/acme")).withImages("quay.io/acme/app:v1"),
	}
}

func TestGolden(t *testing.T) {
	for name, b := range goldenCases() {
		t.Run(name, func(t *testing.T) {
			r := NewPlanReport(b.preview(t), preview.RegistryChecks{})
			for _, format := range []string{"text", "json"} {
				var got bytes.Buffer
				if err := r.Write(&got, format); err != nil {
					t.Fatal(err)
				}
				golden(t, name+map[string]string{"text": ".txt", "json": ".json"}[format], got.String())
			}
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s (-want +got), go test ./internal/cli/printer -update writes it anew:\n%s", file, diff)
	}
}
