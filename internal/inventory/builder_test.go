package inventory

import (
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func meta(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "shop", Name: name} }

// owned is the metadata of an object that a controller of that name owns.
func owned(name, by string) metav1.ObjectMeta {
	yes := true
	m := meta(name)
	m.OwnerReferences = []metav1.OwnerReference{{Kind: "Owner", Name: by, Controller: &yes}}
	return m
}

func spec(images ...string) corev1.PodSpec {
	var s corev1.PodSpec
	for _, i := range images {
		s.Containers = append(s.Containers, corev1.Container{Image: i})
	}
	return s
}

func template(images ...string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{Spec: spec(images...)}
}

func replicas(n int32) *int32 { return &n }

func pod(name string, phase corev1.PodPhase, images ...string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: meta(name), Spec: spec(images...), Status: corev1.PodStatus{Phase: phase}}
}

func deployment(name string, n *int32, images ...string) *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: meta(name), Spec: appsv1.DeploymentSpec{Replicas: n, Template: template(images...)}}
}

func statefulSet(name string, n *int32, images ...string) *appsv1.StatefulSet {
	return &appsv1.StatefulSet{ObjectMeta: meta(name), Spec: appsv1.StatefulSetSpec{Replicas: n, Template: template(images...)}}
}

func daemonSet(name string, images ...string) *appsv1.DaemonSet {
	return &appsv1.DaemonSet{ObjectMeta: meta(name), Spec: appsv1.DaemonSetSpec{Template: template(images...)}}
}

func replicaSet(m metav1.ObjectMeta, n *int32, images ...string) *appsv1.ReplicaSet {
	return &appsv1.ReplicaSet{ObjectMeta: m, Spec: appsv1.ReplicaSetSpec{Replicas: n, Template: template(images...)}}
}

func replicationController(m metav1.ObjectMeta, n *int32, images ...string) *corev1.ReplicationController {
	t := template(images...)
	return &corev1.ReplicationController{ObjectMeta: m, Spec: corev1.ReplicationControllerSpec{Replicas: n, Template: &t}}
}

func job(name string, change func(*batchv1.Job), images ...string) *batchv1.Job {
	j := &batchv1.Job{ObjectMeta: meta(name), Spec: batchv1.JobSpec{Template: template(images...)}}
	change(j)
	return j
}

func cronJob(name string, suspended *bool, images ...string) *batchv1.CronJob {
	return &batchv1.CronJob{ObjectMeta: meta(name), Spec: batchv1.CronJobSpec{
		Suspend: suspended, JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template(images...)}},
	}}
}
