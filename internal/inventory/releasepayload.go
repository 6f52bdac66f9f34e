package inventory

import (
	"context"
	"fmt"

	configv1 "github.com/openshift/api/config/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// clusterVersion adds the release payload that is installed, and the one that is to be next. Which
// of the components run is known from pods and templates; the others are what the operators of the
// release may start.
func clusterVersion(ctx context.Context, rd *readState, r client.Reader) error {
	v := &configv1.ClusterVersion{}
	if err := r.Get(ctx, client.ObjectKey{Name: "version"}, v); err != nil {
		return err
	}
	rd.openShift = true
	owner := Owner{Kind: "ClusterVersion", Name: v.Name}
	now := v.Status.Desired.Image
	rd.c.Add(Use{Image: now, Owner: owner, Class: Advisory})
	rd.addPayload(ctx, "release component", now)

	next, version := nextRelease(v)
	switch {
	case next == "" && version != "":
		rd.unreadSources = append(rd.unreadSources,
			UnreadSource{Source: "release payload", Kind: "ClusterVersion", Why: fmt.Sprintf(
				"spec.desiredUpdate asks for version %s, and no available update tells its image", version)})
	case next != "" && next != now:
		// The cluster version operator fetches it with a pod of its own, at once.
		rd.c.Add(Use{Image: next, Owner: owner, Class: Blocking})
		rd.addPayload(ctx, "next release component", next)
	}
	return nil
}

// nextRelease is the release that spec.desiredUpdate asks for. When it names a version alone, the
// image is that of the available update of the version.
func nextRelease(v *configv1.ClusterVersion) (image, version string) {
	u := v.Spec.DesiredUpdate
	if u == nil || (u.Version != "" && u.Version == v.Status.Desired.Version) {
		return "", ""
	}
	if u.Image != "" {
		return u.Image, u.Version
	}
	for _, r := range v.Status.AvailableUpdates {
		if r.Version == u.Version {
			return r.Image, u.Version
		}
	}
	for _, c := range v.Status.ConditionalUpdates {
		if c.Release.Version == u.Version {
			return c.Release.Image, u.Version
		}
	}
	return "", u.Version
}

func (rd *readState) addPayload(ctx context.Context, kind, image string) {
	if image == "" {
		return
	}
	gap := UnreadSource{Source: "release payload", Kind: "release image"}
	if rd.o.ReadPayload == nil {
		gap.Why = fmt.Sprintf("the components of %s were not asked for: that needs access to its registry", image)
		rd.unreadSources = append(rd.unreadSources, gap)
		return
	}
	components, err := rd.o.ReadPayload(ctx, image)
	if err != nil {
		gap.Why = fmt.Sprintf("the components of %s could not be read: %v", image, err)
		rd.unreadSources = append(rd.unreadSources, gap)
		return
	}
	for _, c := range components {
		rd.c.Add(Use{Image: c.Image, Owner: Owner{Kind: kind, Name: c.Name}, Class: Advisory})
	}
}
