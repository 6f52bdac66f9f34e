package nodedisruption

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	opv1 "github.com/openshift/api/operator/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

const (
	drains  = `{"path":"/etc/containers/registries.conf","actions":[{"type":"Drain"}]}`
	reloads = `{"path":"/etc/containers/registries.conf","actions":[{"type":"Reload","reload":{"serviceName":"crio.service"}}]}`
	chrony  = `{"path":"/etc/chrony.conf","actions":[{"type":"None"}]}`
)

// cluster is a MachineConfiguration with these entries in its spec, the MCO's default in effect.
func cluster(entries ...string) *opv1.MachineConfiguration {
	mc := &opv1.MachineConfiguration{ObjectMeta: metav1.ObjectMeta{Name: Name}}
	for _, text := range entries {
		var f opv1.NodeDisruptionPolicySpecFile
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			panic(err)
		}
		mc.Spec.NodeDisruptionPolicy.Files = append(mc.Spec.NodeDisruptionPolicy.Files, f)
	}
	mc.Status.NodeDisruptionPolicyStatus.ClusterPolicies.Files = []opv1.NodeDisruptionPolicyStatusFile{
		{Path: registriesconf.RegistriesPath,
			Actions: []opv1.NodeDisruptionPolicyStatusAction{{Type: opv1.SpecialStatusAction}}},
	}
	return mc
}

func policyRecord(previous string) rollout.PolicyRecord {
	return rollout.PolicyRecord{Rollout: "shop", UID: "uid", Since: minicluster.StartTime, Why: "why", Prior: previous,
		Undo: "undo"}
}

func withRecord(mc *opv1.MachineConfiguration, record rollout.PolicyRecord) *opv1.MachineConfiguration {
	text, err := json.Marshal(record)
	if err != nil {
		panic(err)
	}
	mc.Annotations = map[string]string{PolicyRecordAnnotation: string(text), "other": "stays"}
	return mc
}

// applied is what is in the cluster after doing it.
func applied(t *testing.T, mc *opv1.MachineConfiguration,
	do func(client.Client, *opv1.MachineConfiguration) error) (*opv1.MachineConfiguration, error) {
	t.Helper()
	ctx, c := context.Background(), minicluster.Client(interceptor.Funcs{}, mc)
	if err := c.Get(ctx, client.ObjectKey{Name: Name}, mc); err != nil {
		t.Fatal(err)
	}
	failed := do(c, mc)
	out := &opv1.MachineConfiguration{}
	if err := c.Get(ctx, client.ObjectKey{Name: Name}, out); err != nil {
		t.Fatal(err)
	}
	return out, failed
}

func entries(mc *opv1.MachineConfiguration) (out []string) {
	for _, f := range mc.Spec.NodeDisruptionPolicy.Files {
		text, err := json.Marshal(f)
		if err != nil {
			panic(err)
		}
		out = append(out, string(text))
	}
	return out
}

func TestEnsure(t *testing.T) {
	cases := map[string]struct {
		have     *opv1.MachineConfiguration
		previous string
		want     []string
		refused  string
	}{
		"beside what others have": {have: cluster(chrony), want: []string{chrony, reloads}},
		"in the place of the user's": {have: cluster(drains, chrony), previous: drains,
			want: []string{reloads, chrony}},
		"where there is none": {have: cluster(), want: []string{reloads}},
		"a second time": {have: withRecord(cluster(chrony, reloads), policyRecord(drains)),
			previous: drains, want: []string{chrony, reloads}},
		"the policy record was taken off": {have: cluster(chrony, reloads), previous: drains,
			want: []string{chrony, reloads}},
		"the user's has changed since": {have: cluster(drains), want: []string{drains},
			refused: "has changed its policy"},
		"another rollout's is there": {have: withRecord(cluster(reloads), rollout.PolicyRecord{Rollout: "books"}),
			want: []string{reloads}, refused: "SafeMirrorRollout books"},
		"a note that nobody can read": {have: func() *opv1.MachineConfiguration {
			mc := cluster()
			mc.Annotations = map[string]string{PolicyRecordAnnotation: "?"}
			return mc
		}(), refused: "is not a disruption policy record"},
		"the user's goes away meanwhile": {have: cluster(), previous: drains, refused: "has changed its policy"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := applied(t, c.have, func(cl client.Client, mc *opv1.MachineConfiguration) error {
				return Ensure(context.Background(), cl, mc, policyRecord(c.previous))
			})
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("error %v, want %q", err, c.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, entries(got)); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
			want := policyRecord(c.previous)
			if record, err := ReadPolicyRecord(got); err != nil || record == nil || *record != want {
				t.Errorf("policy record %+v, %v, want %+v", record, err, want)
			}
		})
	}
}

func TestRestore(t *testing.T) {
	cases := map[string]struct {
		have *opv1.MachineConfiguration
		want []string
	}{
		"the user's comes back": {withRecord(cluster(chrony, reloads), policyRecord(drains)),
			[]string{chrony, drains}},
		"there was none": {withRecord(cluster(reloads, chrony), policyRecord("")),
			[]string{chrony}},
		"there was none of anybody":            {withRecord(cluster(reloads), policyRecord("")), nil},
		"somebody has changed ours: his stays": {withRecord(cluster(drains), policyRecord("")), []string{drains}},
		"somebody has taken ours away":         {withRecord(cluster(chrony), policyRecord(drains)), []string{chrony}},
		"it was restored before":               {cluster(drains), []string{drains}},
		"another rollout's is nobody's business": {withRecord(cluster(reloads), rollout.PolicyRecord{Rollout: "books"}),
			[]string{reloads}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := applied(t, c.have, func(cl client.Client, mc *opv1.MachineConfiguration) error {
				return Restore(context.Background(), cl, mc, "shop")
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, entries(got), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
			if record, err := ReadPolicyRecord(got); err != nil || (record != nil && record.Rollout == "shop") {
				t.Errorf("policy record %+v, %v", record, err)
			}
			if c.have.Annotations["other"] != got.Annotations["other"] {
				t.Error("another annotation is lost")
			}
		})
	}
	t.Run("what cannot be restored stays", func(t *testing.T) {
		got, err := applied(t, withRecord(cluster(reloads), policyRecord("?")),
			func(cl client.Client, mc *opv1.MachineConfiguration) error {
				return Restore(context.Background(), cl, mc, "shop")
			})
		if record, _ := ReadPolicyRecord(got); err == nil || record == nil {
			t.Errorf("error %v, policy record %+v", err, record)
		}
	})
}

// Between the read and the write somebody else adds an entry: it is not lost, the write is refused.
func TestConcurrentEntryIsKept(t *testing.T) {
	for name, do := range map[string]func(client.Client, *opv1.MachineConfiguration) error{
		"ensure": func(c client.Client, mc *opv1.MachineConfiguration) error {
			return Ensure(context.Background(), c, mc, policyRecord(drains))
		},
		"restore": func(c client.Client, mc *opv1.MachineConfiguration) error {
			return Restore(context.Background(), c, mc, "shop")
		},
	} {
		t.Run(name, func(t *testing.T) {
			have := cluster(drains)
			if name == "restore" {
				have = withRecord(cluster(reloads), policyRecord(drains))
			}
			got, err := applied(t, have, func(c client.Client, mc *opv1.MachineConfiguration) error {
				other := mc.DeepCopy()
				other.Spec.NodeDisruptionPolicy.Files = append(other.Spec.NodeDisruptionPolicy.Files,
					cluster(chrony).Spec.NodeDisruptionPolicy.Files...)
				if err := c.Update(context.Background(), other); err != nil {
					t.Fatal(err)
				}
				return do(c, mc)
			})
			if err == nil || len(entries(got)) != 2 || entries(got)[1] != chrony {
				t.Errorf("error %v, entries %v", err, entries(got))
			}
			var refused *NotOwnedError
			if errors.As(err, &refused) {
				t.Errorf("refused for another reason: %v", err)
			}
		})
	}
}

func TestFromMachineConfiguration(t *testing.T) {
	effective := func(mc *opv1.MachineConfiguration,
		actions ...opv1.NodeDisruptionPolicyStatusAction) *opv1.MachineConfiguration {
		mc.Status.NodeDisruptionPolicyStatus.ClusterPolicies.Files[0].Actions = actions
		return mc
	}
	reload := opv1.NodeDisruptionPolicyStatusAction{Type: opv1.ReloadStatusAction,
		Reload: &opv1.ReloadService{ServiceName: crioService}}
	restart := opv1.NodeDisruptionPolicyStatusAction{Type: opv1.RestartStatusAction,
		Restart: &opv1.RestartService{ServiceName: crioService}}
	const nobody = "nobody that the API server knows of"
	own, others := policyRecord(drains), policyRecord(drains)
	others.Rollout = "books"
	cases := map[string]struct {
		have *opv1.MachineConfiguration
		want rollout.NodeDisruptionPolicy
	}{
		"the default": {cluster(),
			rollout.NodeDisruptionPolicy{Effective: "a drain for most changes, and the reload of crio.service"}},
		"the user's drains": {effective(cluster(drains),
			opv1.NodeDisruptionPolicyStatusAction{Type: opv1.DrainStatusAction}),
			rollout.NodeDisruptionPolicy{Entry: drains, Effective: "Drain"}},
		"ours": {withRecord(effective(cluster(reloads), reload), own),
			rollout.NodeDisruptionPolicy{Entry: reloads, Ours: true, Reloads: true,
				Effective: "the reload of crio.service", Record: &own}},
		"another rollout's": {withRecord(effective(cluster(reloads), reload), others),
			rollout.NodeDisruptionPolicy{Entry: reloads, Ours: true, Reloads: true,
				Effective: "the reload of crio.service", ForeignOwner: "books"}},
		"the user's restarts, and reloads as well": {effective(cluster(), restart, reload),
			rollout.NodeDisruptionPolicy{Effective: "the restart of crio.service, then the reload of crio.service"}},
		"an older MCO": {&opv1.MachineConfiguration{ObjectMeta: metav1.ObjectMeta{Name: Name}},
			rollout.NodeDisruptionPolicy{Unsupported: Unsupported}},
		"nothing covers the file": {func() *opv1.MachineConfiguration {
			mc := cluster()
			mc.Status.NodeDisruptionPolicyStatus.ClusterPolicies.Files[0].Path = "/etc/chrony.conf"
			return mc
		}(), rollout.NodeDisruptionPolicy{Effective: "a drain and a reboot"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.want.ChangedBy = nobody
			got, err := FromMachineConfiguration(c.have, "shop")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("policy (-want +got):\n%s", diff)
			}
		})
	}
}

// Who has changed the entry last is said by name.
func TestChangedBy(t *testing.T) {
	at := func(minutes int) *metav1.Time {
		return &metav1.Time{Time: minicluster.StartTime.Add(time.Duration(minutes) * time.Minute)}
	}
	of := func(manager string, minutes int, fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, Time: at(minutes), FieldsV1: metav1.NewFieldsV1(fields)}
	}
	const path = `{"f:spec":{"f:nodeDisruptionPolicy":{"f:files":{"k:{\"path\":\"/etc/containers/registries.conf\"}":{"f:actions":{}}}}}}`
	mc := cluster(drains)
	mc.ManagedFields = []metav1.ManagedFieldsEntry{
		of("operator", 1, path), of("argocd", 2, path), of("kubectl", 3, `{"f:spec":{"f:logLevel":{}}}`),
		{Manager: "machine-config-operator", Subresource: "status", Time: at(4), FieldsV1: metav1.NewFieldsV1(path)},
	}
	if got := changedBy(mc); got != "argocd" {
		t.Errorf("changed by %s, want argocd", got)
	}
	mc.ManagedFields = mc.ManagedFields[2:]
	if got := changedBy(mc); got != "kubectl" {
		t.Errorf("taken away by %s, want kubectl", got)
	}
}
