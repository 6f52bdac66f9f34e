package inventory

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// source reads one kind of object and adds what it names.
type source struct {
	kind string
	read func(context.Context, client.Reader, *Collector) error
}

var sources = []source{
	{"Pod", pods},
	{"Deployment", deployments},
	{"StatefulSet", statefulSets},
	{"DaemonSet", daemonSets},
	{"ReplicaSet", replicaSets},
	{"ReplicationController", replicationControllers},
	{"Job", jobs},
	{"CronJob", cronJobs},
}

// Read gathers the references of every pod and workload template. It fails as a whole when one kind cannot be read: a list
// with a hole in it would prove nothing.
func Read(ctx context.Context, r client.Reader, additional []string) ([]Reference, error) {
	c := &Collector{}
	for _, s := range sources {
		if err := s.read(ctx, r, c); err != nil {
			return nil, fmt.Errorf("reading the images of every %s: %w", s.kind, err)
		}
	}
	for _, image := range additional {
		c.Add(image, Owner{Kind: "spec.inventory.additionalImages", Name: image}, true)
	}
	return c.References(), nil
}

// pods are the ground truth, after every mutating webhook. One that has ended pulls nothing any more.
func pods(ctx context.Context, r client.Reader, c *Collector) error {
	var list corev1.PodList
	if err := r.List(ctx, &list); err != nil {
		return err
	}
	for i := range list.Items {
		p := &list.Items[i]
		if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue
		}
		c.addSpec(&p.Spec, Owner{"Pod", p.Namespace, p.Name}, true)
	}
	return nil
}

func deployments(ctx context.Context, r client.Reader, c *Collector) error {
	var list appsv1.DeploymentList
	if err := r.List(ctx, &list); err != nil {
		return err
	}
	for i := range list.Items {
		d := &list.Items[i]
		c.addSpec(&d.Spec.Template.Spec, Owner{"Deployment", d.Namespace, d.Name}, wanted(d.Spec.Replicas))
	}
	return nil
}

func statefulSets(ctx context.Context, r client.Reader, c *Collector) error {
	var list appsv1.StatefulSetList
	if err := r.List(ctx, &list); err != nil {
		return err
	}
	for i := range list.Items {
		s := &list.Items[i]
		c.addSpec(&s.Spec.Template.Spec, Owner{"StatefulSet", s.Namespace, s.Name}, wanted(s.Spec.Replicas))
	}
	return nil
}

func daemonSets(ctx context.Context, r client.Reader, c *Collector) error {
	var list appsv1.DaemonSetList
	if err := r.List(ctx, &list); err != nil {
		return err
	}
	for i := range list.Items {
		d := &list.Items[i]
		c.addSpec(&d.Spec.Template.Spec, Owner{"DaemonSet", d.Namespace, d.Name}, true)
	}
	return nil
}

// replicaSets of a Deployment that want no pod are its history: only a rollback to them would pull, so they are left out.
func replicaSets(ctx context.Context, r client.Reader, c *Collector) error {
	var list appsv1.ReplicaSetList
	if err := r.List(ctx, &list); err != nil {
		return err
	}
	for i := range list.Items {
		s := &list.Items[i]
		if !wanted(s.Spec.Replicas) && metav1.GetControllerOf(s) != nil {
			continue
		}
		c.addSpec(&s.Spec.Template.Spec, Owner{"ReplicaSet", s.Namespace, s.Name}, wanted(s.Spec.Replicas))
	}
	return nil
}

func replicationControllers(ctx context.Context, r client.Reader, c *Collector) error {
	var list corev1.ReplicationControllerList
	if err := r.List(ctx, &list); err != nil {
		return err
	}
	for i := range list.Items {
		s := &list.Items[i]
		if s.Spec.Template == nil || (!wanted(s.Spec.Replicas) && metav1.GetControllerOf(s) != nil) {
			continue
		}
		c.addSpec(&s.Spec.Template.Spec, Owner{"ReplicationController", s.Namespace, s.Name}, wanted(s.Spec.Replicas))
	}
	return nil
}

// jobs that have ended start no pod again.
func jobs(ctx context.Context, r client.Reader, c *Collector) error {
	var list batchv1.JobList
	if err := r.List(ctx, &list); err != nil {
		return err
	}
	for i := range list.Items {
		j := &list.Items[i]
		if j.Status.CompletionTime != nil || ended(j) {
			continue
		}
		suspended := j.Spec.Suspend != nil && *j.Spec.Suspend
		c.addSpec(&j.Spec.Template.Spec, Owner{"Job", j.Namespace, j.Name}, !suspended)
	}
	return nil
}

func ended(j *batchv1.Job) bool {
	for _, cond := range j.Status.Conditions {
		if (cond.Type == batchv1.JobFailed || cond.Type == batchv1.JobComplete) && cond.Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}

func cronJobs(ctx context.Context, r client.Reader, c *Collector) error {
	var list batchv1.CronJobList
	if err := r.List(ctx, &list); err != nil {
		return err
	}
	for i := range list.Items {
		j := &list.Items[i]
		suspended := j.Spec.Suspend != nil && *j.Spec.Suspend
		c.addSpec(&j.Spec.JobTemplate.Spec.Template.Spec, Owner{"CronJob", j.Namespace, j.Name}, !suspended)
	}
	return nil
}

// wanted: an omitted replica count means one.
func wanted(replicas *int32) bool { return replicas == nil || *replicas > 0 }
