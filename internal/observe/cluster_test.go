package observe

import (
	"strings"
	"testing"

	configv1 "github.com/openshift/api/config/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

func TestUnsupportedTopologies(t *testing.T) {
	cases := map[string]struct {
		absent string
		change func(*configv1.Infrastructure)
		want   string
	}{
		"a cluster": {},
		"one without pools": {absent: "MachineConfigPool",
			want: "this cluster has no MachineConfigPool (machineconfiguration.openshift.io/v1)"},
		"one without sets": {absent: "ImageTagMirrorSet",
			want: "this cluster has no ImageTagMirrorSet (config.openshift.io/v1)"},
		"one without version": {absent: "ClusterVersion",
			want: "this cluster has no ClusterVersion (config.openshift.io/v1)"},
		"a hosted control plane": {
			change: func(i *configv1.Infrastructure) { i.Status.ControlPlaneTopology = configv1.ExternalTopologyMode },
			want:   "the control plane is hosted elsewhere (HyperShift)",
		},
		"a single node": {change: func(i *configv1.Infrastructure) { i.Status.ControlPlaneTopology = configv1.SingleReplicaTopologyMode }},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			objects := cluster()
			if c.change != nil {
				minicluster.Edit(objects, "cluster", c.change)
			}
			obs := mustObserve(t, observerOn(fake.NewClientBuilder().WithScheme(minicluster.Scheme()).WithRESTMapper(minicluster.Mapper(c.absent)).WithObjects(objects...).Build()))
			got := mustKnow(t, obs.Observed.Cluster).Unsupported
			if !strings.HasPrefix(got, c.want) || (c.want == "") != (got == "") {
				t.Errorf("unsupported: %q, want %q", got, c.want)
			}
			if _, known := obs.Observed.Pools.Get(); known != (c.want == "") {
				t.Errorf("pools known: %t; nothing else is read of a cluster that cannot be rolled", known)
			}
		})
	}
}

func TestUpgrades(t *testing.T) {
	progressing := func(s configv1.ConditionStatus) []configv1.ClusterOperatorStatusCondition {
		return []configv1.ClusterOperatorStatusCondition{{Type: configv1.OperatorProgressing, Status: s}}
	}
	history := func(entries ...configv1.UpdateHistory) []configv1.UpdateHistory { return entries }
	done := configv1.UpdateHistory{State: configv1.CompletedUpdate, Version: "4.20.1"}
	cases := map[string]struct {
		status configv1.ClusterVersionStatus
		want   string
	}{
		"at rest": {configv1.ClusterVersionStatus{History: history(done),
			Conditions: progressing(configv1.ConditionFalse)}, ""},
		"without any history": {configv1.ClusterVersionStatus{}, ""},
		"in progress":         {configv1.ClusterVersionStatus{History: history(configv1.UpdateHistory{State: configv1.PartialUpdate, Version: "4.20.2"}, done)}, "4.20.2"},
		"one that was abandoned": {configv1.ClusterVersionStatus{History: history(done,
			configv1.UpdateHistory{State: configv1.PartialUpdate, Version: "4.20.0"})}, ""},
		"to an image":          {configv1.ClusterVersionStatus{History: history(configv1.UpdateHistory{State: configv1.PartialUpdate, Image: "quay.io/ocp@sha256:1"}, done)}, "quay.io/ocp@sha256:1"},
		"to nobody knows what": {configv1.ClusterVersionStatus{History: history(configv1.UpdateHistory{State: configv1.PartialUpdate}, done)}, "another release"},
		"about to begin": {configv1.ClusterVersionStatus{Desired: configv1.Release{Version: "4.20.2"},
			History: history(done), Conditions: progressing(configv1.ConditionTrue)}, "4.20.2"},
		"about to begin by image": {configv1.ClusterVersionStatus{Desired: configv1.Release{Image: "quay.io/ocp@sha256:1"}, Conditions: progressing(configv1.ConditionTrue)}, "quay.io/ocp@sha256:1"},
		"nobody knows whether": {configv1.ClusterVersionStatus{History: history(done),
			Conditions: progressing(configv1.ConditionUnknown)}, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			objects := minicluster.Edit(cluster(), "version", func(v *configv1.ClusterVersion) { v.Status = c.status })
			if got := mustKnow(t, mustObserve(t, newObserver(objects...)).Observed.Cluster).Upgrading; got != c.want {
				t.Errorf("upgrading to %q, want %q", got, c.want)
			}
		})
	}
}

// What cannot be read is unknown, and not a cluster without upgrades.
func TestUnreadableClusterIsUnknown(t *testing.T) {
	cases := map[string]*Observer{
		"infrastructure unreadable": newObserverWith(minicluster.FailingReads[*configv1.Infrastructure](errDown),
			cluster()...),
		"version unreadable": newObserverWith(minicluster.FailingReads[*configv1.ClusterVersion](errDown),
			cluster()...),
		"version absent": newObserver(drop[*configv1.ClusterVersion](cluster(), "version")...),
	}
	for name, observer := range cases {
		t.Run(name, func(t *testing.T) {
			if c, known := mustObserve(t, observer).Observed.Cluster.Get(); known {
				t.Errorf("known: %+v", c)
			}
		})
	}
	t.Run("infrastructure absent", func(t *testing.T) {
		obs := mustObserve(t, newObserver(drop[*configv1.Infrastructure](cluster(), "cluster")...))
		if got := mustKnow(t, obs.Observed.Cluster); got.Unsupported+got.Upgrading != "" {
			t.Errorf("%+v, want a cluster like any other", got)
		}
	})
}
