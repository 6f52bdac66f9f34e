//go:build lab

package crash

import (
	"context"
	"testing"
)

// TestRecord is the run without a fault.
func TestRecord(t *testing.T) {
	out, err := run(context.Background(), trial{})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range out.writes {
		t.Log(w)
	}
	for _, r := range stand.proxy.Used() {
		t.Log(r)
	}
	t.Log(out.took)
	for _, w := range out.wrongs {
		t.Error(w)
	}
}
