package inventory

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/vincent-petithory/dataurl"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// manifestDir is where the kubelet looks for static pods (staticPodPath in the kubelet.yaml that
// the MCO renders).
const manifestDir = "/etc/kubernetes/manifests"

// ignitionConfig is the part of an Ignition configuration that is read here. It is the same in all
// versions of the format.
type ignitionConfig struct {
	Storage ignitionStorage `json:"storage"`
}

type ignitionStorage struct {
	Files []ignitionFile `json:"files"`
}

type ignitionFile struct {
	Path     string           `json:"path"`
	Contents ignitionContents `json:"contents"`
}

type ignitionContents struct {
	Source      string `json:"source"`
	Compression string `json:"compression"`
}

// staticPods are the pods that an Ignition configuration makes the kubelet of a node start by
// itself: kube-rbac-proxy-crio everywhere, on bare metal also coredns, keepalived and haproxy. A
// file that is none stops nothing; the error tells of the first.
func staticPods(raw []byte) ([]corev1.Pod, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var config ignitionConfig
	if err := json.Unmarshal(raw, &config); err != nil {
		return nil, fmt.Errorf("spec.config is not an Ignition configuration: %w", err)
	}
	var out []corev1.Pod
	var first error
	for _, f := range config.Storage.Files {
		if path.Dir(f.Path) != manifestDir {
			continue
		}
		text, err := f.Contents.decode()
		var p corev1.Pod
		if err == nil {
			err = yaml.Unmarshal(text, &p)
		}
		if err != nil {
			if first == nil {
				first = fmt.Errorf("static pod %s: %w", f.Path, err)
			}
			continue
		}
		out = append(out, p)
	}
	return out, first
}

// maxManifest bounds what one manifest may unpack to.
const maxManifest = 1 << 20

// decode returns the content of a file: a data URL, which may be gzipped.
func (c ignitionContents) decode() ([]byte, error) {
	if c.Source == "" {
		return nil, nil
	}
	url, err := dataurl.DecodeString(c.Source)
	if err != nil {
		return nil, fmt.Errorf("contents.source is not a data URL: %w", err)
	}
	var content io.Reader = bytes.NewReader(url.Data)
	switch c.Compression {
	case "":
	case "gzip":
		if content, err = gzip.NewReader(content); err != nil {
			return nil, fmt.Errorf("contents.source is not gzip: %w", err)
		}
	default:
		return nil, fmt.Errorf("contents.compression %q: use gzip or none", c.Compression)
	}
	out, err := io.ReadAll(io.LimitReader(content, maxManifest+1))
	if err != nil {
		return nil, fmt.Errorf("contents.source: %w", err)
	}
	if len(out) > maxManifest {
		return nil, errors.New("unpacks to more than 1 MiB, which no pod manifest needs")
	}
	return out, nil
}
