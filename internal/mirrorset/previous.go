package mirrorset

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"

	configv1 "github.com/openshift/api/config/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// lists are those of the two mirror sets of a rollout.
type lists struct {
	Digest []v1alpha1.ImageMirrors `json:"digest,omitempty"`
	Tag    []v1alpha1.ImageMirrors `json:"tag,omitempty"`
}

// maxEncoded is what the record has room for, and what is read back at most, in bytes.
const (
	maxEncoded = 64 << 10
	maxDecoded = 8 << 20
)

// Encode packs the lists of the two sets into a text for the record: gzip'd JSON in base64. It is empty when there is neither, and an
// error when they do not fit in 64 KiB.
func Encode(digest *configv1.ImageDigestMirrorSet, tag *configv1.ImageTagMirrorSet) (string, error) {
	var l lists
	if digest != nil {
		for _, m := range digest.Spec.ImageDigestMirrors {
			l.Digest = append(l.Digest, item(m.Source, m.Mirrors, m.MirrorSourcePolicy))
		}
	}
	if tag != nil {
		for _, m := range tag.Spec.ImageTagMirrors {
			l.Tag = append(l.Tag, item(m.Source, m.Mirrors, m.MirrorSourcePolicy))
		}
	}
	if len(l.Digest)+len(l.Tag) == 0 {
		return "", nil
	}
	text, err := json.Marshal(l)
	if err != nil {
		return "", err
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(text); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	out := base64.StdEncoding.EncodeToString(packed.Bytes())
	if len(out) > maxEncoded {
		return "", fmt.Errorf("the present mirror sets take %d bytes to remember, and there is room for %d", len(out), maxEncoded)
	}
	return out, nil
}

func item(source string, mirrors []configv1.ImageMirror, policy configv1.MirrorSourcePolicy) v1alpha1.ImageMirrors {
	m := v1alpha1.ImageMirrors{Source: source, MirrorSourcePolicy: v1alpha1.MirrorSourcePolicy(policy)}
	for _, s := range mirrors {
		m.Mirrors = append(m.Mirrors, string(s))
	}
	return m
}

// Earlier is the rollout as it would be if its spec wanted what Encode has packed.
func Earlier(r *v1alpha1.SafeMirrorRollout, packed string) (*v1alpha1.SafeMirrorRollout, error) {
	out := r.DeepCopy()
	out.Spec.ImageDigestMirrors, out.Spec.ImageTagMirrors = nil, nil
	if packed == "" {
		return out, nil
	}
	raw, err := base64.StdEncoding.DecodeString(packed)
	if err != nil {
		return nil, fmt.Errorf("status.record.previous is not base64: %w", err)
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("status.record.previous is not gzip: %w", err)
	}
	var l lists
	if err := json.NewDecoder(io.LimitReader(unpacked, maxDecoded)).Decode(&l); err != nil {
		return nil, fmt.Errorf("status.record.previous holds no mirror sets: %w", err)
	}
	out.Spec.ImageDigestMirrors, out.Spec.ImageTagMirrors = l.Digest, l.Tag
	return out, nil
}
