package drain

import (
	"strings"
	"testing"
)

// The core may know better whose turn it is.
func TestUpdateOrderRestrictTo(t *testing.T) {
	order := UpdateOrder{First: []string{"a", "b"},
		Others: []LaterNode{{Node: "c", Why: "it is younger than a"},
			{Node: "d", Why: "it is cordoned", NotCandidate: true}}}
	cases := map[string]struct {
		names []string
		first string
		rest  string
	}{
		"nothing is known":        {nil, "a b", "c d"},
		"one of the first":        {[]string{"b"}, "b", "a c d"},
		"one more than the first": {[]string{"a", "b", "c"}, "a b c", "d"},
		"one that comes later":    {[]string{"c"}, "c", "a b d"},
		"one that cannot be":      {[]string{"d", "a"}, "a", "b c d"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, rest := order.RestrictTo(c.names), []string{}
			for _, l := range got.Others {
				rest = append(rest, l.Node)
			}
			if strings.Join(got.First, " ") != c.first || strings.Join(rest, " ") != c.rest {
				t.Errorf("first %v, then %v; want %s, then %s", got.First, rest, c.first, c.rest)
			}
		})
	}
}
