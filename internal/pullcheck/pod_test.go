package pullcheck

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"
)

// The whole pod, as a person sees it.
func TestPod(t *testing.T) {
	p := checkOf("w0", "mirror.local/acme/app")
	p.Tolerations = []corev1.Toleration{{Key: "node-role.kubernetes.io/infra", Operator: corev1.TolerationOpExists}}
	pod := NewPod(p, shop, namespace, 5*time.Minute)
	about := pod.Annotations["safemirror.io/about"]
	for _, part := range []string{"SafeMirrorRollout shop", "node w0", "10m0s after",
		"oc delete pod -n safe-mirror-operator " + p.Name} {
		if !strings.Contains(about, part) {
			t.Errorf("%q does not say %q", about, part)
		}
	}
	delete(pod.Annotations, "safemirror.io/about")
	got, err := yaml.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	want := `apiVersion: v1
kind: Pod
metadata:
  annotations:
    cluster-autoscaler.kubernetes.io/safe-to-evict: "true"
    openshift.io/required-scc: restricted-v2
    safemirror.io/probe-image: mirror.local/acme/app@` + digestOf(7) + `
    safemirror.io/rollout-uid: uid-shop
  labels:
    app.kubernetes.io/instance: shop
    app.kubernetes.io/managed-by: safe-mirror-operator
    app.kubernetes.io/name: safe-mirror-probe
    app.kubernetes.io/part-of: safe-mirror
    safemirror.io/rollout: shop
  name: ` + p.Name + `
  namespace: safe-mirror-operator
  ownerReferences:
  - apiVersion: safemirror.io/v1alpha1
    controller: true
    kind: SafeMirrorRollout
    name: shop
    uid: uid-shop
spec:
  activeDeadlineSeconds: 600
  affinity:
    nodeAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        nodeSelectorTerms:
        - matchFields:
          - key: metadata.name
            operator: In
            values:
            - w0
  automountServiceAccountToken: false
  containers:
  - command:
    - /bin/true
    image: mirror.local/acme/app@` + digestOf(7) + `
    imagePullPolicy: Always
    name: probe
    resources:
      limits:
        cpu: 10m
        memory: 32Mi
      requests:
        cpu: 1m
        memory: 1Mi
    securityContext:
      allowPrivilegeEscalation: false
      capabilities:
        drop:
        - ALL
      readOnlyRootFilesystem: true
      runAsNonRoot: true
  enableServiceLinks: false
  imagePullSecrets:
  - name: safe-mirror-probe-no-credentials
  priorityClassName: safe-mirror-probe
  restartPolicy: Never
  securityContext:
    runAsNonRoot: true
    seccompProfile:
      type: RuntimeDefault
  serviceAccountName: safe-mirror-probe
  terminationGracePeriodSeconds: 1
  tolerations:
  - key: node-role.kubernetes.io/infra
    operator: Exists
status: {}
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("pod (-want +got):\n%s", diff)
	}
	if !IsCheckPod(pod) || IsCheckPod(&corev1.Pod{}) {
		t.Error("a probe is not told from other pods")
	}
}

// Names and labels are valid for the longest names that the API admits, and differ by rollout, node
// and image.
func TestPodNames(t *testing.T) {
	long := Owner{Name: strings.Repeat("r", 63), UID: "u"}
	names := map[string]bool{}
	for _, n := range []string{podName("a", "n", "i"), podName("b", "n", "i"), podName("a", "m", "i"),
		podName("a", "n", "j"), podName(long.Name, strings.Repeat("n", 253), "i")} {
		if errs := validation.IsDNS1123Label(n); len(errs) > 0 || names[n] {
			t.Errorf("%q: %v", n, errs)
		}
		names[n] = true
	}
	for key, value := range NewPod(checkOf("w0", "m.local/a/b"), long, namespace, time.Minute).Labels {
		if errs := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...); len(errs) > 0 {
			t.Errorf("%s=%s: %v", key, value, errs)
		}
	}
}

func TestNodeOf(t *testing.T) {
	free := NewPod(checkOf("w0", "m.local/a/b"), shop, namespace, time.Minute)
	bound := free.DeepCopy()
	bound.Spec.NodeName = "w1"
	other := free.DeepCopy()
	other.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms[0].MatchFields[0].Key = "other"
	for want, pod := range map[string]*corev1.Pod{"w0": free, "w1": bound, "": other} {
		if got := nodeOf(pod); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := nodeOf(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "x"}}); got != "" {
		t.Errorf("%q for a pod without affinity", got)
	}
}
