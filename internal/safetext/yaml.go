package safetext

import (
	"encoding/json"
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"
)

// MarshalYAML returns v as YAML. yaml.Marshal fails with "control characters are not allowed" when a
// string of v has DEL or a C1 control character, because it parses JSON that has them as they are.
// One image string of a tenant would then take the whole report away.
func MarshalYAML(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var out strings.Builder
	for _, r := range string(data) {
		// The YAML parser takes characters above U+FFFF as they are, and not as the two escapes of JSON.
		if safe(r) || r > 0xffff {
			out.WriteRune(r)
		} else {
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return yaml.JSONToYAML([]byte(out.String()))
}
