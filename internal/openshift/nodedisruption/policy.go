package nodedisruption

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	opv1 "github.com/openshift/api/operator/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// PolicyRecordAnnotation is where MachineConfiguration/cluster carries the note of the rollout
// whose policy it has.
const PolicyRecordAnnotation = "safemirror.io/node-disruption-policy-record"

// Name is that of the only MachineConfiguration.
const Name = "cluster"

const crioService = "crio.service"

// Unsupported says why a cluster that has no such object, or whose Machine Config Operator does not
// fill its status in, cannot be asked.
const Unsupported = "its Machine Config Operator knows no node disruption policies (OpenShift 4.17 and later do)"

// reloadEntry is what we write: a change of the file reloads CRI-O, and nothing else.
func reloadEntry() opv1.NodeDisruptionPolicySpecFile {
	return opv1.NodeDisruptionPolicySpecFile{Path: registriesconf.RegistriesPath,
		Actions: []opv1.NodeDisruptionPolicySpecAction{
			{Type: opv1.ReloadSpecAction, Reload: &opv1.ReloadService{ServiceName: crioService}},
		}}
}

// ReadPolicyRecord returns the note on the object, nil when there is none.
func ReadPolicyRecord(mc *opv1.MachineConfiguration) (*rollout.PolicyRecord, error) {
	text, ok := mc.Annotations[PolicyRecordAnnotation]
	if !ok {
		return nil, nil
	}
	var record rollout.PolicyRecord
	if err := json.Unmarshal([]byte(text), &record); err != nil {
		return nil, fmt.Errorf("annotation %s of MachineConfiguration %s is not a disruption policy record: %w",
			PolicyRecordAnnotation, mc.Name, err)
	}
	return &record, nil
}

// FromMachineConfiguration is the object as the core sees it. name is that of the rollout whose
// note is its own.
func FromMachineConfiguration(mc *opv1.MachineConfiguration, name string) (rollout.NodeDisruptionPolicy, error) {
	record, err := ReadPolicyRecord(mc)
	if err != nil {
		return rollout.NodeDisruptionPolicy{}, err
	}
	p := rollout.NodeDisruptionPolicy{Generation: mc.Generation, ObservedGeneration: mc.Status.ObservedGeneration,
		ChangedBy: changedBy(mc)}
	switch {
	case record != nil && record.Rollout == name:
		p.Record = record
	case record != nil:
		p.ForeignOwner = record.Rollout
	}
	if have := registriesEntry(mc); have != nil {
		if p.Entry, err = encode(*have); err != nil {
			return p, err
		}
		ours, err := encode(reloadEntry())
		if err != nil {
			return p, err
		}
		p.Ours = p.Entry == ours
	}
	effective := mc.Status.NodeDisruptionPolicyStatus.ClusterPolicies.Files
	if len(effective) == 0 {
		p.Unsupported = Unsupported
		return p, nil
	}
	p.Reloads, p.Effective = describeEffective(effective)
	return p, nil
}

// describeEffective is what the policies in effect do for the file. Where none covers it the MCO
// reboots.
func describeEffective(files []opv1.NodeDisruptionPolicyStatusFile) (reloads bool, description string) {
	policy, covered := registriesconf.PolicyFor(registriesconf.RegistriesPath, files)
	if !covered {
		return false, "a drain and a reboot"
	}
	var out []string
	for _, a := range policy.Actions {
		switch {
		case a.Type == opv1.SpecialStatusAction:
			out = append(out, "a drain for most changes, and the reload of crio.service")
		case a.Reload != nil:
			out = append(out, "the reload of "+string(a.Reload.ServiceName))
		case a.Restart != nil:
			out = append(out, "the restart of "+string(a.Restart.ServiceName))
		default:
			out = append(out, string(a.Type))
		}
	}
	return len(policy.Actions) == 1 && policy.Actions[0].Reload != nil &&
		policy.Actions[0].Reload.ServiceName == crioService, strings.Join(out, ", then ")
}

func registriesEntry(mc *opv1.MachineConfiguration) *opv1.NodeDisruptionPolicySpecFile {
	files := mc.Spec.NodeDisruptionPolicy.Files
	i := slices.IndexFunc(files, func(f opv1.NodeDisruptionPolicySpecFile) bool { return f.Path == registriesconf.RegistriesPath })
	if i < 0 {
		return nil
	}
	return &files[i]
}

func encode(f opv1.NodeDisruptionPolicySpecFile) (string, error) {
	text, err := json.Marshal(f)
	return string(text), err
}

// changedBy is the field manager that wrote the entry last, or, when nobody says that he owns it
// because it is gone, the one that wrote the spec last.
func changedBy(mc *opv1.MachineConfiguration) string {
	const key = `k:{\"path\":\"` + registriesconf.RegistriesPath + `\"}`
	who, spec := "", "nobody that the API server knows of"
	var at, specAt time.Time
	for _, f := range mc.ManagedFields {
		if f.Subresource != "" || f.FieldsV1 == nil || f.Time == nil {
			continue
		}
		raw := string(f.FieldsV1.GetRawBytes())
		if strings.Contains(raw, key) && !f.Time.Time.Before(at) {
			who, at = f.Manager, f.Time.Time
		}
		if strings.Contains(raw, `"f:spec"`) && !f.Time.Time.Before(specAt) {
			spec, specAt = f.Manager, f.Time.Time
		}
	}
	if who != "" {
		return who
	}
	return spec
}
