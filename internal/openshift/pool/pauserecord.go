package pool

import (
	"encoding/json"
	"fmt"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// PauseRecordAnnotation is where a pool carries the note of the rollout that holds it.
const PauseRecordAnnotation = "safemirror.io/pause-record"

// ReadPauseRecord returns the note on the pool, nil when there is none.
func ReadPauseRecord(mcp *mcfgv1.MachineConfigPool) (*rollout.PauseRecord, error) {
	text, ok := mcp.Annotations[PauseRecordAnnotation]
	if !ok {
		return nil, nil
	}
	var record rollout.PauseRecord
	if err := json.Unmarshal([]byte(text), &record); err != nil {
		return nil, fmt.Errorf("annotation %s of MachineConfigPool %s is not a pause pause record: %w",
			PauseRecordAnnotation,
			mcp.Name, err)
	}
	return &record, nil
}

func encode(record rollout.PauseRecord) (string, error) {
	text, err := json.Marshal(record)
	return string(text), err
}
