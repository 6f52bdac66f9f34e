package clusterfiles

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// duplicateProblems tells of objects that the files hold in several states. A must-gather has most
// pods twice, in the same state: that is not worth a word.
func duplicateProblems(gvk schema.GroupVersionKind, t *table, older []entry, files []*file) FileProblems {
	if len(older) == 0 {
		return nil
	}
	first := older[0]
	i, _ := slices.BinarySearchFunc(t.entries, first, entry.compare)
	kept := t.entries[i]
	which := fmt.Sprintf("the newest resourceVersion was taken, e.g. %d of %s in %s and not %d in %s",
		kept.order.version, objectName(first), files[kept.order.file].name, first.order.version,
		files[first.order.file].name)
	if kept.order.version == 0 {
		which = fmt.Sprintf("none says how new it is, so the first was taken, e.g. %s in %s and not in %s",
			objectName(first), files[kept.order.file].name, files[first.order.file].name)
	}
	return FileProblems{{Kind: gvk.Kind, Reason: Duplicate, Severity: SeverityDoubtful,
		Message: fmt.Sprintf("%d objects are there in several states; %s", len(older), which)}}
}

func objectName(e entry) string {
	if e.namespace == "" {
		return e.name
	}
	return e.namespace + "/" + e.name
}

// ignoredProblems tells of objects that were not kept: of other versions one by one, of other kinds
// in one sentence.
func ignoredProblems(ignored map[schema.GroupVersionKind]ignoredKind, k kinds) FileProblems {
	var out FileProblems
	var others []string
	kindCount, objects := 0, 0
	order := func(a, b schema.GroupVersionKind) int {
		return cmp.Or(cmp.Compare(ignored[b].n, ignored[a].n), cmp.Compare(a.String(), b.String()))
	}
	for _, gvk := range slices.SortedFunc(maps.Keys(ignored), order) {
		t := ignored[gvk]
		switch t.class {
		case otherVersion:
			out = append(out, FileProblem{File: t.file.name, Kind: gvk.Kind, Reason: OtherVersion,
				Severity: SeverityLost,
				Message: fmt.Sprintf("%d objects are in version %s and were left out; %s is read: collect %s in that version", t.n, gvk.GroupVersion(), strings.Join(k.versions[gvk.GroupKind()], ", "),
					resourceOf(gvk))})
		case secret:
			out = append(out, FileProblem{Kind: gvk.Kind, Reason: OtherKinds, Severity: SeverityNote,
				Message: fmt.Sprintf("%d objects were not read", t.n)})
		case unwanted, wanted:
			kindCount, objects = kindCount+1, objects+t.n
			if len(others) < 3 {
				others = append(others, fmt.Sprintf("%s %d", gvk.Kind, t.n))
			}
		}
	}
	if kindCount > len(others) {
		others = append(others, "…")
	}
	if kindCount > 0 {
		out = append(out, FileProblem{Reason: OtherKinds, Severity: SeverityNote,
			Message: fmt.Sprintf("%d objects of %d other kinds were not read (%s)", objects, kindCount,
				strings.Join(others, ", "))})
	}
	return out
}

// uncollectedNamespaces names the namespaces of which a must-gather has the object and no
// directory: what runs in them is not known. A must-gather collects those of the platform only,
// unless it is told otherwise.
func uncollectedNamespaces(c *Cluster, collected map[string]bool) FileProblems {
	t := c.tables[schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}]
	if t == nil || len(collected) == 0 {
		return nil
	}
	var missing []string
	for _, e := range t.entries {
		if !collected[e.name] {
			missing = append(missing, e.name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	some := missing[:min(5, len(missing))]
	return FileProblems{{Kind: "Namespace", Reason: NotCollected, Severity: SeverityLost, Message: fmt.Sprintf(
		"%d of %d were not collected, and nothing is known of what runs in them (%s%s); `oc adm inspect ns/NAME` collects one",
		len(missing), len(t.entries), strings.Join(some, ", "),
		map[bool]string{true: ", …"}[len(missing) > len(some)])}}
}
