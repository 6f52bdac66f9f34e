package clusterfiles

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	configv1 "github.com/openshift/api/config/v1"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

func newScheme(t testing.TB) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, configv1.AddToScheme,
		mcfgv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return scheme
}

// write makes a file below dir.
func write(t testing.TB, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// newTestPod is about as large as a real one: two containers, 3 KB as JSON.
func newTestPod(random *rand.Rand, i int) *corev1.Pod {
	hex := func(n int) string {
		out := make([]byte, n)
		for i := range out {
			out[i] = "0123456789abcdef"[random.IntN(16)]
		}
		return string(out)
	}
	uid := func() types.UID {
		return types.UID(hex(8) + "-" + hex(4) + "-" + hex(4) + "-" + hex(4) + "-" + hex(12))
	}
	ip := fmt.Sprintf("10.%d.%d.%d", 128+random.IntN(4), random.IntN(256), random.IntN(256))
	created := metav1.Unix(1_790_000_000+int64(i), 0)
	yes, no := true, false
	p := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{
		Name: fmt.Sprintf("web-%s-%05d", hex(9), i), GenerateName: "web-", Namespace: fmt.Sprintf("team-%03d", i%200),
		ResourceVersion: fmt.Sprint(1000 + i), CreationTimestamp: created,
		Labels: map[string]string{"app": "web", "app.kubernetes.io/part-of": fmt.Sprintf("shop-%d", i%40),
			"pod-template-hash": hex(10)},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-" + hex(9),
			Controller: &yes, BlockOwnerDeletion: &yes}},
		Annotations: map[string]string{"openshift.io/scc": "restricted-v2",
			"k8s.ovn.org/pod-networks": fmt.Sprintf(`{"default":{"ip_addresses":["%s/23"],"mac_address":"0a:58:0a:80:00:05","gateway_ips":["10.128.0.1"],"role":"primary"}}`, ip)},
	}}
	p.UID, p.OwnerReferences[0].UID = uid(), uid()
	p.Spec = corev1.PodSpec{NodeName: fmt.Sprintf("worker-%04d.example.com", i%2000), ServiceAccountName: "default",
		DeprecatedServiceAccount: "default", RestartPolicy: "Always",
		DNSPolicy: "ClusterFirst", SchedulerName: "default-scheduler", EnableServiceLinks: &yes,
		ImagePullSecrets: []corev1.LocalObjectReference{{Name: "default-dockercfg-" + hex(5)}},
		Tolerations: []corev1.Toleration{{Key: "node.kubernetes.io/not-ready", Operator: "Exists",
			Effect: "NoExecute"}, {Key: "node.kubernetes.io/unreachable", Operator: "Exists", Effect: "NoExecute"}},
		Volumes: []corev1.Volume{{Name: "kube-api-access-" + hex(5),
			VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}}}}}
	p.Status = corev1.PodStatus{Phase: "Running", PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}, HostIP: "192.168.3.17",
		QOSClass: "Burstable", StartTime: &created}
	for c := range 2 {
		image := fmt.Sprintf("quay.io/acme/app-%04d:v%d", (i+c*2500)%5000, i%7)
		p.Spec.Containers = append(p.Spec.Containers,
			corev1.Container{Name: fmt.Sprintf("c%d", c), Image: image, ImagePullPolicy: "IfNotPresent",
				Command: []string{"/bin/sh", "-c", "exec app --listen=:8080 \"$HOME\"\n"},
				Env: []corev1.EnvVar{{Name: "WORKERS", Value: "4"},
					{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.name"}}}},
				VolumeMounts: []corev1.VolumeMount{{Name: p.Spec.Volumes[0].Name, ReadOnly: true,
					MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"}},
				SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: &no}})
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses,
			corev1.ContainerStatus{Name: fmt.Sprintf("c%d", c), Ready: true, Started: &yes, Image: image,
				ImageID: "quay.io/acme/app@sha256:" + hex(64), ContainerID: "cri-o://" + hex(64),
				State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: created}}})
	}
	for _, condition := range []corev1.PodConditionType{"Initialized", "Ready", "ContainersReady", "PodScheduled"} {
		p.Status.Conditions = append(p.Status.Conditions,
			corev1.PodCondition{Type: condition, Status: "True", LastTransitionTime: created})
	}
	return p
}

// listOf writes a list as oc does: the items say what they are, and the list says at its end that
// it is one.
func listOf(t testing.TB, asYAML bool, n int, object func(i int) any) []byte {
	t.Helper()
	var out bytes.Buffer
	begin, between, end := `{"apiVersion":"v1","items":[`, ",\n", `],"kind":"List","metadata":{"resourceVersion":""}}`
	if asYAML {
		begin, between, end = "apiVersion: v1\nitems:\n", "", "kind: List\nmetadata:\n  resourceVersion: \"\"\n"
	}
	out.WriteString(begin)
	for i := range n {
		text, err := json.Marshal(object(i))
		if asYAML && err == nil {
			if text, err = yaml.JSONToYAML(text); err == nil {
				text = append([]byte("- "), bytes.ReplaceAll(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"),
					[]byte("\n  "))...)
				text = append(text, '\n')
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			out.WriteString(between)
		}
		out.Write(text)
	}
	out.WriteString(end)
	return out.Bytes()
}
