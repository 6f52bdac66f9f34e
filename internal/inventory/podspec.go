package inventory

import (
	"regexp"
	"slices"
	"strings"

	"github.com/containers/image/v5/docker/reference"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// container is what a node pulls for one container or image volume.
type container struct {
	name, image string
	always      bool
}

// containers lists everything that a pod of this spec makes a node pull: init containers (native
// sidecars are among them), containers, ephemeral containers and image volumes.
func containers(spec *corev1.PodSpec) []container {
	out := make([]container, 0, len(spec.InitContainers)+len(spec.Containers)+1)
	add := func(name, image string, policy corev1.PullPolicy) {
		out = append(out, container{name, image, pullsAlways(image, policy)})
	}
	for i := range spec.InitContainers {
		add(spec.InitContainers[i].Name, spec.InitContainers[i].Image, spec.InitContainers[i].ImagePullPolicy)
	}
	for i := range spec.Containers {
		add(spec.Containers[i].Name, spec.Containers[i].Image, spec.Containers[i].ImagePullPolicy)
	}
	for i := range spec.EphemeralContainers {
		add(spec.EphemeralContainers[i].Name, spec.EphemeralContainers[i].Image,
			spec.EphemeralContainers[i].ImagePullPolicy)
	}
	for i := range spec.Volumes {
		if v := spec.Volumes[i].Image; v != nil {
			add("", v.Reference, v.PullPolicy)
		}
	}
	return out
}

// Images are what a pod of the spec makes a node pull, each once.
func Images(spec *corev1.PodSpec) []string {
	var out []string
	for _, c := range containers(spec) {
		if c.image != "" && !slices.Contains(out, c.image) {
			out = append(out, c.image)
		}
	}
	return out
}

// pullsAlways follows the API server's default: without a policy, the tag latest and no tag mean
// Always.
func pullsAlways(image string, policy corev1.PullPolicy) bool {
	return policy == corev1.PullAlways || (policy == "" && isLatest(image))
}

// isLatest: quay.io:443/acme/shop and quay.io/acme/shop:latest are, quay.io/acme/shop@sha256:… is
// not.
func isLatest(image string) bool {
	if image == "" || strings.Contains(image, "@") {
		return false
	}
	_, tag, tagged := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
	return !tagged || tag == "latest"
}

// proxyImageAnnotation overrides the image that Istio injects into pods of the template.
const proxyImageAnnotation = "sidecar.istio.io/proxyImage"

// addTemplate adds what a pod of the template pulls; as is the use but for what the template itself
// says.
func (rd *readState) addTemplate(t *corev1.PodTemplateSpec, as Use) {
	rd.addSpec(&t.Spec, as)
	if image := t.Annotations[proxyImageAnnotation]; image != "" {
		as.Image = image
		rd.c.Add(as)
	}
}

func (rd *readState) addSpec(spec *corev1.PodSpec, as Use) {
	as.Platforms = platforms(spec)
	as.PullSecrets = pullSecrets(spec.ImagePullSecrets, as.Owner.Namespace)
	if len(spec.ImagePullSecrets) == 0 {
		as.PullSecrets = rd.pullSecrets[serviceAccount(spec, as.Owner.Namespace)]
	}
	for _, c := range containers(spec) {
		as.Image, as.AlwaysPull = c.image, c.always
		rd.c.Add(as)
	}
}

// serviceAccount is the one whose pull secrets the API server gives to a pod that names none of its
// own.
func serviceAccount(spec *corev1.PodSpec, namespace string) types.NamespacedName {
	name := spec.ServiceAccountName
	if name == "" {
		name = "default"
	}
	return types.NamespacedName{Namespace: namespace, Name: name}
}

// generatedSecret is a pull secret that OpenShift makes for each ServiceAccount, such as
// default-dockercfg-x7k2p. It has credentials for the integrated registry alone, and there are as
// many of them as ServiceAccounts.
var generatedSecret = regexp.MustCompile(`-dockercfg-[a-z0-9]{5}$`)

func pullSecrets(refs []corev1.LocalObjectReference, namespace string) []types.NamespacedName {
	var out []types.NamespacedName
	for _, r := range refs {
		if r.Name != "" && !generatedSecret.MatchString(r.Name) {
			out = append(out, types.NamespacedName{Namespace: namespace, Name: r.Name})
		}
	}
	return out
}

// addRelated adds the images that an operator may give to its operands. It finds them in its
// environment: by convention of the Operator Lifecycle Manager in variables RELATED_IMAGE_*, and in
// those of the platform in *_IMAGE, such as HAPROXY_28_IMAGE of the ingress operator.
func (rd *readState) addRelated(spec *corev1.PodSpec, owner Owner) {
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			for _, e := range list[i].Env {
				if namesImage(e) {
					rd.c.Add(Use{Image: e.Value, Owner: owner, Class: Advisory})
				}
			}
		}
	}
}

func namesImage(e corev1.EnvVar) bool {
	if e.Value == "" || (e.Name != "IMAGE" && !strings.HasSuffix(e.Name, "_IMAGE") &&
		!strings.HasPrefix(e.Name, "RELATED_IMAGE_")) {
		return false
	}
	return looksLikeImage(e.Value)
}

// looksLikeImage tells whether a free text can be meant as an image of a registry:
// BASE_IMAGE=ubuntu is somebody's own word, BASE_IMAGE=/var/lib/base.img is a file, and Tekton's
// $(params.image) is filled in later.
func looksLikeImage(text string) bool {
	if !strings.Contains(text, "/") {
		return false
	}
	_, err := reference.ParseNormalizedNamed(text)
	return err == nil
}

func byDigest(image string) bool { return strings.Contains(image, "@") }
