// Package runner makes and deletes the pods of pull checks: it does on the cluster what
// probe.NextStep says.
package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/pullcheck"
)

// Runner makes and deletes the pods.
type Runner struct {
	Client client.Client
	// API reads past the caches: a pod that was created a moment ago keeps its node busy.
	API client.Reader
	// Namespace is the operator's own.
	Namespace string
	Limits    pullcheck.Limits
	// App is the label value of the pods that it makes: probe.AppName when empty, or
	// probe.CanaryName.
	App string
}

func (r *Runner) app() string { return cmp.Or(r.App, pullcheck.AppName) }

// Run takes one step: it looks at the pods, and creates and deletes what probe.NextStep says.
// Outcomes and the rest of the step are returned with an error too, and have to be kept. A run that
// is cut off anywhere is continued by the next one: names are deterministic, what exists is not
// created again, and an outcome that got lost is found again or proven again.
func (r *Runner) Run(ctx context.Context, owner pullcheck.Owner, want []pullcheck.Check,
	outcomes []pullcheck.CheckResult, notOlderThan, now time.Time) (pullcheck.Step, error) {
	pods, err := r.pods(ctx)
	if err != nil {
		return pullcheck.Step{Results: outcomes}, err
	}
	events, err := r.events(ctx, pods)
	if err != nil {
		return pullcheck.Step{Results: outcomes}, err
	}
	step := pullcheck.NextStep(pullcheck.StepInput{
		Owner: owner, Wanted: want, Pods: pods, Events: events, Results: outcomes, NotOlderThan: notOlderThan, Now: now,
		Limits: r.Limits,
	})
	var failures []error
	for _, d := range step.Delete {
		failures = append(failures, r.remove(ctx, d))
	}
	for _, p := range step.Create {
		refusal, err := r.create(ctx, p, owner)
		if refusal != "" {
			step.Refuse(p, refusal, now)
		}
		failures = append(failures, err)
	}
	return step, errors.Join(failures...)
}

// Sweep deletes every probe of the rollout, whatever it is at. It reports how many there are still.
func (r *Runner) Sweep(ctx context.Context, rollout string) (int, error) {
	pods, err := r.pods(ctx)
	if err != nil {
		return 0, err
	}
	pods = slices.DeleteFunc(pods, func(p corev1.Pod) bool { return p.Labels[mirrorset.LabelRollout] != rollout })
	var failures []error
	for i := range pods {
		if pods[i].DeletionTimestamp == nil {
			failures = append(failures, r.remove(ctx,
				pullcheck.PodDeletion{Pod: client.ObjectKeyFromObject(&pods[i]), UID: pods[i].UID}))
		}
	}
	return len(pods), errors.Join(failures...)
}

// pods are the probes of all rollouts, by name.
func (r *Runner) pods(ctx context.Context) ([]corev1.Pod, error) {
	var list corev1.PodList
	if err := r.API.List(ctx, &list, client.InNamespace(r.Namespace),
		client.MatchingLabels{pullcheck.LabelName: r.app()}); err != nil {
		return nil, fmt.Errorf("listing the probes in namespace %s: %w", r.Namespace, err)
	}
	return list.Items, nil
}

// events are read only when a pod does not say by itself why it cannot pull.
func (r *Runner) events(ctx context.Context, pods []corev1.Pod) ([]corev1.Event, error) {
	if !slices.ContainsFunc(pods, func(p corev1.Pod) bool { return pullcheck.NeedsEvents(&p) }) {
		return nil, nil
	}
	var list corev1.EventList
	if err := r.API.List(ctx, &list, client.InNamespace(r.Namespace)); err != nil {
		return nil, fmt.Errorf("listing the events in namespace %s: %w", r.Namespace, err)
	}
	return list.Items, nil
}

// create makes the pod. refusal is set when the API server does not take it: a policy engine, a
// quota, a security context constraint, or a missing ServiceAccount or PriorityClass. That is no
// failure of the mirror, and trying again at once would not help.
func (r *Runner) create(ctx context.Context, p pullcheck.Check, owner pullcheck.Owner) (refusal string, err error) {
	err = r.Client.Create(ctx, pullcheck.NewPod(p, owner, r.Namespace, r.Limits.PullTimeout),
		client.FieldOwner(pool.FieldManager))
	switch {
	case apierrors.IsAlreadyExists(err):
		return "", nil
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsNotFound(err):
		return fmt.Sprintf("node %s: the API server does not admit the pod that would pull %s: %s", p.Node, p.Image,
			pullcheck.ErrorDetail(err.Error())), nil
	case err != nil:
		return "", fmt.Errorf("creating the probe %s/%s for node %s: %w", r.Namespace, p.Name, p.Node, err)
	default:
		return "", nil
	}
}

// remove deletes the pod with that UID; another one of its name, and none, are fine.
func (r *Runner) remove(ctx context.Context, d pullcheck.PodDeletion) error {
	pod := &corev1.Pod{}
	pod.Namespace, pod.Name = d.Pod.Namespace, d.Pod.Name
	err := r.Client.Delete(ctx, pod, client.Preconditions{UID: &d.UID})
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return fmt.Errorf("deleting the probe %s: %w", d.Pod, err)
}
