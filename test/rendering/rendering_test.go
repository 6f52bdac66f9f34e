//go:build lab

package rendering

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
)

// renderTimeout is how long the controller may take for one union. It takes a fraction of a second;
// a machine that is busy with other things takes longer, and that is no finding.
const renderTimeout = 30 * time.Second

// TestRandomUnions takes one union after another to the cluster, each instead of the one before. To
// see one again:
//
//	go test -tags lab ./test/rendering -run TestRandomUnions/seed-17
func TestRandomUnions(t *testing.T) {
	reasons := map[string]int{}
	failed := 0
	for n := range sets(t) {
		seed := uint64(n + 1)
		passed := t.Run(fmt.Sprintf("seed-%d", seed), func(t *testing.T) { check(t, shared, seed, reasons) })
		if !passed {
			failed++
		}
		if failed == 3 {
			t.Fatal("three are enough to look into")
		}
	}
	for _, r := range refusals {
		t.Logf("%3d refused: %s", reasons[r.controller], r.controller)
		if result.sets >= 300 && reasons[r.controller] == 0 {
			t.Errorf("no union is refused with %q: they are too tame", r.controller)
		}
	}
}

// check takes one union to the cluster and compares what happens with what was predicted.
func check(t *testing.T, c *cluster, seed uint64, reasons map[string]int) {
	ctx := t.Context()
	result.sets++
	union, err := c.accepted(ctx, randomMirrorSets(seed))
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	_, err = c.predict(union)
	if invalid := new(registriesconf.InvalidError); err != nil && !errors.As(err, &invalid) {
		t.Fatalf("seed %d: Validate finds nothing wrong, but Render: %v\n%s", seed, err, asYAML(union))
	}
	if err == nil {
		if err := c.checkRendered(ctx, seed, union); err != nil {
			t.Fatalf("seed %d, predicted as valid: %v\n%s", seed, err, asYAML(union))
		}
		result.equal++
		return
	}
	union, culprit := c.isolateInvalid(seed, union)
	reason, err := c.checkRefused(ctx, seed, union, culprit)
	if err != nil {
		t.Fatalf("seed %d, predicted as refused because of %s: %v\n%s", seed, key(culprit), err,
			asYAML(append(union, culprit)))
	}
	result.refused++
	reasons[reason]++
}

// checkRendered makes the cluster's sets those of a valid union and waits for its content.
func (c *cluster) checkRendered(ctx context.Context, seed uint64, union []client.Object) error {
	union = slices.Concat(union, markers(seed, ""))
	want, err := c.predict(union)
	if err != nil {
		return err
	}
	return c.applyAndAwait(ctx, union, want)
}

// isolateInvalid makes a refused union one that a single write makes of a valid one: the rest and
// the culprit. One such write is a refusal that can be told from "not yet". Where no object alone
// is the culprit, some are left out until one is.
func (c *cluster) isolateInvalid(seed uint64, union []client.Object) (rest []client.Object, culprit client.Object) {
	random := rand.New(rand.NewPCG(seed, 1))
	for {
		order := random.Perm(len(union))
		for _, i := range order {
			rest := slices.Delete(slices.Clone(union), i, i+1)
			if _, err := c.predict(rest); err == nil {
				return rest, union[i]
			}
		}
		union = slices.Delete(slices.Clone(union), order[0], order[0]+1)
	}
}

// checkRefused goes from a valid union to the refused one and back, and returns the reason of the
// refusal. While the culprit is there, another change does not get through either; once it is gone,
// that change does, and it is the first thing written since: the controller was at work all the
// time, and has written nothing of the refused union.
func (c *cluster) checkRefused(ctx context.Context, seed uint64, rest []client.Object, culprit client.Object) (string,
	error) {
	if err := c.checkRendered(ctx, seed, rest); err != nil {
		return "", fmt.Errorf("without the culprit: %w", err)
	}
	if err := c.reset(); err != nil {
		return "", err
	}
	if err := c.put(ctx, culprit); err != nil {
		return "", err
	}
	logged, err := c.controllerLog.awaitRefusal(ctx)
	if err != nil {
		return "", fmt.Errorf("%w; written meanwhile:\n%s", err, c.written())
	}
	reason, err := c.matchReason(slices.Concat(rest, markers(seed, ""), []client.Object{culprit}), logged)
	if err != nil {
		return "", err
	}
	return reason, c.checkRecovered(ctx, seed, rest, culprit)
}

// checkRecovered changes the markers and then takes the culprit away.
func (c *cluster) checkRecovered(ctx context.Context, seed uint64, rest []client.Object, culprit client.Object) error {
	healed := slices.Concat(rest, markers(seed, "-healed"))
	want, err := c.predict(healed)
	if err != nil {
		return fmt.Errorf("without the culprit: %w", err)
	}
	for _, marker := range markers(seed, "-healed") {
		if err := c.put(ctx, marker); err != nil {
			return err
		}
	}
	if err := c.remove(ctx, culprit); err != nil {
		return err
	}
	if err := c.await(ctx, want); err != nil {
		return fmt.Errorf("after the culprit was gone: %w", err)
	}
	for _, pool := range pools {
		if diff := cmp.Diff([]string{want[pool]}, c.followers[pool].seen); diff != "" {
			return fmt.Errorf("pool %s: written while the union was refused (-want +written):\n%s", pool, diff)
		}
	}
	return nil
}

// refusals says in which words the controller refuses what Validate finds: the end of the field,
// part of Validate's message, and part of the controller's.
var refusals = []struct{ field, message, controller string }{
	{"].mirrorSourcePolicy", "contradicts", "conflicting mirrorSourcePolicy is set for the same source"},
	{"].mirrors[", "NeverContactSource", "cannot set mirrorSourcePolicy: NeverContactSource if the source"},
	{"].mirrors[", "is not host", "invalid format for mirror"},
	{"].source", "is not host", "invalid format for source"},
	{"].source", "wildcard source", "mirrorsAdjustedForNestedScope for a wildcard scope"},
	{".insecureRegistries[", "is not a registry scope", "invalid entry for insecure registries"},
	{".blockedRegistries[", "is not a registry scope", "invalid entry for blocked registries"},
	{".allowedRegistries[", "is not a registry scope", "invalid entry for allowed registries"},
	{".allowedRegistries", "together with blockedRegistries", "only one of AllowedRegistries or BlockedRegistries"},
}

// matchReason checks that the controller's reason is among those predicted, for it names only the
// first it comes across. Any other error in its log, such as a conflict of two writers, is no
// refusal.
func (c *cluster) matchReason(union []client.Object, logged string) (string, error) {
	var predicted []string
	for _, p := range registriesconf.Validate(asSets(union, c.release)) {
		for _, r := range refusals {
			if !strings.Contains(p.Field, r.field) || !strings.Contains(p.Message, r.message) {
				continue
			}
			if strings.Contains(logged, r.controller) {
				return r.controller, nil
			}
		}
		predicted = append(predicted, p.String())
	}
	return "", fmt.Errorf("refused for another reason than predicted\npredicted: %s\nlogged: %s",
		strings.Join(predicted, "; "), logged)
}

// TestNoMirrorSets: without any set the controller writes no file, and the one of the templates
// stays; a list that is empty is something to say.
func TestNoMirrorSets(t *testing.T) {
	c := shared
	emptyList := newImage()
	emptyList.Spec.RegistrySources.InsecureRegistries = []string{}
	for _, step := range []struct {
		name  string
		union []client.Object
		file  bool
	}{
		{"sets", markers(0, ""), true},
		{"nothing", nil, false},
		{"an empty list", []client.Object{emptyList}, true},
		{"nothing again", []client.Object{newImage()}, false},
	} {
		want, err := c.predict(step.union)
		if err != nil {
			t.Fatal(err)
		}
		for _, pool := range pools {
			if !step.file && want[pool] != string(c.base[pool]) {
				t.Fatalf("%s: predicted is not the template's file but:\n%s", step.name, want[pool])
			}
			if !step.file {
				want[pool] = noFile
			}
		}
		if err := c.applyAndAwait(t.Context(), step.union, want); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
	}
}
