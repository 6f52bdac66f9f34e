package inventory

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

func addJob(rd *readState, j *batchv1.Job) {
	use := Use{Owner: Owner{"Job", j.Namespace, j.Name}, Class: unlessSuspended(j.Spec.Suspend)}
	if jobFinished(j) {
		use.Class = Historical
	}
	rd.addTemplate(&j.Spec.Template, use)
}

func addCronJob(rd *readState, j *batchv1.CronJob) {
	rd.addTemplate(&j.Spec.JobTemplate.Spec.Template,
		Use{Owner: Owner{"CronJob", j.Namespace, j.Name}, Class: unlessSuspended(j.Spec.Suspend)})
}

// unlessSuspended: what is suspended starts no pod until somebody resumes it.
func unlessSuspended(suspended *bool) Class {
	if suspended != nil && *suspended {
		return Advisory
	}
	return Blocking
}

// ended: a Job that has ended starts no pod again.
func jobFinished(j *batchv1.Job) bool {
	if j.Status.CompletionTime != nil {
		return true
	}
	for _, cond := range j.Status.Conditions {
		if (cond.Type == batchv1.JobFailed || cond.Type == batchv1.JobComplete) && cond.Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}
