package kubelet

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/client-go/util/flowcontrol"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/credentialprovider"
	kubecontainer "k8s.io/kubernetes/pkg/kubelet/container"
	kubeimages "k8s.io/kubernetes/pkg/kubelet/images"

	"github.com/safe-mirror/safe-mirror-operator/test/lab/parts/internal/nodefs"
	"github.com/safe-mirror/safe-mirror-operator/test/lab/parts/internal/pull"
)

// The limits of a kubelet on its registry, registryPullQPS and registryBurst. A pull beyond them
// fails with "pull QPS exceeded" and backs off like any other.
const (
	pullsPerSecond = 5
	pullBurst      = 10
)

// newImageManager is the kubelet's own image manager on top of the node's runtime.
func (k *kubelet) newImageManager() kubeimages.ImageManager {
	backOff := flowcontrol.NewBackOff(scaled(firstBackOff, k.Scale), scaled(maxBackOff, k.Scale))
	return kubeimages.NewImageManager(k.events, k, imageService{k}, nil, backOff,
		false, nil, float32(pullsPerSecond/k.Scale), pullBurst, noRecorder{})
}

// askedKey is the key of the request that a context carries to the runtime.
type askedKey struct{}

// pullRequest is a request on its way through the image manager, which hands the runtime nothing
// but the name.
type pullRequest struct {
	pull.Request
	pulled bool
}

// ensure makes the image of a container present. It returns the container's imageID, or the reason
// and message with which the container waits.
func (k *kubelet) ensure(ctx context.Context, pod *corev1.Pod, c *container) (imageID, reason, message string) {
	request := &pullRequest{Request: pull.Request{
		Reference: c.Image, Namespace: pod.Namespace, Pod: pod.Name, Container: c.Name,
		Policy: string(c.ImagePullPolicy),
	}}
	ctx = context.WithValue(ctx, askedKey{}, request)
	sandbox := &runtimeapi.PodSandboxConfig{Metadata: &runtimeapi.PodSandboxMetadata{
		Name: pod.Name, Namespace: pod.Namespace, Uid: string(pod.UID),
	}}
	imageID, message, err := k.images.EnsureImageExists(ctx, reference(pod, c), pod, c.Image, k.pullSecrets(ctx, pod),
		sandbox, "", c.ImagePullPolicy)
	if err != nil {
		return "", err.Error(), message
	}
	if !request.pulled {
		if image, present, err := k.runtime.Present(c.Image); err == nil && present {
			k.runtime.Used(request.Request, image)
		}
	}
	return imageID, "", ""
}

// reference is what the events of a container are about; those of an image volume are about the
// pod.
func reference(pod *corev1.Pod, c *container) *corev1.ObjectReference {
	ref, err := kubecontainer.GenerateContainerRef(pod, &c.Container)
	if err != nil {
		ref = &corev1.ObjectReference{Kind: "Pod", APIVersion: "v1", Namespace: pod.Namespace, Name: pod.Name,
			UID: pod.UID}
	}
	if c.kind == volume {
		ref.FieldPath = ""
	}
	return ref
}

// pullSecrets reads the secrets that the pod names; as with a kubelet, one that is missing is no
// error.
func (k *kubelet) pullSecrets(ctx context.Context, pod *corev1.Pod) []corev1.Secret {
	var secrets []corev1.Secret
	for _, ref := range pod.Spec.ImagePullSecrets {
		secret, err := k.Cluster.kube.CoreV1().Secrets(pod.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		if err != nil {
			klog.V(2).Infof("node %s: pull secret of %s/%s: %v", k.NodeName, pod.Namespace, pod.Name, err)
			continue
		}
		secrets = append(secrets, *secret)
	}
	return secrets
}

// Lookup finds credentials in the node's own pull secret, as the kubelet's default keyring does.
func (k *kubelet) Lookup(image string) ([]credentialprovider.TrackedAuthConfig, bool) {
	config, err := credentialprovider.ReadSpecificDockerConfigJSONFile(nodefs.AuthFile(k.Root, k.NodeName))
	if err != nil {
		return nil, false
	}
	var keyring credentialprovider.BasicDockerKeyring
	keyring.Add(nil, config)
	return keyring.Lookup(image)
}

// imageService is the side of the runtime that the image manager sees.
type imageService struct{ k *kubelet }

// PullImage tries each of the credentials, or none if there are none.
func (s imageService) PullImage(ctx context.Context, image kubecontainer.ImageSpec,
	credentials []credentialprovider.TrackedAuthConfig, _ *runtimeapi.PodSandboxConfig) (string,
	*credentialprovider.TrackedAuthConfig, error) {
	request := pull.Request{Reference: image.Image}
	if a, ok := ctx.Value(askedKey{}).(*pullRequest); ok {
		a.pulled = true
		request = a.Request // as the pod spells it; the runtime adds the default tag by itself
	}
	if len(credentials) == 0 {
		ref, err := s.pull(ctx, request)
		return ref, nil, err
	}
	var failures []error
	for _, c := range credentials {
		request.Username, request.Password = c.Username, c.Password
		ref, err := s.pull(ctx, request)
		if err == nil {
			return ref, &c, nil
		}
		failures = append(failures, err)
	}
	return "", nil, utilerrors.NewAggregate(failures)
}

func (s imageService) pull(ctx context.Context, request pull.Request) (string, error) {
	image, err := s.k.runtime.Pull(ctx, request)
	if err != nil {
		return "", err
	}
	return imageRef(image)
}

// imageRef is what a pod reports as imageID: the first of the image's RepoDigests.
func imageRef(image pull.Image) (string, error) {
	all := image.RepoDigests()
	if len(all) == 0 {
		return "", fmt.Errorf("image %s has no name", image.ID)
	}
	return all[0], nil
}

// GetImageRef looks an image up by name.
func (s imageService) GetImageRef(_ context.Context, image kubecontainer.ImageSpec) (string, error) {
	found, present, err := s.k.runtime.Present(image.Image)
	if err != nil || !present {
		return "", err
	}
	return imageRef(found)
}

// GetImageSize is for the text of an event.
func (s imageService) GetImageSize(_ context.Context, image kubecontainer.ImageSpec) (uint64, error) {
	found, _, err := s.k.runtime.Present(image.Image)
	return uint64(found.Size()), err
}

var errNotInTheLab = errors.New("not simulated")

// ListImages, RemoveImage, ImageStats and ImageFsInfo belong to the garbage collection, which the
// lab does not have.
func (imageService) ListImages(context.Context) ([]kubecontainer.Image, error) {
	return nil, errNotInTheLab
}

// RemoveImage: see ListImages.
func (imageService) RemoveImage(context.Context, kubecontainer.ImageSpec) error {
	return errNotInTheLab
}

// ImageStats: see ListImages.
func (imageService) ImageStats(context.Context) (*kubecontainer.ImageStats, error) {
	return nil, errNotInTheLab
}

// ImageFsInfo: see ListImages.
func (imageService) ImageFsInfo(context.Context) (*runtimeapi.ImageFsInfoResponse, error) {
	return nil, errNotInTheLab
}
