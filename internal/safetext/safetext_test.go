package safetext_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"sigs.k8s.io/yaml"

	"github.com/safe-mirror/safe-mirror-operator/internal/safetext"
)

func TestClean(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain text is unchanged", "node w1: 2 pods\n\tquay.io/acme/app:v1\n", "node w1: 2 pods\n\tquay.io/acme/app:v1\n"},
		{"letters of other scripts are unchanged", "naïve 名前 → ✓", "naïve 名前 → ✓"},
		{"colour", "a\x1b[31mb", `a\u001b[31mb`},
		{"title of the window", "\x1b]0;owned\a", `\u001b]0;owned\u0007`},
		{"carriage return overwrites the line", "held\rdone", `held\u000ddone`},
		{"backspace and delete", "a\b\x7f", `a\u0008\u007f`},
		{"C1 CSI", "a\u009b31m", `a\u009b31m`},
		{"right to left override", "shop\u202ecod.exe", `shop\u202ecod.exe`},
		{"isolates, zero width, byte order mark", "\u2066a\u200b\ufeff", `\u2066a\u200b\ufeff`},
		{"line and paragraph separator", "a\u2028b\u2029", `a\u2028b\u2029`},
		{"tag character above U+FFFF", "a\U000e0041", `a\udb40\udc41`},
		{"bytes that are not UTF-8", "a\x9b31m\xff", `a\x9b31m\xff`},
		{"replacement character of a decoder", "a\ufffdb\x1b", "a\ufffdb" + `\u001b`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := safetext.Clean(c.in); got != c.want {
				t.Errorf("Clean(%q) = %q, want %q", c.in, got, c.want)
			}
		})
	}
}

// encoding/json escapes ESC and leaves U+202E and C1 as they are; the writer escapes those, and the
// decoder reads the same values.
func TestJSONKeepsItsValues(t *testing.T) {
	want := map[string]string{"image": "quay.io/\x1b[31m\u009b\u202e\x7f\U000e0041:v1\n"}
	var out bytes.Buffer
	if err := json.NewEncoder(safetext.NewWriter(&out)).Encode(want); err != nil {
		t.Fatal(err)
	}
	checkSafe(t, out.String())
	var got map[string]string
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got["image"] != want["image"] {
		t.Errorf("decoded %q, want %q", got["image"], want["image"])
	}
}

// A YAML document stays a document. Characters that YAML leaves as they are, such as U+202E, are
// read as their escapes.
func TestYAMLStaysValid(t *testing.T) {
	want := map[string]string{"image": "quay.io/\x1b[31m\u009b\x7f\ufeff\uffff:v1\n", "name": "shop\u202e\U000e0041"}
	if data, err := yaml.Marshal(want); err == nil {
		t.Errorf("yaml.Marshal encodes control characters by itself now, so MarshalYAML is not needed:\n%q", data)
	}
	data, err := safetext.MarshalYAML(want)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := yaml.Unmarshal(data, &got); err != nil || !maps.Equal(got, want) {
		t.Errorf("decoded %q (%v), want %q", got, err, want)
	}
	clean := safetext.Clean(string(data))
	checkSafe(t, clean)
	got = nil
	if err := yaml.Unmarshal([]byte(clean), &got); err != nil || got["image"] != want["image"] || len(got) != 2 {
		t.Errorf("decoded %q (%v) from\n%s", got, err, clean)
	}
}

func TestWriterKeepsCharactersThatAreSplit(t *testing.T) {
	const text = "名\u202e前\U000e0041 ok\n"
	var out bytes.Buffer
	w := safetext.NewWriter(&out)
	for i := range len(text) {
		if n, err := w.Write([]byte{text[i]}); n != 1 || err != nil {
			t.Fatalf("byte %d: n = %d, err = %v", i, n, err)
		}
	}
	if got, want := out.String(), safetext.Clean(text); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

type brokenPipe struct{}

var errPipe = errors.New("broken pipe")

func (brokenPipe) Write([]byte) (int, error) { return 0, errPipe }

func TestWriterReturnsErrors(t *testing.T) {
	if _, err := safetext.NewWriter(brokenPipe{}).Write([]byte("a")); !errors.Is(err, errPipe) {
		t.Errorf("err = %v, want %v", err, errPipe)
	}
}

func FuzzClean(f *testing.F) {
	for _, seed := range []string{
		"", "quay.io/acme/app:v1", "\x1b[2J", "a\u202eb", "\u009b", "\xff\xfe", "\U000e0041", `\u001b`,
		"\ufffd", "名\n\t",
	} {
		f.Add(seed, 1)
	}
	f.Fuzz(func(t *testing.T, s string, split int) {
		clean := safetext.Clean(s)
		checkSafe(t, clean)
		if again := safetext.Clean(clean); again != clean {
			t.Errorf("Clean is not idempotent: %q, then %q", clean, again)
		}
		if !utf8.ValidString(s) {
			return
		}
		// Escapes are those of JSON: with the text's own backslashes and quotes escaped, a JSON
		// decoder reads the text again.
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`).Replace(s) + `"`
		var got string
		if err := json.Unmarshal([]byte(safetext.Clean(quoted)), &got); err != nil || got != s {
			t.Errorf("JSON decodes %q (%v), want %q", got, err, s)
		}
		var out bytes.Buffer
		w := safetext.NewWriter(&out)
		at := max(min(split, len(s)), 0)
		_, errFirst := w.Write([]byte(s[:at]))
		_, errSecond := w.Write([]byte(s[at:]))
		if errFirst != nil || errSecond != nil || out.String() != clean {
			t.Errorf("written in two parts %q (%v, %v), want %q", out.String(), errFirst, errSecond, clean)
		}
	})
}

func checkSafe(t *testing.T, s string) {
	t.Helper()
	if !utf8.ValidString(s) {
		t.Errorf("%q is not valid UTF-8", s)
	}
	for _, r := range s {
		if !unicode.IsGraphic(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Cf, r) {
			t.Errorf("%q contains %U", s, r)
		}
	}
}
