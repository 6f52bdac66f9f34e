package diagnosis

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	configv1 "github.com/openshift/api/config/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

const (
	routerTag       = "quay.io/acme/router:v1"
	routerDigest    = "quay.io/acme/router@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	mirrorRouterTag = "mirror.local/acme/router:v1"
	blockedMessage  = "registry quay.io/acme is blocked in /etc/containers/registries.conf or /etc/containers/registries.conf.d"
)

// pullMessages are messages as kubelets and CRI-O of several releases word them.
var pullMessages = map[string]struct {
	reference, message string
	want               []attempt // without their words
}{
	"mirror lacks it, source blocked": {routerTag,
		`Back-off pulling image "quay.io/acme/router:v1": ErrImagePull: initializing source docker://quay.io/acme/router:v1: (Mirrors also failed: [mirror.local/acme/router:v1: reading manifest v1 in mirror.local/acme/router: manifest unknown]): quay.io/acme/router:v1: ` + blockedMessage,
		[]attempt{{endpoint: mirrorRouterTag, mirror: true, cause: rollout.PullMissing},
			{endpoint: routerTag, cause: rollout.PullBlocked}}},
	"an event, with the code of gRPC": {routerTag,
		`Failed to pull image "quay.io/acme/router:v1": rpc error: code = Unknown desc = (Mirrors also failed: [mirror.local/acme/router:v1: Error reading manifest v1 in mirror.local/acme/router: manifest unknown: The named manifest is not known to the registry.]): quay.io/acme/router:v1: error pinging docker registry quay.io: Get "https://quay.io/v2/": Proxy authentication required`,
		[]attempt{{endpoint: mirrorRouterTag, mirror: true, cause: rollout.PullMissing},
			{endpoint: routerTag, cause: rollout.PullDenied}}},
	"two mirrors, two causes": {routerTag,
		"initializing source docker://quay.io/acme/router:v1: (Mirrors also failed: [a.local:5000/acme/router:v1: pinging container registry a.local:5000: Get \"https://a.local:5000/v2/\": dial tcp: lookup a.local on 10.0.0.2:53: no such host]\n[mirror.local/acme/router:v1: reading manifest v1 in mirror.local/acme/router: unauthorized: access to the requested resource is not authorized]): quay.io/acme/router:v1: reading manifest v1 in quay.io/acme/router: manifest unknown",
		[]attempt{{endpoint: "a.local:5000/acme/router:v1", mirror: true, cause: rollout.PullUnreachable},
			{endpoint: mirrorRouterTag, mirror: true, cause: rollout.PullDenied},
			{endpoint: routerTag, cause: rollout.PullMissing}}},
	"the line break became a space": {routerTag,
		`(Mirrors also failed: [a.local/r:v1: reading manifest v1 in a.local/r: manifest unknown] [b.local/r:v1: reading manifest v1 in b.local/r: too many requests to registry]): quay.io/acme/router:v1: ` + blockedMessage,
		[]attempt{{endpoint: "a.local/r:v1", mirror: true, cause: rollout.PullMissing},
			{endpoint: "b.local/r:v1", mirror: true, cause: rollout.PullThrottled},
			{endpoint: routerTag, cause: rollout.PullBlocked}}},
	"cut off in the middle": {routerTag,
		`(Mirrors also failed: [mirror.local/acme/router:v1: reading manifest v1 in mirror.local/acme/router: manifest unknown]`,
		[]attempt{{endpoint: mirrorRouterTag, mirror: true, cause: rollout.PullMissing}}},
	"an artifact is tried next": {routerTag,
		`Back-off pulling image "quay.io/acme/router:v1": ErrImagePull: unable to pull image or OCI artifact: pull image err: initializing source docker://quay.io/acme/router:v1: (Mirrors also failed: [mirror.local/acme/router:v1: pinging container registry mirror.local: Get "https://mirror.local/v2/": tls: failed to verify certificate: x509: certificate signed by unknown authority]): quay.io/acme/router:v1: ` + blockedMessage + `; artifact err: get manifest: build image source: manifest unknown`,
		[]attempt{{endpoint: mirrorRouterTag, mirror: true, cause: rollout.PullUntrusted},
			{endpoint: routerTag, cause: rollout.PullBlocked}}},
	"no mirror applies, source blocked": {routerDigest,
		`Back-off pulling image "` + routerDigest +
			`": ErrImagePull: unable to pull image or OCI artifact: pull image err: initializing source docker://` +
			routerDigest + `: ` + blockedMessage + `; artifact err: get manifest: build image source: ` +
			blockedMessage,
		[]attempt{{endpoint: routerDigest, cause: rollout.PullBlocked}}},
	"no mirror applies, source unreachable": {routerDigest,
		`initializing source docker://` + routerDigest +
			`: pinging container registry quay.io: Get "https://quay.io/v2/": dial tcp 192.0.2.1:443: connect: connection refused`,
		[]attempt{{endpoint: routerDigest, cause: rollout.PullUnreachable}}},
	"a layer is missing": {routerTag,
		`copying system image from manifest list: reading blob sha256:0a: fetching blob: blob unknown to registry`,
		[]attempt{{cause: rollout.PullIncomplete}}},
	"a layer is refused": {routerTag,
		`ErrImagePull: copying system image from manifest list: reading blob sha256:0a: fetching blob: unauthorized: authentication required`,
		[]attempt{{cause: rollout.PullDenied}}},
	"no image for the architecture": {routerTag,
		`choosing image instance: no image found in manifest list for architecture "arm64", variant "v8", OS "linux"`,
		[]attempt{{cause: rollout.PullIncomplete}}},
	"the mirror hangs": {routerTag,
		`(Mirrors also failed: [mirror.local/acme/router:v1: pinging container registry mirror.local: Get "https://mirror.local/v2/": net/http: TLS handshake timeout]): quay.io/acme/router:v1: ` + blockedMessage,
		[]attempt{{endpoint: mirrorRouterTag, mirror: true, cause: rollout.PullUnreachable},
			{endpoint: routerTag, cause: rollout.PullBlocked}}},
	"a signature is wanted": {routerTag,
		`SignatureValidationFailed: unable to pull image or OCI artifact: pull image err: copying system image from manifest list: Source image rejected: A signature was required, but no signature exists`,
		[]attempt{{cause: rollout.PullSignature}}},
	"the registry fails": {routerTag,
		`initializing source docker://quay.io/acme/router:v1: reading manifest v1 in quay.io/acme/router: received unexpected HTTP status: 500 Internal Server Error`,
		[]attempt{{endpoint: routerTag, cause: rollout.PullOther}}},
	"a proxy does not reach the source": {routerDigest,
		`initializing source docker://` + routerDigest +
			`: pinging container registry quay.io: Get "https://quay.io/v2/": Bad Gateway`,
		[]attempt{{endpoint: routerDigest, cause: rollout.PullUnreachable}}},
	"a repository called forbidden": {"quay.io/acme/forbidden:v1",
		`(Mirrors also failed: [mirror.local/acme/forbidden:v1: reading manifest v1 in mirror.local/acme/forbidden: manifest unknown]): quay.io/acme/forbidden:v1: reading manifest v1 in quay.io/acme/forbidden: manifest unknown`,
		[]attempt{{endpoint: "mirror.local/acme/forbidden:v1", mirror: true, cause: rollout.PullMissing},
			{endpoint: "quay.io/acme/forbidden:v1", cause: rollout.PullMissing}}},
	"an old kubelet does not say why": {routerTag, `Back-off pulling image "quay.io/acme/router:v1"`, nil},
	"nothing":                         {routerTag, "", nil},
}

func TestParsePullMessage(t *testing.T) {
	for name, c := range pullMessages {
		t.Run(name, func(t *testing.T) {
			got := parsePullMessage(c.reference, c.message)
			for i := range got {
				if got[i].message == "" {
					t.Errorf("attempt %d has no words", i)
				}
				got[i].message = ""
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(attempt{})); diff != "" {
				t.Errorf("attempts (-want +got):\n%s", diff)
			}
		})
	}
}

// pullContext knows the configuration of these sets as "after", and of those that were there before
// as "before".
func pullContext(t *testing.T, before, after registriesconf.Sets) PullContext {
	t.Helper()
	p := PullContext{Configs: map[string]registriesconf.Config{}, Sets: after}
	for name, sets := range map[string]registriesconf.Sets{"before": before, "after": after} {
		text, err := registriesconf.Render([]byte("unqualified-search-registries = ['docker.io']\n"), sets)
		if err != nil {
			t.Fatal(err)
		}
		if p.Configs[name], err = registriesconf.Parse(text, nil); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func tagMirrors(name, source, mirror string, policy configv1.MirrorSourcePolicy) registriesconf.Sets {
	return registriesconf.Sets{ITMSs: []configv1.ImageTagMirrorSet{{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: configv1.ImageTagMirrorSetSpec{
			ImageTagMirrors: []configv1.ImageTagMirrors{{Source: source,
				Mirrors: []configv1.ImageMirror{configv1.ImageMirror(mirror)}, MirrorSourcePolicy: policy}}}}}}
}

func digestMirrors(name, source, mirror string) []configv1.ImageDigestMirrorSet {
	return []configv1.ImageDigestMirrorSet{{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: configv1.ImageDigestMirrorSetSpec{
			ImageDigestMirrors: []configv1.ImageDigestMirrors{{Source: source,
				Mirrors: []configv1.ImageMirror{configv1.ImageMirror(mirror)}}}}}}
}

// TestExplain: each cause with the place that decides, what is said of it, and a twin that looks
// alike and has another cause.
func TestExplain(t *testing.T) {
	never := func(t *testing.T) PullContext {
		return pullContext(t, registriesconf.Sets{},
			tagMirrors("quay", "quay.io/acme", "mirror.local/acme", configv1.NeverContactSource))
	}
	allow := func(t *testing.T) PullContext {
		return pullContext(t, registriesconf.Sets{},
			tagMirrors("quay", "quay.io/acme", "mirror.local/acme", configv1.AllowContactingSource))
	}
	withLastCheck := func(p PullContext, at map[string]rollout.PullCause) PullContext {
		p.LastCheck = func(endpoint string) (rollout.PullCause, string, bool) {
			cause, ok := at[endpoint]
			return cause, "as the mirror engine found", ok
		}
		return p
	}
	cases := map[string]struct {
		pulling            func(t *testing.T) PullContext
		reference, message string
		cause              rollout.PullCause
		endpoint           string
		says               []string
	}{
		"the mirror lacks it": {never, routerTag, pullMessages["mirror lacks it, source blocked"].message,
			rollout.PullMissing, mirrorRouterTag,
			[]string{mirrorRouterTag + " answers 404 (manifest unknown)",
				"the source is blocked by ImageTagMirrorSet/quay"}},
		"twin: the same mirror is not trusted": {never, routerTag, pullMessages["an artifact is tried next"].message,
			rollout.PullUntrusted, mirrorRouterTag,
			[]string{mirrorRouterTag + " has a certificate that the node does not trust",
				"x509: certificate signed by unknown authority", "ImageTagMirrorSet/quay"}},
		"no digest mirrors": {never, routerDigest, pullMessages["no mirror applies, source blocked"].message,
			rollout.PullBlocked, routerDigest,
			[]string{"the source " + routerDigest +
				" is blocked by ImageTagMirrorSet/quay, and no mirror serves it by digest"}},
		"twin: the source does not answer": {allow, routerDigest,
			pullMessages["no mirror applies, source unreachable"].message, rollout.PullUnreachable, routerDigest,
			[]string{routerDigest + " does not answer", "connection refused"}},
		"shadowed": {func(t *testing.T) PullContext {
			before := registriesconf.Sets{IDMSs: digestMirrors("site", "quay.io", "mirror.local")}
			after := tagMirrors("narrow", "quay.io/acme", "mirror.local/acme", configv1.AllowContactingSource)
			after.IDMSs = before.IDMSs
			return pullContext(t, before, after)
		}, routerDigest, pullMessages["no mirror applies, source unreachable"].message, rollout.PullUnreachable,
			routerDigest,
			[]string{"does not answer", "ImageTagMirrorSet/narrow takes it away"}},
		"a layer is missing at the mirror": {allow, routerTag, pullMessages["a layer is missing"].message,
			rollout.PullIncomplete, mirrorRouterTag,
			[]string{mirrorRouterTag + " has the manifest and lacks something beneath it",
				"does not try another place"}},
		"twin: the mirror lacks the image, so it is the source that lacks the layer": {func(t *testing.T) PullContext {
			return withLastCheck(allow(t), map[string]rollout.PullCause{mirrorRouterTag: rollout.PullMissing})
		}, routerTag, pullMessages["a layer is missing"].message, rollout.PullIncomplete, routerTag,
			[]string{routerTag + " has the manifest and lacks"}},
		"the first of two mirrors decides": {never, routerTag, pullMessages["two mirrors, two causes"].message,
			rollout.PullUnreachable, "a.local:5000/acme/router:v1",
			[]string{"a.local:5000/acme/router:v1 does not answer", "no such host",
				"the source: quay.io/acme/router:v1 answers 404"}},
		"the policy of the node": {never, routerTag, pullMessages["a signature is wanted"].message,
			rollout.PullSignature, mirrorRouterTag, []string{"image policy refuses", "A signature was required"}},
		"silent, and the mirror is known to lack it": {func(t *testing.T) PullContext {
			return withLastCheck(never(t), map[string]rollout.PullCause{mirrorRouterTag: rollout.PullMissing})
		}, routerTag, pullMessages["an old kubelet does not say why"].message, rollout.PullMissing, mirrorRouterTag,
			[]string{"answers 404 (as the mirror engine found)", "the source is blocked by ImageTagMirrorSet/quay",
				"the node itself does not say why"}},
		"silent, and nothing is known of the mirror": {never, routerTag, "", rollout.PullOther, mirrorRouterTag,
			[]string{"the node asks " + mirrorRouterTag + " first, of which nothing is known",
				"the source is blocked by ImageTagMirrorSet/quay"}},
		"silent, and nowhere to go": {never, routerDigest, "", rollout.PullBlocked, routerDigest,
			[]string{"blocked by ImageTagMirrorSet/quay, and no mirror serves it by digest"}},
		"silent, and no configuration is known": {func(*testing.T) PullContext { return PullContext{} }, routerTag, "",
			rollout.PullOther, "", []string{"does not say why"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := c.pulling(t).explain(c.reference, c.message, "after")
			if got.Cause != c.cause || got.Endpoint != c.endpoint {
				t.Errorf("%s at %q, want %s at %q", got.Cause, got.Endpoint, c.cause, c.endpoint)
			}
			for _, part := range c.says {
				if !strings.Contains(got.Message, part) {
					t.Errorf("it does not say %q:\n%s", part, got.Message)
				}
			}
		})
	}
}
