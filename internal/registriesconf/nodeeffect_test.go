package registriesconf

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	opv1 "github.com/openshift/api/operator/v1"
)

// TestUnsafeChangeVectors checks the rules on testdata/drain_vectors.json: pairs of registries.conf
// with the verdict of the MCD. The names say which rule makes it drain.
func TestUnsafeChangeVectors(t *testing.T) {
	raw, err := os.ReadFile("testdata/drain_vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name, Old, New string
		Drain          bool
	}
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	item := regexp.MustCompile(`rule \d`)
	seen := map[string]bool{}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			verdict, why, err := NodeEffectOf(Files{Main: []byte(v.Old)}, Files{Main: []byte(v.New)}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := verdict == EffectDrain; got != v.Drain {
				t.Errorf("drain: got %t (%s), want %t", got, why, v.Drain)
			}
			if want := item.FindString(v.Name); item.FindString(why) != want {
				t.Errorf("the reason is %q, want %q", why, want)
			}
			seen[item.FindString(v.Name)] = true
		})
	}
	for _, name := range []string{"", "rule 1", "rule 2", "rule 3", "rule 4", "rule 5", "rule 6", "rule 7"} {
		if !seen[name] {
			t.Errorf("no vector for %q", name)
		}
	}
}

func TestNodeEffectPolicies(t *testing.T) {
	policy := func(path string, types ...opv1.NodeDisruptionPolicyStatusActionType) opv1.NodeDisruptionPolicyStatusFile {
		f := opv1.NodeDisruptionPolicyStatusFile{Path: path}
		for _, a := range types {
			f.Actions = append(f.Actions, opv1.NodeDisruptionPolicyStatusAction{Type: a})
		}
		return f
	}
	list := func(files ...opv1.NodeDisruptionPolicyStatusFile) []opv1.NodeDisruptionPolicyStatusFile {
		return append([]opv1.NodeDisruptionPolicyStatusFile{policy("/var/lib/kubelet/config.json",
			opv1.NoneStatusAction)}, files...)
	}
	const safe, unsafe = "[[registry]]\nlocation='a.io'\n[[registry.mirror]]\nlocation='m.io'\npull-from-mirror='digest-only'", "[[registry]]\nlocation='a.io'\nblocked=true"
	cases := map[string]struct {
		policies []opv1.NodeDisruptionPolicyStatusFile
		new      string
		want     NodeEffect
		why      string
	}{
		"default, safe":      {nil, safe, EffectReload, "counts as safe"},
		"default, unsafe":    {nil, unsafe, EffectDrain, "rule 7: the entry for a.io is new"},
		"default, no change": {nil, "", EffectNone, "does not change"},
		"no change beats every policy": {list(policy(RegistriesPath, opv1.RebootStatusAction)), "", EffectNone,
			"does not change"},
		"special, unsafe": {list(policy(RegistriesPath, opv1.SpecialStatusAction)), unsafe, EffectDrain,
			"rule 7"},
		"special, safe": {list(policy(RegistriesPath, opv1.SpecialStatusAction)), safe, EffectReload,
			"safe"},
		"reload whatever it is": {list(policy(RegistriesPath, opv1.ReloadStatusAction)), unsafe, EffectReload,
			RegistriesPath + " says reload"},
		"restart": {list(policy(RegistriesPath, opv1.DaemonReloadStatusAction,
			opv1.RestartStatusAction)), unsafe, EffectReload, "restart"},
		"drain and reload": {list(policy(RegistriesPath, opv1.ReloadStatusAction, opv1.DrainStatusAction)),
			safe, EffectDrain, "says Drain"},
		"reboot": {list(policy(RegistriesPath, opv1.RebootStatusAction)), safe, EffectReboot,
			"says Reboot"},
		"none": {list(policy(RegistriesPath, opv1.NoneStatusAction)), unsafe, EffectNone,
			"says None"},
		"no actions": {list(policy(RegistriesPath)), unsafe, EffectNone, "says None"},
		"no policy": {list(policy(RegistriesPath+".d", opv1.NoneStatusAction)), safe, EffectReboot,
			"no node disruption policy"},
		"empty list": {[]opv1.NodeDisruptionPolicyStatusFile{}, safe, EffectReboot,
			"no node disruption policy"},
		"by directory": {list(policy("/etc/containers", opv1.NoneStatusAction)), unsafe, EffectNone,
			"/etc/containers says"},
		"the file beats the directory": {list(policy(RegistriesPath, opv1.DrainStatusAction),
			policy("/etc/containers", opv1.NoneStatusAction)), safe, EffectDrain, "Drain"},
		"the longer directory wins": {list(policy("/etc", opv1.RebootStatusAction),
			policy("/etc/containers/", opv1.ReloadStatusAction)), safe, EffectReload, "/etc/containers/ says"},
		"the first of equals wins": {list(policy(RegistriesPath, opv1.DrainStatusAction),
			policy(RegistriesPath, opv1.RebootStatusAction)), safe, EffectDrain, "Drain"},
		"half a name is no directory": {list(policy("/etc/containers/reg", opv1.NoneStatusAction)), safe, EffectReboot,
			"no node disruption policy"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, why, err := NodeEffectOf(Files{}, Files{Main: []byte(tc.new)}, tc.policies)
			if err != nil {
				t.Fatal(err)
			}
			if got != tc.want || !strings.Contains(why, tc.why) {
				t.Errorf("got %s (%s), want %s (…%s…)", got, why, tc.want, tc.why)
			}
		})
	}
}

func TestNodeEffectErrors(t *testing.T) {
	for name, tc := range map[string]struct{ old, new, want string }{
		"old": {"[[", "", "before the change"},
		"new": {"", "[[", "after the change"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := NodeEffectOf(Files{Main: []byte(tc.old)}, Files{Main: []byte(tc.new)}, nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want one with %q", err, tc.want)
			}
		})
	}
}
