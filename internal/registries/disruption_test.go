package registries

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	opv1 "github.com/openshift/api/operator/v1"
)

// TestDrainVectors checks the rules on testdata/drain_vectors.json: pairs of registries.conf
// with the verdict of the MCD. The names say which rule makes it drain.
func TestDrainVectors(t *testing.T) {
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
	rule := regexp.MustCompile(`rule \d`)
	seen := map[string]bool{}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			verdict, why, err := Disruption(Files{Main: []byte(v.Old)}, Files{Main: []byte(v.New)}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := verdict == Drain; got != v.Drain {
				t.Errorf("drain: got %t (%s), want %t", got, why, v.Drain)
			}
			if want := rule.FindString(v.Name); rule.FindString(why) != want {
				t.Errorf("the reason is %q, want %q", why, want)
			}
			seen[rule.FindString(v.Name)] = true
		})
	}
	for _, name := range []string{"", "rule 1", "rule 2", "rule 3", "rule 4", "rule 5", "rule 6", "rule 7"} {
		if !seen[name] {
			t.Errorf("no vector for %q", name)
		}
	}
}

func TestDisruptionPolicies(t *testing.T) {
	policy := func(path string, types ...opv1.NodeDisruptionPolicyStatusActionType) opv1.NodeDisruptionPolicyStatusFile {
		f := opv1.NodeDisruptionPolicyStatusFile{Path: path}
		for _, a := range types {
			f.Actions = append(f.Actions, opv1.NodeDisruptionPolicyStatusAction{Type: a})
		}
		return f
	}
	list := func(files ...opv1.NodeDisruptionPolicyStatusFile) []opv1.NodeDisruptionPolicyStatusFile {
		return append([]opv1.NodeDisruptionPolicyStatusFile{policy("/var/lib/kubelet/config.json", opv1.NoneStatusAction)}, files...)
	}
	const safe, unsafe = "[[registry]]\nlocation='a.io'\n[[registry.mirror]]\nlocation='m.io'\npull-from-mirror='digest-only'", "[[registry]]\nlocation='a.io'\nblocked=true"
	cases := map[string]struct {
		policies []opv1.NodeDisruptionPolicyStatusFile
		new      string
		want     Verdict
		why      string
	}{
		"default, safe":                {nil, safe, Reload, "counts as safe"},
		"default, unsafe":              {nil, unsafe, Drain, "rule 7: the entry for a.io is new"},
		"default, no change":           {nil, "", None, "does not change"},
		"no change beats every policy": {list(policy(RegistriesPath, opv1.RebootStatusAction)), "", None, "does not change"},
		"special, unsafe":              {list(policy(RegistriesPath, opv1.SpecialStatusAction)), unsafe, Drain, "rule 7"},
		"special, safe":                {list(policy(RegistriesPath, opv1.SpecialStatusAction)), safe, Reload, "safe"},
		"reload whatever it is":        {list(policy(RegistriesPath, opv1.ReloadStatusAction)), unsafe, Reload, RegistriesPath + " says reload"},
		"restart":                      {list(policy(RegistriesPath, opv1.DaemonReloadStatusAction, opv1.RestartStatusAction)), unsafe, Reload, "restart"},
		"drain and reload":             {list(policy(RegistriesPath, opv1.ReloadStatusAction, opv1.DrainStatusAction)), safe, Drain, "says Drain"},
		"reboot":                       {list(policy(RegistriesPath, opv1.RebootStatusAction)), safe, Reboot, "says Reboot"},
		"none":                         {list(policy(RegistriesPath, opv1.NoneStatusAction)), unsafe, None, "says None"},
		"no actions":                   {list(policy(RegistriesPath)), unsafe, None, "says None"},
		"no policy":                    {list(policy(RegistriesPath+".d", opv1.NoneStatusAction)), safe, Reboot, "no node disruption policy"},
		"empty list":                   {[]opv1.NodeDisruptionPolicyStatusFile{}, safe, Reboot, "no node disruption policy"},
		"by directory":                 {list(policy("/etc/containers", opv1.NoneStatusAction)), unsafe, None, "/etc/containers says"},
		"the file beats the directory": {list(policy(RegistriesPath, opv1.DrainStatusAction), policy("/etc/containers", opv1.NoneStatusAction)), safe, Drain, "Drain"},
		"the longer directory wins":    {list(policy("/etc", opv1.RebootStatusAction), policy("/etc/containers/", opv1.ReloadStatusAction)), safe, Reload, "/etc/containers/ says"},
		"the first of equals wins":     {list(policy(RegistriesPath, opv1.DrainStatusAction), policy(RegistriesPath, opv1.RebootStatusAction)), safe, Drain, "Drain"},
		"half a name is no directory":  {list(policy("/etc/containers/reg", opv1.NoneStatusAction)), safe, Reboot, "no node disruption policy"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, why, err := Disruption(Files{}, Files{Main: []byte(tc.new)}, tc.policies)
			if err != nil {
				t.Fatal(err)
			}
			if got != tc.want || !strings.Contains(why, tc.why) {
				t.Errorf("got %s (%s), want %s (…%s…)", got, why, tc.want, tc.why)
			}
		})
	}
}

func TestDisruptionErrors(t *testing.T) {
	for name, tc := range map[string]struct{ old, new, want string }{
		"old": {"[[", "", "before the change"},
		"new": {"", "[[", "after the change"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Disruption(Files{Main: []byte(tc.old)}, Files{Main: []byte(tc.new)}, nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want one with %q", err, tc.want)
			}
		})
	}
}
