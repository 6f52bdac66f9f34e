package report

import "github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"

// sizeOf is at least the number of bytes that the JSON of the reference has. Writing thousands of
// references only to measure them would take longer than everything else.
func sizeOf(r *v1alpha1.ReportedReference) int {
	const names = 300 // of the fields, with quotes, brackets, the number and the time
	n := names
	for _, s := range []string{r.Image, string(r.Class), string(r.Change), string(r.State), r.ServedBy, r.Digest,
		r.Message} {
		n += quotedLen(s)
	}
	for _, list := range [][]string{r.Owners, r.Pools, r.Before, r.After} {
		for _, s := range list {
			n += quotedLen(s) + 1
		}
	}
	return n
}

func sizeOfGap(g v1alpha1.UnreadSource) int {
	const names = 32
	return names + quotedLen(g.Source) + quotedLen(g.Message)
}

func sizeOfGaps(list []v1alpha1.UnreadSource) int {
	n := 0
	for _, g := range list {
		n += sizeOfGap(g)
	}
	return n
}

// quotedLen is at least the length of the JSON of a string: encoding/json writes <, >, & and the
// line separators as \u003c.
func quotedLen(s string) int {
	n := 2 + len(s)
	for _, c := range []byte(s) {
		switch {
		case c == '<' || c == '>' || c == '&' || c < ' ':
			n += 5
		case c == '"' || c == '\\':
			n++
		case c == 0xe2: // the first byte of U+2028 and U+2029, which have three
			n += 3
		}
	}
	return n
}
