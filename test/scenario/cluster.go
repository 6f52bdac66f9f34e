package scenario

import (
	"context"
	"fmt"
	"time"

	configv1 "github.com/openshift/api/config/v1"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	operatorv1 "github.com/openshift/api/operator/v1"
	operatorv1alpha1 "github.com/openshift/api/operator/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/test/lab"
)

// The hosts of the lab's wire that the scenarios use.
const (
	SourceHost = "quay.io"
	MirrorHost = "mirror.internal.example.com"
)

// Namespaces of the scenarios.
const (
	appNamespace     = "shop"
	ingressNamespace = "openshift-ingress"
	ingressOperator  = "openshift-ingress-operator"
)

// Cluster is a lab with an administrator's client.
type Cluster struct {
	Lab    *lab.Lab
	Client client.WithWatch
}

// NewCluster connects to the lab. After a Reset it has to be made anew: the clients of the time
// before know versions that never were.
func NewCluster(l *lab.Lab) (*Cluster, error) {
	c, err := NewClient(l.Config())
	if err != nil {
		return nil, err
	}
	return &Cluster{Lab: l, Client: c}, nil
}

// NewClient makes a client that knows every kind of the scenarios.
func NewClient(config *rest.Config) (client.WithWatch, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, configv1.AddToScheme, mcfgv1.AddToScheme, operatorv1.AddToScheme,
		operatorv1alpha1.AddToScheme,
		apiextensionsv1.AddToScheme, v1alpha1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	config.QPS, config.Burst = 100, 200
	return client.NewWithWatch(config, client.Options{Scheme: scheme})
}

// create is for objects that an earlier step may have made already.
func (c *Cluster) create(ctx context.Context, objects ...client.Object) error {
	for _, o := range objects {
		if err := c.Client.Create(ctx, o); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("creating %T %s: %w", o, o.GetName(), err)
		}
	}
	return nil
}

// Router creates the default IngressController with so many replicas of the image, and waits until
// all are ready on other nodes than the one to avoid: the node that the MCO takes first must not
// have the image, or there is no race.
func (c *Cluster) Router(ctx context.Context, image string, replicas int32, avoid string) error {
	if err := c.cordon(ctx, avoid, true); err != nil {
		return err
	}
	ingress := ingressController()
	ingress.Annotations = map[string]string{"lab.safemirror.io/router-image": image}
	ingress.Spec.Replicas = &replicas
	if err := c.create(ctx, ingress); err != nil {
		return err
	}
	if err := c.WaitReady(ctx, ingressNamespace, "router-default", replicas); err != nil {
		return err
	}
	return c.cordon(ctx, avoid, false)
}

func ingressController() *operatorv1.IngressController {
	return &operatorv1.IngressController{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: ingressOperator}}
}

// App creates a Deployment with a PodDisruptionBudget of one, its pods on different nodes that
// carry the label.
func (c *Cluster) App(ctx context.Context, name, image string, replicas int32, nodes map[string]string) error {
	return c.create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: appNamespace}},
		deployment(appNamespace, name, image, replicas, nodes), budget(appNamespace, name, 1))
}

// deployment has its pods on different nodes that carry the label.
func deployment(namespace, name, image string, replicas int32, nodes map[string]string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					NodeSelector: nodes,
					Containers:   []corev1.Container{{Name: name, Image: image}},
					Affinity: &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
						RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
							LabelSelector: &metav1.LabelSelector{MatchLabels: labels},
							TopologyKey:   corev1.LabelHostname,
						}},
					}},
				},
			},
		},
	}
}

// budget lets so many pods of the Deployment of the same name be unavailable.
func budget(namespace, name string, maxUnavailable int) *policyv1.PodDisruptionBudget {
	n := intstr.FromInt32(int32(maxUnavailable))
	return &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &n,
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}},
	}
}

// WaitReady waits until the Deployment has so many ready pods and its budget allows a disruption.
func (c *Cluster) WaitReady(ctx context.Context, namespace, name string, replicas int32) error {
	return lab.Eventually(ctx, time.Minute, namespace+"/"+name+" is ready",
		func(ctx context.Context) (bool, string, error) {
			d := &appsv1.Deployment{}
			if err := c.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, d); err != nil {
				return false, err.Error(), client.IgnoreNotFound(err)
			}
			if d.Status.ReadyReplicas != replicas {
				return false, fmt.Sprintf("%d of %d pods are ready", d.Status.ReadyReplicas, replicas), nil
			}
			budget := &policyv1.PodDisruptionBudget{}
			if err := c.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, budget); err != nil {
				return false, err.Error(), client.IgnoreNotFound(err)
			}
			return budget.Status.DisruptionsAllowed > 0,
				fmt.Sprintf("the budget allows %d disruptions", budget.Status.DisruptionsAllowed), nil
		})
}

func (c *Cluster) cordon(ctx context.Context, node string, cordoned bool) error {
	if node == "" {
		return nil
	}
	return c.PatchNode(ctx, node, fmt.Sprintf(`{"spec":{"unschedulable":%t}}`, cordoned))
}

// PatchNode merges the JSON into the node.
func (c *Cluster) PatchNode(ctx context.Context, name, patch string) error {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	return c.Client.Patch(ctx, node, client.RawPatch(types.MergePatchType, []byte(patch)))
}

// Cache makes a node pull the image now, so that it is there before anything depends on it.
func (c *Cluster) Cache(ctx context.Context, node, image string) error {
	if err := c.PatchNode(ctx, node, fmt.Sprintf(`{"metadata":{"annotations":{"lab.safemirror.io/cache":%q}}}`,
		image)); err != nil {
		return err
	}
	return lab.Eventually(ctx, 30*time.Second, node+" has "+image, func(context.Context) (bool, string, error) {
		pulls, err := c.Lab.PullLog()
		if err != nil {
			return false, "", err
		}
		why := "no pull yet"
		for _, p := range pulls {
			if p.Node != node || p.Reference != image {
				continue
			}
			if p.Error == "" {
				return true, "", nil
			}
			why = p.Error
		}
		return false, why, nil
	})
}

// Pool reads a MachineConfigPool.
func (c *Cluster) Pool(ctx context.Context, name string) (*mcfgv1.MachineConfigPool, error) {
	p := &mcfgv1.MachineConfigPool{}
	return p, c.Client.Get(ctx, client.ObjectKey{Name: name}, p)
}

// Pools lists the MachineConfigPools.
func (c *Cluster) Pools(ctx context.Context) ([]mcfgv1.MachineConfigPool, error) {
	var list mcfgv1.MachineConfigPoolList
	return list.Items, c.Client.List(ctx, &list)
}

// updated tells whether every node of the pool runs what the MCO last rendered, as far as the
// pool's status can be trusted.
func updated(p *mcfgv1.MachineConfigPool) (bool, string) {
	for _, cond := range p.Status.Conditions {
		if cond.Type == mcfgv1.MachineConfigPoolUpdated && cond.Status == corev1.ConditionTrue &&
			p.Status.ObservedGeneration == p.Generation && p.Status.Configuration.Name == p.Spec.Configuration.Name &&
			p.Status.UpdatedMachineCount == p.Status.MachineCount {
			return true, ""
		}
	}
	return false, fmt.Sprintf("pool %s: %d of %d nodes updated", p.Name, p.Status.UpdatedMachineCount,
		p.Status.MachineCount)
}

// WaitUpdated waits until the pools are rendered anew since the names given, and every node has it.
func (c *Cluster) WaitUpdated(ctx context.Context, since map[string]string, timeout time.Duration) error {
	return lab.Eventually(ctx, timeout, "every pool is updated", func(ctx context.Context) (bool, string, error) {
		pools, err := c.Pools(ctx)
		if err != nil {
			return false, "", err
		}
		for i := range pools {
			if name, ok := since[pools[i].Name]; ok && pools[i].Spec.Configuration.Name == name {
				return false, "pool " + pools[i].Name + " is not rendered anew yet", nil
			}
			if ok, why := updated(&pools[i]); !ok {
				return false, why, nil
			}
		}
		return true, "", nil
	})
}

// Rendered returns what every pool is rendered to now.
func (c *Cluster) Rendered(ctx context.Context) (map[string]string, error) {
	pools, err := c.Pools(ctx)
	out := map[string]string{}
	for i := range pools {
		out[pools[i].Name] = pools[i].Spec.Configuration.Name
	}
	return out, err
}
