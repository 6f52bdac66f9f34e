package registriesconf

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// file is one Ignition file entry; a nil source leaves contents out.
type file struct {
	path, source, compression string
	mode                      int
}

func percent(text string) string { return "data:," + url.PathEscape(text) }

func inBase64(data []byte) string {
	return "data:text/plain;charset=utf-8;base64," + base64.StdEncoding.EncodeToString(data)
}

func zipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return inBase64(b.Bytes())
}

func machineConfig(ignition string) *mcfgv1.MachineConfig {
	return &mcfgv1.MachineConfig{
		ObjectMeta: metav1.ObjectMeta{Name: "rendered-worker-1"},
		Spec:       mcfgv1.MachineConfigSpec{Config: runtime.RawExtension{Raw: []byte(ignition)}},
	}
}

func withFiles(files ...file) *mcfgv1.MachineConfig {
	var entries []map[string]any
	for _, f := range files {
		contents := map[string]any{}
		if f.source != "" {
			contents["source"] = f.source
		}
		if f.compression != "" {
			contents["compression"] = f.compression
		}
		entries = append(entries, map[string]any{"path": f.path, "mode": f.mode, "overwrite": true,
			"contents": contents})
	}
	raw, err := json.Marshal(map[string]any{"ignition": map[string]any{"version": "3.5.0"},
		"storage": map[string]any{"files": entries}})
	if err != nil {
		panic(err)
	}
	return machineConfig(string(raw))
}

func TestFromMachineConfig(t *testing.T) {
	const text = "[[registry]]\nlocation = \"quay.io/ünïcode%20\"\n"
	files := func(main string, dropIns map[string]string) Files {
		out := Files{DropIns: map[string][]byte{}}
		if main != "absent" {
			out.Main = []byte(main)
		}
		for name, content := range dropIns {
			out.DropIns[name] = []byte(content)
		}
		return out
	}
	cases := map[string]struct {
		mc   *mcfgv1.MachineConfig
		want Files
	}{
		"percent": {withFiles(file{path: RegistriesPath, source: percent(text)}), files(text, nil)},
		"base64": {withFiles(file{path: RegistriesPath, source: inBase64([]byte(text))}),
			files(text, nil)},
		"gzip": {withFiles(file{path: RegistriesPath, source: zipped(text), compression: "gzip"}),
			files(text, nil)},
		"null compression": {machineConfig(`{"storage":{"files":[{"path":"` + RegistriesPath +
			`","contents":{"source":"data:,x","compression":null}}]}}`), files("x", nil)},
		"no contents":      {withFiles(file{path: RegistriesPath}), files("", nil)},
		"other files only": {withFiles(file{path: "/etc/hosts", source: "http://not.read/"}), files("absent", nil)},
		"no ignition":      {machineConfig(""), files("absent", nil)},
		"the last file wins": {withFiles(file{path: RegistriesPath, source: percent("a")},
			file{path: RegistriesPath, source: percent("b")}), files("b", nil)},
		"drop-ins": {withFiles(file{path: DropInDir + "/01-x.conf", source: percent("x")},
			file{path: DropInDir + "/y.conf", source: percent("y")},
			file{path: DropInDir + "/deep/z.conf", source: percent("z")}), files("absent",
			map[string]string{"01-x.conf": "x", "y.conf": "y"})},
		"neighbours of names": {withFiles(file{path: RegistriesPath + ".bak", source: percent("x")},
			file{path: "/etc/containers/registries.d/x.yaml", source: percent("x")}), files("absent", nil)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := FromMachineConfig(tc.mc)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFromMachineConfigErrors(t *testing.T) {
	cases := map[string]struct {
		mc   *mcfgv1.MachineConfig
		want string
	}{
		"nil":            {nil, "no MachineConfig"},
		"not JSON":       {machineConfig("{"), "MachineConfig/rendered-worker-1 spec.config"},
		"remote content": {withFiles(file{path: RegistriesPath, source: "https://x/y"}), "not a data URL"},
		"unknown compression": {withFiles(file{path: RegistriesPath, source: percent("x"), compression: "zstd"}),
			`"zstd"`},
		"not gzip": {withFiles(file{path: RegistriesPath, source: percent("x"), compression: "gzip"}),
			"not gzip"},
		"truncated gzip": {withFiles(file{path: RegistriesPath,
			source: inBase64([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1}), compression: "gzip"}), "not gzip"},
		"gzip bomb": {withFiles(file{path: DropInDir + "/a.conf",
			source: zipped(strings.Repeat("#", maxContent+1)), compression: "gzip"}), DropInDir + "/a.conf"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := FromMachineConfig(tc.mc); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want one with %q", err, tc.want)
			}
		})
	}
}

// TestRenderedRoundTrip goes the whole way: objects, text, MachineConfig, configuration.
func TestRenderedRoundTrip(t *testing.T) {
	s := union(itms("acme", from("quay.io/acme", "m.local/acme")))
	text, err := Render([]byte(base), s)
	if err != nil {
		t.Fatal(err)
	}
	files, err := FromMachineConfig(withFiles(file{path: RegistriesPath, source: inBase64(text)},
		file{path: DropInDir + "/50-admin.conf", source: percent("[[registry]]\nlocation='quay.io/acme'")}))
	if err != nil {
		t.Fatal(err)
	}
	got, err := files.Config()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"quay.io/acme: tag mirrors [m.local/acme] -> no entry"}
	if diff := cmp.Diff(want, EffectiveDifferences(configOf(t, s), got)); diff != "" {
		t.Errorf("what the drop-in takes away (-want +got):\n%s", diff)
	}
}

func TestOtherDifferences(t *testing.T) {
	edit := func(mc *mcfgv1.MachineConfig, f func(*mcfgv1.MachineConfigSpec)) *mcfgv1.MachineConfig {
		f(&mc.Spec)
		return mc
	}
	plain := func() *mcfgv1.MachineConfig {
		return withFiles(file{path: RegistriesPath, source: percent("old")},
			file{path: "/etc/a", source: percent("a"), mode: 420})
	}
	cases := map[string]struct {
		old, new *mcfgv1.MachineConfig
		want     []string
	}{
		"nothing": {plain(), plain(), nil},
		"only registries.conf": {plain(),
			withFiles(file{path: "/etc/a", source: percent("a"), mode: 420},
				file{path: RegistriesPath, source: percent("new"), mode: 1}), nil},
		"registries.conf is new": {withFiles(), withFiles(file{path: RegistriesPath}), nil},
		"contents": {plain(), withFiles(file{path: "/etc/a", source: percent("b"), mode: 420}),
			[]string{"/etc/a"}},
		"mode": {plain(), withFiles(file{path: "/etc/a", source: percent("a"), mode: 384}),
			[]string{"/etc/a"}},
		"encoding alone": {plain(), withFiles(file{path: "/etc/a", source: inBase64([]byte("a")), mode: 420}),
			[]string{"/etc/a"}},
		"added and removed, sorted": {plain(),
			withFiles(file{path: "/z"}, file{path: "/b"}, file{path: DropInDir + "/01-image-searchRegistries.conf"}),
			[]string{"/b", "/etc/a", DropInDir + "/01-image-searchRegistries.conf", "/z"}},
		"spec fields": {plain(), edit(plain(), func(s *mcfgv1.MachineConfigSpec) {
			s.OSImageURL, s.BaseOSExtensionsContainerImage, s.FIPS, s.KernelType = "x", "y", true, "realtime"
			s.KernelArguments, s.Extensions = []string{"quiet"}, []string{"usbguard"}
		}), []string{"osImageURL", "baseOSExtensionsContainerImage", "kernelArguments", "extensions", "fips",
			"kernelType"}},
		"empty is absent, default is none": {edit(plain(),
			func(s *mcfgv1.MachineConfigSpec) { s.KernelType, s.KernelArguments = "default", []string{} }),
			plain(), nil},
		"order of kernel arguments": {
			edit(plain(), func(s *mcfgv1.MachineConfigSpec) { s.KernelArguments = []string{"a", "b"} }),
			edit(plain(), func(s *mcfgv1.MachineConfigSpec) { s.KernelArguments = []string{"b", "a"} }),
			[]string{"kernelArguments"}},
		"units, users and the rest": {
			machineConfig(`{"ignition":{"version":"3.2.0"},"systemd":{"units":[{"name":"crio.service","enabled":true},{"name":"same.service"}]},"passwd":{"users":[{"name":"core"}]},"storage":{"links":[],"disks":null},"new":{"x":null}}`),
			machineConfig(`{"ignition":{"version":"3.5.0"},"systemd":{"units":[{"name":"same.service","dropins":[]},{"name":"crio.service","enabled":false}]},"passwd":{"users":[{"name":"core","sshAuthorizedKeys":["k"]}]},"storage":{"directories":[{"path":"/d"}]},"kernelArguments":{"shouldExist":["x"]}}`),
			[]string{"unit crio.service", "ignition kernelArguments", "ignition storage.directories", "passwd"}},
		"no ignition on one side": {machineConfig(""), plain(), []string{"/etc/a"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := OtherDifferences(tc.old, tc.new)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("differences (-want +got):\n%s", diff)
			}
		})
	}
	for name, bad := range map[string]*mcfgv1.MachineConfig{"nil": nil, "not JSON": machineConfig("["),
		"a list": machineConfig("[]")} {
		t.Run(name, func(t *testing.T) {
			if _, err := OtherDifferences(bad, plain()); err == nil {
				t.Error("accepted as the old one")
			}
			if _, err := OtherDifferences(plain(), bad); err == nil {
				t.Error("accepted as the new one")
			}
		})
	}
}
