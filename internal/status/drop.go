package status

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// Drop takes out of the status what the API server refuses of it, and says so in the condition
// StatusIncomplete. Of a list only the refused member goes, and of a member or an object that
// cannot be without the field, all of it: of status.record.stages[3].name the fourth stage. A list
// with too many members, and an object, is what it was before. What is dropped of the record is
// what could not have been written in any case: the facts are derived again from the cluster and
// from the annotations on pools. It reports false when nothing of the paths is in the status,
// because then another attempt would fail as well.
func Drop(s *v1alpha1.SafeMirrorRolloutStatus, before v1alpha1.SafeMirrorRolloutStatus, refused []string,
	generation int64, at metav1.Time) bool {
	content, err := toMap(s)
	if err != nil {
		return false
	}
	old, err := toMap(&before)
	if err != nil {
		return false
	}
	paths := make([][]string, 0, len(refused))
	for _, path := range refused {
		if steps := splitPath(path); len(steps) > 1 && steps[0] == "status" {
			paths = append(paths, steps[1:])
		}
	}
	// Members with the greatest index go first, so that the others keep theirs.
	slices.SortFunc(paths, func(a, b []string) int { return -slices.CompareFunc(a, b, compareSteps) })
	dropped := 0
	for _, path := range paths {
		if remove(content, old, path) {
			dropped++
		}
	}
	if dropped == 0 {
		return false
	}
	var out v1alpha1.SafeMirrorRolloutStatus
	text, err := json.Marshal(content)
	if err != nil || json.Unmarshal(text, &out) != nil {
		return false
	}
	*s = out
	const kind = v1alpha1.ConditionStatusIncomplete
	if c := meta.FindStatusCondition(before.Conditions, kind); c != nil &&
		meta.FindStatusCondition(s.Conditions, kind) == nil {
		s.Conditions = append(s.Conditions, *c) // it keeps its time
	}
	meta.SetStatusCondition(&s.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionStatusIncomplete, Status: metav1.ConditionTrue,
		Reason:             string(v1alpha1.ReasonFieldsRefused),
		ObservedGeneration: generation, LastTransitionTime: metav1.NewTime(at.Truncate(1e9)),
		Message: truncateMessage(fmt.Sprintf("the API server refuses %d fields of this status, which are left out: %s; report it with the operator's log",
			len(refused), strings.Join(refused, ", "))),
	})
	return true
}

func toMap(s *v1alpha1.SafeMirrorRolloutStatus) (map[string]any, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	var out map[string]any
	return out, json.Unmarshal(text, &out)
}

// splitPath splits status.record.stages[3].name into its steps: status, record, stages, 3, name. A
// key in a path, as in status.pools[worker], does not occur: the API server counts the members of
// lists.
func splitPath(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
}

func compareSteps(a, b string) int {
	x, errA := strconv.Atoi(a)
	y, errB := strconv.Atoi(b)
	if errA == nil && errB == nil {
		return x - y
	}
	return strings.Compare(a, b)
}

// remove deletes what the path names from the status: the member of a list, if the path leads
// through one, the innermost; else the field of the status itself, or of its record. old is what
// the same field was before.
func remove(content, old map[string]any, path []string) bool {
	last := -1 // the last step that is an index
	for i, step := range path {
		if _, err := strconv.Atoi(step); err == nil {
			last = i
		}
	}
	if last >= 0 {
		return removeMember(content, old, path[:last], path[last])
	}
	// A field of status, of record, or an object in one of them: what is required in an object
	// takes the object with it.
	depth := min(len(path), 1)
	if path[0] == "record" {
		depth = min(len(path), 2)
	}
	value, set := find(content, path[:depth])
	if value == nil {
		return false
	}
	if earlier, _ := find(old, path[:depth]); !reflect.DeepEqual(earlier, value) {
		set(earlier)
		return true
	}
	set(nil)
	return true
}

// removeMember deletes the member of the list, or puts the one of the same key back that was there
// before.
func removeMember(content, old map[string]any, list []string, index string) bool {
	value, set := find(content, list)
	members, ok := value.([]any)
	i, err := strconv.Atoi(index)
	if !ok || err != nil || i >= len(members) {
		return false
	}
	members = slices.Clone(members)
	earlier, _ := find(old, list)
	if was := sameKey(earlier, members[i]); was != nil && !reflect.DeepEqual(was, members[i]) {
		members[i] = was
	} else {
		members = slices.Delete(members, i, i+1)
	}
	set(members)
	return true
}

// sameKey is the member of the list with the key of this one; nil when there is none, or it has no
// key.
func sameKey(list, member any) any {
	one, isObject := member.(map[string]any)
	members, isList := list.([]any)
	if !isObject || !isList {
		return nil
	}
	for _, key := range []string{"type", "id", "name"} { // the keys of the lists that are maps
		if one[key] == nil {
			continue
		}
		for _, other := range members {
			if o, ok := other.(map[string]any); ok && o[key] == one[key] {
				return other
			}
		}
		return nil
	}
	return nil
}

// find returns the value at the path, and a function that replaces it; nil deletes it.
func find(content any, path []string) (any, func(any)) {
	var set func(any)
	for _, step := range path {
		switch c := content.(type) {
		case map[string]any:
			key := step
			set = func(v any) {
				if v == nil {
					delete(c, key)
					return
				}
				c[key] = v
			}
			content = c[key]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(c) {
				return nil, nil
			}
			set = func(v any) { c[i] = v }
			content = c[i]
		default:
			return nil, nil
		}
	}
	return content, set
}
