package report

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
)

// The number of parts: steady while references come and go, and small again when they are gone for
// good.
func TestPartCount(t *testing.T) {
	all := entries("uid-shop", shop().plan, shop().withUnchanged(images(4000)...).found.References, nil)
	cases := map[string]struct{ references, before, want int }{
		"nothing":                          {0, 0, 1},
		"nothing is left":                  {0, 16, 1},
		"a few":                            {200, 0, 1},
		"a few more are for two, at first": {220, 0, 2},
		"and stay in one":                  {220, 1, 1},
		"as many as fit":                   {250, 1, 1},
		"one too many":                     {251, 1, 2},
		"back to what one would hold":      {240, 2, 2},
		"back to half of what one holds":   {120, 2, 1},
		"a thousand, at first":             {1000, 0, 8},
		"four thousand, at first":          {4000, 0, 32},
		"four thousand, from one":          {4000, 1, 32},
		"four thousand, from more":         {4000, 64, 64},
		"from far more than are needed":    {300, 64, 4},
		"a number that was never ours":     {300, 3, 2},
		"a number that is too large":       {300, 1024, 2},
		"a number below nothing":           {300, -4, 2},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := (layout{parts: 1}).partCount(all[:c.references], c.before); got != c.want {
				t.Errorf("%d parts, want %d", got, c.want)
			}
		})
	}
}

// What is large needs parts before there is much of it, and so do the gaps, which are in the first
// part only.
func TestPartCountByBytes(t *testing.T) {
	w := shop()
	for _, image := range images(100) {
		w.withMirrored(image)
		i := w.item(image)
		for range 31 {
			i.After.Endpoints = append(i.After.Endpoints, i.After.Endpoints[0])
			i.After.Endpoints[len(i.After.Endpoints)-1].Reference = strings.Repeat("m", 1000)
		}
	}
	reports := w.reports(began)
	if len(reports) < 8 {
		t.Errorf("%d parts for 100 references of 30 kB, want 8 or more", len(reports))
	}
	for _, r := range reports {
		if n := len(encoded(t, r)); n > maxBytes {
			t.Errorf("%s has %d bytes", r.Name, n)
		}
	}
}

// A reference that comes or goes is in one part, and the others stay as they are.
func TestOneReferenceMovesOnePart(t *testing.T) {
	with := images(1200)
	for n := range 10 {
		without := append(append([]string{}, with[:n]...), with[n+1:]...)
		a, b := shop().withUnchanged(with...).withParts(8).reports(began),
			shop().withUnchanged(without...).withParts(8).reports(began)
		if len(a) != 8 || len(b) != 8 {
			t.Fatalf("%d and %d parts, want 8", len(a), len(b))
		}
		different := 0
		for i := range a {
			if !cmp.Equal(a[i], b[i]) {
				different++
			}
		}
		if different != 1 {
			t.Errorf("without %s %d parts differ, want 1", with[n], different)
		}
	}
}

// When the parts double, each is divided in two: nothing else is moved about.
func TestPartsAreDividedInTwo(t *testing.T) {
	for _, image := range images(500) {
		p := positionOf("uid-shop", image)
		if whole, half := (layout{parts: 4}).partOf(p), (layout{parts: 8}).partOf(p); half/2 != whole {
			t.Errorf("%s is in part %d of 4 and part %d of 8", image, whole, half)
		}
	}
	if n := (layout{parts: 1}).partOf(^uint64(0)); n != 0 {
		t.Errorf("part %d of 1", n)
	}
}

// Beyond the last part what matters least is left out, and the report says how much.
func TestTooMany(t *testing.T) {
	w := shop().withMirrored(images(200)...)
	for _, image := range images(200)[:50] {
		w.withFailure(image)
	}
	for i := range 22_000 {
		ref := reference(fmt.Sprintf("registry.example.com/old/build-%d:v1", i))
		ref.Class = inventory.Historical
		w.found.References = append(w.found.References, ref)
	}
	reports := w.reports(began)
	listed, states := 0, map[v1alpha1.ReferenceState]int{}
	for _, r := range reports {
		if len(r.References) > maxEntries {
			t.Errorf("%s has %d entries", r.Name, len(r.References))
		}
		listed += int(r.Count)
		for i := range r.References {
			states[r.References[i].State]++
		}
	}
	if len(reports) != maxParts || states["Failing"] != 50 || states["Open"] != 150 || listed != maxParts*maxEntries {
		t.Errorf("%d parts with %d references: %v", len(reports), listed, states)
	}
	want := v1alpha1.UnreadSource{Source: "report",
		Message: fmt.Sprintf("%d references are not listed: the report has 64 parts of at most 250 entries and "+
			"700000 bytes, and what changes or holds the rollout comes first; safe-mirror plan -o json lists all of them",
			22_200-listed)}
	if diff := cmp.Diff([]v1alpha1.UnreadSource{want}, reports[0].UnreadSources); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}
}

// The order in which room is given.
func TestPriority(t *testing.T) {
	order := []v1alpha1.ReportedReference{
		{State: "Lost"}, {State: "Failing"}, {State: "Open"}, {State: "Proven"}, {State: "NoWorse"},
		{State: "Accepted"}, {State: "Ignored"},
		{Class: "Blocking"}, {Class: "Advisory"}, {Class: "Historical"},
	}
	for i := 1; i < len(order); i++ {
		if priorityOf(&order[i-1]) <= priorityOf(&order[i]) {
			t.Errorf("%+v is worth no more than %+v", order[i-1], order[i])
		}
	}
}
