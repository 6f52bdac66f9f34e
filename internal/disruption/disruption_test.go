package disruption

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

	"github.com/safe-mirror/safe-mirror-operator/internal/registries"
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
		{Path: registries.RegistriesPath, Actions: []opv1.NodeDisruptionPolicyStatusAction{{Type: opv1.SpecialStatusAction}}},
	}
	return mc
}

func ledger(prior string) rollout.PolicyLedger {
	return rollout.PolicyLedger{Rollout: "shop", UID: "uid", Since: minicluster.Began, Why: "why", Prior: prior, Undo: "undo"}
}

func with(mc *opv1.MachineConfiguration, l rollout.PolicyLedger) *opv1.MachineConfiguration {
	text, err := json.Marshal(l)
	if err != nil {
		panic(err)
	}
	mc.Annotations = map[string]string{LedgerAnnotation: string(text), "other": "stays"}
	return mc
}

// after is what is in the cluster after doing it.
func after(t *testing.T, mc *opv1.MachineConfiguration, do func(client.Client, *opv1.MachineConfiguration) error) (*opv1.MachineConfiguration, error) {
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
		have    *opv1.MachineConfiguration
		prior   string
		want    []string
		refused string
	}{
		"beside what others have":      {have: cluster(chrony), want: []string{chrony, reloads}},
		"in the place of the user's":   {have: cluster(drains, chrony), prior: drains, want: []string{reloads, chrony}},
		"where there is none":          {have: cluster(), want: []string{reloads}},
		"a second time":                {have: with(cluster(chrony, reloads), ledger(drains)), prior: drains, want: []string{chrony, reloads}},
		"the ledger was taken off":     {have: cluster(chrony, reloads), prior: drains, want: []string{chrony, reloads}},
		"the user's has changed since": {have: cluster(drains), want: []string{drains}, refused: "has changed its policy"},
		"another rollout's is there":   {have: with(cluster(reloads), rollout.PolicyLedger{Rollout: "books"}), want: []string{reloads}, refused: "SafeMirrorRollout books"},
		"a note that nobody can read": {have: func() *opv1.MachineConfiguration {
			mc := cluster()
			mc.Annotations = map[string]string{LedgerAnnotation: "?"}
			return mc
		}(), refused: "is not a disruption ledger"},
		"the user's goes away meanwhile": {have: cluster(), prior: drains, refused: "has changed its policy"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := after(t, c.have, func(cl client.Client, mc *opv1.MachineConfiguration) error {
				return Ensure(context.Background(), cl, mc, ledger(c.prior))
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
			want := ledger(c.prior)
			if l, err := ReadLedger(got); err != nil || l == nil || *l != want {
				t.Errorf("ledger %+v, %v, want %+v", l, err, want)
			}
		})
	}
}

func TestRestore(t *testing.T) {
	cases := map[string]struct {
		have *opv1.MachineConfiguration
		want []string
	}{
		"the user's comes back":                  {with(cluster(chrony, reloads), ledger(drains)), []string{chrony, drains}},
		"there was none":                         {with(cluster(reloads, chrony), ledger("")), []string{chrony}},
		"there was none of anybody":              {with(cluster(reloads), ledger("")), nil},
		"somebody has changed ours: his stays":   {with(cluster(drains), ledger("")), []string{drains}},
		"somebody has taken ours away":           {with(cluster(chrony), ledger(drains)), []string{chrony}},
		"it was given back before":               {cluster(drains), []string{drains}},
		"another rollout's is nobody's business": {with(cluster(reloads), rollout.PolicyLedger{Rollout: "books"}), []string{reloads}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := after(t, c.have, func(cl client.Client, mc *opv1.MachineConfiguration) error {
				return Restore(context.Background(), cl, mc, "shop")
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, entries(got), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
			if l, err := ReadLedger(got); err != nil || (l != nil && l.Rollout == "shop") {
				t.Errorf("ledger %+v, %v", l, err)
			}
			if c.have.Annotations["other"] != got.Annotations["other"] {
				t.Error("another annotation is lost")
			}
		})
	}
	t.Run("what cannot be given back stays", func(t *testing.T) {
		got, err := after(t, with(cluster(reloads), ledger("?")), func(cl client.Client, mc *opv1.MachineConfiguration) error {
			return Restore(context.Background(), cl, mc, "shop")
		})
		if l, _ := ReadLedger(got); err == nil || l == nil {
			t.Errorf("error %v, ledger %+v", err, l)
		}
	})
}

// Between the read and the write somebody else adds an entry: it is not lost, the write is refused.
func TestNobodysEntryIsLost(t *testing.T) {
	for name, do := range map[string]func(client.Client, *opv1.MachineConfiguration) error{
		"ensure": func(c client.Client, mc *opv1.MachineConfiguration) error {
			return Ensure(context.Background(), c, mc, ledger(drains))
		},
		"restore": func(c client.Client, mc *opv1.MachineConfiguration) error {
			return Restore(context.Background(), c, mc, "shop")
		},
	} {
		t.Run(name, func(t *testing.T) {
			have := cluster(drains)
			if name == "restore" {
				have = with(cluster(reloads), ledger(drains))
			}
			got, err := after(t, have, func(c client.Client, mc *opv1.MachineConfiguration) error {
				other := mc.DeepCopy()
				other.Spec.NodeDisruptionPolicy.Files = append(other.Spec.NodeDisruptionPolicy.Files, cluster(chrony).Spec.NodeDisruptionPolicy.Files...)
				if err := c.Update(context.Background(), other); err != nil {
					t.Fatal(err)
				}
				return do(c, mc)
			})
			if err == nil || len(entries(got)) != 2 || entries(got)[1] != chrony {
				t.Errorf("error %v, entries %v", err, entries(got))
			}
			var refused *NotOurs
			if errors.As(err, &refused) {
				t.Errorf("refused for another reason: %v", err)
			}
		})
	}
}

func TestView(t *testing.T) {
	effective := func(mc *opv1.MachineConfiguration, actions ...opv1.NodeDisruptionPolicyStatusAction) *opv1.MachineConfiguration {
		mc.Status.NodeDisruptionPolicyStatus.ClusterPolicies.Files[0].Actions = actions
		return mc
	}
	reload := opv1.NodeDisruptionPolicyStatusAction{Type: opv1.ReloadStatusAction, Reload: &opv1.ReloadService{ServiceName: crio}}
	restart := opv1.NodeDisruptionPolicyStatusAction{Type: opv1.RestartStatusAction, Restart: &opv1.RestartService{ServiceName: crio}}
	const nobody = "nobody that the API server knows of"
	own, others := ledger(drains), ledger(drains)
	others.Rollout = "books"
	cases := map[string]struct {
		have *opv1.MachineConfiguration
		want rollout.Policy
	}{
		"the default":       {cluster(), rollout.Policy{Effective: "a drain for most changes, and the reload of crio.service"}},
		"the user's drains": {effective(cluster(drains), opv1.NodeDisruptionPolicyStatusAction{Type: opv1.DrainStatusAction}), rollout.Policy{Entry: drains, Effective: "Drain"}},
		"ours": {with(effective(cluster(reloads), reload), own),
			rollout.Policy{Entry: reloads, Ours: true, Reloads: true, Effective: "the reload of crio.service", Ledger: &own}},
		"another rollout's": {with(effective(cluster(reloads), reload), others),
			rollout.Policy{Entry: reloads, Ours: true, Reloads: true, Effective: "the reload of crio.service", Foreign: "books"}},
		"the user's restarts, and reloads as well": {effective(cluster(), restart, reload),
			rollout.Policy{Effective: "the restart of crio.service, then the reload of crio.service"}},
		"an older MCO": {&opv1.MachineConfiguration{ObjectMeta: metav1.ObjectMeta{Name: Name}}, rollout.Policy{Unsupported: Unsupported}},
		"nothing covers the file": {func() *opv1.MachineConfiguration {
			mc := cluster()
			mc.Status.NodeDisruptionPolicyStatus.ClusterPolicies.Files[0].Path = "/etc/chrony.conf"
			return mc
		}(), rollout.Policy{Effective: "a drain and a reboot"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.want.ChangedBy = nobody
			got, err := View(c.have, "shop")
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
		return &metav1.Time{Time: minicluster.Began.Add(time.Duration(minutes) * time.Minute)}
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
