package ingress

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"

	operatorv1 "github.com/openshift/api/operator/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/utils/ptr"
)

// Labels of the cluster-ingress-operator, pkg/operator/controller/names.go.
const (
	owningLabel     = "ingresscontroller.operator.openshift.io/owning-ingresscontroller"
	deploymentLabel = "ingresscontroller.operator.openshift.io/deployment-ingresscontroller"
	hashLabel       = "ingresscontroller.operator.openshift.io/hash"
)

// fieldManager owns every field that the operator sets, by server-side apply.
const fieldManager = "ingress-operator"

var applyOptions = metav1.PatchOptions{FieldManager: fieldManager, Force: ptr.To(true)}

// applyDeployment makes the Deployment as wanted. One that is so already is not written; the API
// server finds that out, and everybody else's edit of these fields is undone.
func (o *operator) applyDeployment(ctx context.Context, wanted *appsv1.Deployment) (*appsv1.Deployment, error) {
	data, err := json.Marshal(wanted)
	if err != nil {
		return nil, err
	}
	return o.Kube.AppsV1().Deployments(routerNamespace).Patch(ctx, wanted.Name, types.ApplyPatchType, data,
		applyOptions)
}

// desiredDeployment is what the cluster-ingress-operator's desiredRouterDeployment comes to for
// fields that matter to scheduling, eviction and pulling.
func desiredDeployment(ic *operatorv1.IngressController, image string, scale float64) *appsv1.Deployment {
	d := &appsv1.Deployment{
		TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Name: routerName(ic), Namespace: routerNamespace,
			Labels: map[string]string{owningLabel: ic.Name}},
	}
	d.Spec.Replicas = ptr.To(replicas(ic))
	d.Spec.MinReadySeconds = minReadySeconds(scale)
	d.Spec.ProgressDeadlineSeconds = ptr.To[int32](600)
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: podLabels(ic)}
	d.Spec.Strategy = strategy(ic)
	d.Spec.Template.Labels = podLabels(ic)
	d.Spec.Template.Spec = podSpec(ic, image)
	// The hash is over the template only: a change of replicas restarts nothing.
	hash := templateHash(&d.Spec.Template)
	d.Spec.Template.Labels[hashLabel] = hash
	if !usesHostNetwork(ic) {
		d.Spec.Template.Spec.Affinity = antiAffinity(ic, hash)
	}
	return d
}

func podSpec(ic *operatorv1.IngressController, image string) corev1.PodSpec {
	spec := corev1.PodSpec{
		Containers: []corev1.Container{container(ic, image)},
		NodeSelector: map[string]string{corev1.LabelOSStable: "linux",
			"node-role.kubernetes.io/worker": ""},
		PriorityClassName:             "system-cluster-critical",
		TerminationGracePeriodSeconds: ptr.To[int64](3600),
		TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: "topology.kubernetes.io/zone", WhenUnsatisfiable: corev1.ScheduleAnyway,
			LabelSelector: &metav1.LabelSelector{MatchLabels: podLabels(ic)},
		}},
	}
	if placement := ic.Spec.NodePlacement; placement != nil {
		if placement.NodeSelector != nil {
			spec.NodeSelector = placement.NodeSelector.MatchLabels
		}
		spec.Tolerations = placement.Tolerations
	}
	if usesHostNetwork(ic) {
		spec.HostNetwork = true
		spec.DNSPolicy = corev1.DNSClusterFirstWithHostNet
	}
	return spec
}

func container(ic *operatorv1.IngressController, image string) corev1.Container {
	http, https, stats := ports(ic)
	c := corev1.Container{
		Name: "router", Image: image, ImagePullPolicy: corev1.PullIfNotPresent,
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		Ports: []corev1.ContainerPort{
			{Name: "http", ContainerPort: http, Protocol: corev1.ProtocolTCP},
			{Name: "https", ContainerPort: https, Protocol: corev1.ProtocolTCP},
			{Name: "metrics", ContainerPort: stats, Protocol: corev1.ProtocolTCP},
		},
		ReadinessProbe: &corev1.Probe{
			ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz/ready",
				Port: intstr.FromInt32(stats)}},
			PeriodSeconds: 10, FailureThreshold: 3,
		},
	}
	if usesHostNetwork(ic) {
		for i := range c.Ports {
			c.Ports[i].HostPort = c.Ports[i].ContainerPort
		}
	}
	return c
}

// strategy: two routers of the host network cannot share a node, so a rolling update must take one
// down first; the others have their ports to themselves and may surge.
func strategy(ic *operatorv1.IngressController) appsv1.DeploymentStrategy {
	unavailable, surge := "25%", intstr.FromString("25%")
	switch {
	case usesHostNetwork(ic):
		surge = intstr.FromInt32(0)
	case replicas(ic) < 4:
		unavailable = "50%"
	}
	return appsv1.DeploymentStrategy{
		Type: appsv1.RollingUpdateDeploymentStrategyType,
		RollingUpdate: &appsv1.RollingUpdateDeployment{
			MaxUnavailable: ptr.To(intstr.FromString(unavailable)),
			MaxSurge:       &surge,
		},
	}
}

// antiAffinity keeps routers of one generation apart where no host port does it.
func antiAffinity(ic *operatorv1.IngressController, hash string) *corev1.Affinity {
	selector := podLabels(ic)
	selector[hashLabel] = hash
	return &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			TopologyKey: "kubernetes.io/hostname", LabelSelector: &metav1.LabelSelector{MatchLabels: selector},
		}},
	}}
}

func podLabels(ic *operatorv1.IngressController) map[string]string {
	return map[string]string{deploymentLabel: ic.Name}
}

// replicas: two unless somebody says otherwise.
func replicas(ic *operatorv1.IngressController) int32 { return ptr.Deref(ic.Spec.Replicas, 2) }

// publishing is how the routers are reached: HostNetwork unless asked otherwise, as on every
// platform that is not a public cloud.
func publishing(ic *operatorv1.IngressController) *operatorv1.EndpointPublishingStrategy {
	if s := ic.Spec.EndpointPublishingStrategy; s != nil && s.Type != operatorv1.HostNetworkStrategyType {
		return s.DeepCopy()
	}
	http, https, stats := ports(ic)
	return &operatorv1.EndpointPublishingStrategy{
		Type: operatorv1.HostNetworkStrategyType,
		HostNetwork: &operatorv1.HostNetworkStrategy{
			Protocol: operatorv1.TCPProtocol, HTTPPort: http, HTTPSPort: https, StatsPort: stats,
		},
	}
}

func usesHostNetwork(ic *operatorv1.IngressController) bool {
	s := ic.Spec.EndpointPublishingStrategy
	return s == nil || s.Type == operatorv1.HostNetworkStrategyType
}

// ports are 80, 443 and 1936 unless the IngressController moves them.
func ports(ic *operatorv1.IngressController) (http, https, stats int32) {
	http, https, stats = 80, 443, 1936
	if s := ic.Spec.EndpointPublishingStrategy; s != nil && s.HostNetwork != nil {
		for _, p := range []struct{ to, from *int32 }{
			{&http, &s.HostNetwork.HTTPPort}, {&https, &s.HostNetwork.HTTPSPort}, {&stats, &s.HostNetwork.StatsPort},
		} {
			if *p.from != 0 {
				*p.to = *p.from
			}
		}
	}
	return http, https, stats
}

// minReadySeconds is 30 in a cluster; 0.01 of it is nothing that a field of whole seconds can say.
func minReadySeconds(scale float64) int32 {
	if scale <= 0 {
		scale = 1
	}
	return int32(math.Round(30 * scale))
}

func templateHash(template *corev1.PodTemplateSpec) string {
	data, err := json.Marshal(template)
	if err != nil {
		panic(fmt.Sprintf("a pod template that is no JSON: %v", err))
	}
	h := fnv.New32a()
	h.Write(data)
	return rand.SafeEncodeString(fmt.Sprint(h.Sum32()))
}
