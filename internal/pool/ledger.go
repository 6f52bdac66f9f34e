package pool

import (
	"encoding/json"
	"fmt"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// LedgerAnnotation is where a pool carries the note of the rollout that holds it.
const LedgerAnnotation = "safemirror.io/pause-record"

// ReadLedger returns the note on the pool, nil when there is none.
func ReadLedger(mcp *mcfgv1.MachineConfigPool) (*rollout.Ledger, error) {
	text, ok := mcp.Annotations[LedgerAnnotation]
	if !ok {
		return nil, nil
	}
	var l rollout.Ledger
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		return nil, fmt.Errorf("annotation %s of MachineConfigPool %s is not a pause ledger: %w", LedgerAnnotation, mcp.Name, err)
	}
	return &l, nil
}

func encode(l rollout.Ledger) (string, error) {
	text, err := json.Marshal(l)
	return string(text), err
}
