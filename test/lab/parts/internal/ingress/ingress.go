// Package ingress is a small ingress operator: one Deployment of routers and one
// PodDisruptionBudget per IngressController, shaped as the cluster-ingress-operator shapes them. It
// owns both: whoever scales the Deployment or edits the budget is overruled at once, so the only
// knob is the IngressController, directly or by its scale subresource:
//
//	oc scale deployment/router-default --replicas 4  -> 2 again at once
//	oc scale ingresscontroller/default --replicas 4  -> router-default follows
//
// Routes, DNS, certificates and the canary do not exist here.
package ingress

import (
	"context"
	"fmt"
	"time"

	operatorv1 "github.com/openshift/api/operator/v1"
	operatorclientset "github.com/openshift/client-go/operator/clientset/versioned"
	operatorinformers "github.com/openshift/client-go/operator/informers/externalversions"
	operatorlisters "github.com/openshift/client-go/operator/listers/operator/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	appslisters "k8s.io/client-go/listers/apps/v1"
	policylisters "k8s.io/client-go/listers/policy/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

const (
	operatorNamespace = "openshift-ingress-operator" // of the IngressControllers
	routerNamespace   = "openshift-ingress"          // of the routers

	// ImageAnnotation on an IngressController names the image of its routers. The real operator
	// takes it from its own environment, which a release fills in; the lab has no release.
	ImageAnnotation = "lab.safemirror.io/router-image"

	// resync is how often everything is looked at without any event.
	resync = 2 * time.Second
)

// Options say how to reach the cluster.
type Options struct {
	Kube     kubernetes.Interface
	Operator operatorclientset.Interface
	// Scale multiplies minReadySeconds of the routers. Zero means 1.
	Scale float64
}

type operator struct {
	Options
	controllers operatorlisters.IngressControllerNamespaceLister
	deployments appslisters.DeploymentNamespaceLister
	budgets     policylisters.PodDisruptionBudgetNamespaceLister
	wake        chan struct{} // one token: something has changed since the last round
}

// Run reconciles every IngressController until the end of ctx.
func Run(ctx context.Context, options Options) error {
	o := &operator{Options: options, wake: make(chan struct{}, 1)}
	if err := o.watch(ctx); err != nil {
		return err
	}
	ticker := time.NewTicker(resync)
	defer ticker.Stop()
	for ctx.Err() == nil {
		o.reconcileAll(ctx)
		select {
		case <-ctx.Done():
		case <-o.wake:
		case <-ticker.C:
		}
	}
	return nil
}

func (o *operator) watch(ctx context.Context) error {
	kube := informers.NewSharedInformerFactoryWithOptions(o.Kube, 0, informers.WithNamespace(routerNamespace))
	operators := operatorinformers.NewSharedInformerFactoryWithOptions(o.Operator, 0,
		operatorinformers.WithNamespace(operatorNamespace))
	deployments, budgets := kube.Apps().V1().Deployments(), kube.Policy().V1().PodDisruptionBudgets()
	controllers := operators.Operator().V1().IngressControllers()
	o.deployments = deployments.Lister().Deployments(routerNamespace)
	o.budgets = budgets.Lister().PodDisruptionBudgets(routerNamespace)
	o.controllers = controllers.Lister().IngressControllers(operatorNamespace)

	var synced []cache.InformerSynced
	for _, informer := range []cache.SharedIndexInformer{deployments.Informer(), budgets.Informer(),
		controllers.Informer()} {
		registration, err := informer.AddEventHandler(o.onEvent())
		if err != nil {
			return err
		}
		synced = append(synced, registration.HasSynced)
	}
	kube.Start(ctx.Done())
	operators.Start(ctx.Done())
	cache.WaitForCacheSync(ctx.Done(), synced...)
	return nil
}

// onEvent leaves a token for the loop; a second one would mean nothing.
func (o *operator) onEvent() cache.ResourceEventHandler {
	wake := func() {
		select {
		case o.wake <- struct{}{}:
		default:
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { wake() },
		UpdateFunc: func(any, any) { wake() },
		DeleteFunc: func(any) { wake() },
	}
}

func (o *operator) reconcileAll(ctx context.Context) {
	controllers, err := o.controllers.List(labels.Everything())
	if err != nil {
		klog.Errorf("ingress operator: %v", err)
		return
	}
	wanted := map[string]bool{}
	for _, ic := range controllers {
		if ic.DeletionTimestamp == nil {
			wanted[routerName(ic)] = true
		}
		if err := o.reconcile(ctx, ic); err != nil && ctx.Err() == nil {
			klog.Errorf("ingress operator: %s: %v", ic.Name, err)
		}
	}
	if err := o.removeOthers(ctx, wanted); err != nil && ctx.Err() == nil {
		klog.Errorf("ingress operator: %v", err)
	}
}

func (o *operator) reconcile(ctx context.Context, ic *operatorv1.IngressController) error {
	image := ic.Annotations[ImageAnnotation]
	if image == "" {
		return fmt.Errorf("annotation %s is required", ImageAnnotation)
	}
	deployment, err := o.applyDeployment(ctx, desiredDeployment(ic, image, o.Scale))
	if err != nil {
		return err
	}
	if err := o.reconcileBudget(ctx, ic, deployment); err != nil {
		return err
	}
	return o.reconcileStatus(ctx, ic, deployment)
}

// removeOthers deletes routers whose IngressController is gone. It lives in another namespace, so
// the garbage collector cannot do it; the budget goes with the Deployment, which owns it.
func (o *operator) removeOthers(ctx context.Context, wanted map[string]bool) error {
	deployments, err := o.deployments.List(labels.Everything())
	if err != nil {
		return err
	}
	for _, d := range deployments {
		if _, ours := d.Labels[owningLabel]; !ours || wanted[d.Name] {
			continue
		}
		err := o.Kube.AppsV1().Deployments(routerNamespace).Delete(ctx, d.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}

func routerName(ic *operatorv1.IngressController) string { return "router-" + ic.Name }
