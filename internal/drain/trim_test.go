package drain

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestPodTrimmer: the pods of one owner share what is the same, and nothing else; each copy is what
// it would be by itself.
func TestPodTrimmer(t *testing.T) {
	pod := func(name, owner, image, cpu string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: map[string]string{"app": owner},
				OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: owner, UID: "1",
					Controller: new(true)}}},
			Spec: corev1.PodSpec{NodeName: name,
				Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
				Containers: []corev1.Container{{
					Name: "app", Image: image, Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}},
				}}},
			Status: corev1.PodStatus{Phase: corev1.PodRunning,
				ContainerStatuses: []corev1.ContainerStatus{{Name: "app", ImageID: image}}},
		}
	}
	first := pod("a", "web", "quay.io/acme/web:v1", "1")
	s := NewPodTrimmer()
	trimmedFirst := s.Trim(first)
	cases := map[string]struct {
		pod    *corev1.Pod
		shares bool
	}{
		"alike":                      {pod("b", "web", "quay.io/acme/web:v1", "1"), true},
		"another image":              {pod("c", "web", "quay.io/acme/web:v2", "1"), false},
		"other requests":             {pod("d", "web", "quay.io/acme/web:v1", "2"), false},
		"another owner, no other ID": {pod("e", "api", "quay.io/acme/api:v1", "1"), false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := s.Trim(c.pod)
			if diff := cmp.Diff(trimPod(c.pod), got); diff != "" {
				t.Errorf("copy (-want +got):\n%s", diff)
			}
			if shares := &got.Spec.Containers[0] == &trimmedFirst.Spec.Containers[0]; shares != c.shares {
				t.Errorf("shares the containers of the first: %t, want %t", shares, c.shares)
			}
		})
	}
}
