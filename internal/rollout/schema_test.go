package rollout_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	crd "github.com/safe-mirror/safe-mirror-operator/config/crd"
	"github.com/safe-mirror/safe-mirror-operator/config/crd/validation"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/internal/status"
)

// TestEveryStatusMeetsTheSchema: whatever is observed, the API server takes the status that
// follows, and the record in it: a record that outgrows its schema could never be written again,
// and the rollout would stand still. The judge is the code of the API server on the
// CustomResourceDefinition that is installed.
func TestEveryStatusMeetsTheSchema(t *testing.T) {
	v := validator(t)
	seeds, skipped, longest := int64(240), int64(0), map[string]int{}
	if testing.Short() {
		seeds = 60
	}
	for seed := range seeds {
		o := rollout.Large(seed)
		if statusError(t, v, v1alpha1.SafeMirrorRolloutStatus{Record: o.Record}) != nil {
			skipped++ // made up, and no record that was ever written
			continue
		}
		before := v1alpha1.SafeMirrorRolloutStatus{}
		for turn := range 4 {
			d := rollout.Decide(o)
			var failure error
			if turn == 2 {
				failure = errors.New(strings.Repeat("ß", 3000))
			}
			after := status.Of(before, o, d, failure)
			if err := statusError(t, v, after); err != nil {
				t.Fatalf("seed %d, turn %d, phase %s: %v", seed, turn, d.Phase, err)
			}
			note(longest, after)
			o.Record, before = after.Record, after
			o.Now = o.Now.Add(7 * time.Minute)
		}
	}
	if skipped > seeds/10 {
		t.Errorf("%d of %d records that were made up are not valid themselves", skipped, seeds)
	}
	// A bound that is never reached is not put to the test.
	for list, least := range map[string]int{
		"blockers": 20, "blockedDrains": 4, "causeChain": 8, "pools": 32, "forecast": 16, "remedies": 20,
		"unreadyWorkloads": 256, "references": 8, "waiting": 16, "skipped": 10,
	} {
		if longest[list] < least {
			t.Errorf("%s has %d members at most, want %d", list, longest[list], least)
		}
	}
}

func note(longest map[string]int, s v1alpha1.SafeMirrorRolloutStatus) {
	most := func(name string, n int) { longest[name] = max(longest[name], n) }
	most("blockers", len(s.Blockers))
	most("blockedDrains", len(s.BlockedDrains))
	for _, d := range s.BlockedDrains {
		most("causeChain", len(d.CauseChain))
	}
	most("pools", len(s.Pools))
	if s.Forecast != nil {
		most("forecast", len(s.Forecast.Nodes))
	}
	if s.Preload != nil {
		most("waiting", len(s.Preload.Waiting))
		most("skipped", len(s.Preload.Skipped))
	}
	most("remedies", len(s.Record.Remedies))
	for _, r := range s.Record.Remedies {
		most("references", len(r.References))
	}
	if r := s.Record.Release; r != nil {
		most("unreadyWorkloads", len(r.UnreadyWorkloads))
	}
}

// With 24 pools there are 48 stages by default. Each that is watched is on record once, and all of
// them have room.
func TestTheStagesOfManyPoolsHaveRoom(t *testing.T) {
	v, o := validator(t), rollout.Crowd()
	before := v1alpha1.SafeMirrorRolloutStatus{}
	for range 400 {
		d := rollout.Decide(o)
		after := status.Of(before, o, d, nil)
		if err := statusError(t, v, after); err != nil {
			t.Fatalf("%d stages, phase %s: %v", len(after.Record.Stages), d.Phase, err)
		}
		o.Record, before = after.Record, after
		o.Now = o.Now.Add(20 * time.Minute)
		if transfers, ok := o.Transfers.Get(); ok {
			transfers.OldestProof = o.Now
			o.Transfers = rollout.Known(transfers)
		}
		rollout.Release(&o)
		if d.Phase == rollout.PhaseRestore {
			break
		}
	}
	if n := len(before.Record.Stages); n < 33 {
		t.Errorf("%d stages on record in phase %s (%+v): want more than 32", n, before.Phase, before.Blockers)
	}
	names := map[string]bool{}
	for _, s := range before.Record.Stages {
		names[s.Name] = true
	}
	if len(names) != len(before.Record.Stages) {
		t.Error("a stage is on record twice")
	}
}

func validator(t *testing.T) *validation.Validator {
	t.Helper()
	definition, err := crd.Rollouts()
	if err != nil {
		t.Fatal(err)
	}
	v, err := validation.New(definition, v1alpha1.GroupVersion.Version)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// statusError is what the API server would refuse of the status.
func statusError(t *testing.T, v *validation.Validator, s v1alpha1.SafeMirrorRolloutStatus) error {
	t.Helper()
	r := &v1alpha1.SafeMirrorRollout{Status: s}
	r.APIVersion, r.Kind, r.Name = v1alpha1.GroupVersion.String(), "SafeMirrorRollout", "shop"
	r.Spec.ImageTagMirrors = []v1alpha1.ImageMirrors{{Source: "quay.io/acme", Mirrors: []string{"mirror.local/acme"}}}
	if err := v.Object(t.Context(), r); err != nil {
		return err
	}
	// What is sent is JSON: a text that is no UTF-8 would become another one on the way.
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(r)
	if err != nil {
		return err
	}
	text, err := json.Marshal(object["status"])
	if err != nil {
		return err
	}
	if i := slices.Index([]rune(string(text)), '\uFFFD'); i >= 0 {
		return errors.New("a text in the status is no UTF-8")
	}
	return nil
}
