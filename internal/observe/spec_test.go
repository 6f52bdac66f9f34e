package observe

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// What the schema cannot tell is refused with the field and the remedy, before anything is changed.
func TestInvalidFields(t *testing.T) {
	cases := map[string]struct {
		change func(*v1alpha1.SafeMirrorRolloutSpec)
		want   []string
	}{
		"nothing": {func(*v1alpha1.SafeMirrorRolloutSpec) {}, nil},
		"a target that is a mirror, one above and one below": {func(s *v1alpha1.SafeMirrorRolloutSpec) {
			s.Mirroring.Targets = []string{"mirror.local/acme", "mirror.local", "mirror.local/acme/shop"}
		}, nil},
		"a target that is none": {func(s *v1alpha1.SafeMirrorRolloutSpec) { s.Mirroring.Targets = []string{"mirror.local/acm"} },
			[]string{`spec.mirroring.targets[0]: "mirror.local/acm" is none of the mirrors of the spec, nor above or below one`}},
		"a cache that is none": {func(s *v1alpha1.SafeMirrorRolloutSpec) { s.Mirroring.Verification.Caches = []string{"cache.local"} },
			[]string{`spec.mirroring.verification.caches[0]: "cache.local" is none of the mirrors of the spec, nor above or below one`}},
		"a platform of the nodes is left out": {func(s *v1alpha1.SafeMirrorRolloutSpec) { s.Mirroring.Platforms = []string{"linux/arm64"} },
			[]string{"spec.mirroring.platforms: linux/amd64 is missing, and the cluster has nodes of it: they could not pull what is mirrored without it"}},
		"a window that cannot be read": {func(s *v1alpha1.SafeMirrorRolloutSpec) {
			s.Release.Windows = []v1alpha1.MaintenanceWindow{{Schedule: "0 0 * * *", TimeZone: "Mars/Base"}}
		}, []string{`spec.release.windows[0].timeZone: "Mars/Base" is not the name of a time zone such as Europe/Berlin`}},
		"stages of one name": {func(s *v1alpha1.SafeMirrorRolloutSpec) {
			s.Release.Stages = []v1alpha1.ReleaseStage{{Name: "all", Pool: "worker"}, {Pool: "worker"},
				{Name: "all", Pool: "worker"}, {Name: "apply", Pool: "worker"}}
		}, []string{
			`spec.release.stages[2].name: "all" is the name of spec.release.stages[0] already; a request could not tell them apart`,
			`spec.release.stages[3].name: "apply" is the name of a gate before pools are paused; give the stage another name`,
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := minicluster.Rollout("shop")
			c.change(&r.Spec)
			var got []string
			for _, p := range rollout.SpecProblems(r, []string{"linux/amd64"}) {
				if p.Reason != v1alpha1.ReasonInvalidSpec || p.Transient {
					t.Errorf("%+v", p)
				}
				got = append(got, p.Message)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}
