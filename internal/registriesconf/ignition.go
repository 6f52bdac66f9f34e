package registriesconf

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	"github.com/vincent-petithory/dataurl"
)

// ignition is the part of an Ignition configuration read here. The paths used are the same
// in all versions of the format, so no version of its library is needed.
type ignition struct {
	Storage struct {
		Files []ignitionFile `json:"files"`
	} `json:"storage"`
}

type ignitionFile struct {
	Path     string           `json:"path"`
	Contents ignitionResource `json:"contents"`
}

// ignitionResource is file content: a data URL, percent-encoded or base64, possibly gzipped.
type ignitionResource struct {
	Source      *string `json:"source"`
	Compression *string `json:"compression"`
}

func parseIgnition(mc *mcfgv1.MachineConfig) (ignition, error) {
	var out ignition
	if mc == nil {
		return out, errors.New("no MachineConfig given")
	}
	if len(mc.Spec.Config.Raw) == 0 {
		return out, nil
	}
	if err := json.Unmarshal(mc.Spec.Config.Raw, &out); err != nil {
		return out, fmt.Errorf("MachineConfig/%s spec.config is not an Ignition configuration: %w", mc.Name, err)
	}
	return out, nil
}

// decode returns the content; a missing source is an empty file.
func (r ignitionResource) decode() ([]byte, error) {
	if r.Source == nil {
		return []byte{}, nil
	}
	url, err := dataurl.DecodeString(*r.Source)
	if err != nil {
		return nil, fmt.Errorf("contents.source is not a data URL: %w", err)
	}
	compression := ""
	if r.Compression != nil {
		compression = *r.Compression
	}
	switch compression {
	case "":
		return url.Data, nil
	case "gzip":
		return gunzip(url.Data)
	}
	return nil, fmt.Errorf("contents.compression %q: use gzip or none", compression)
}

// maxContent bounds what one file may unpack to. A MachineConfig is at most 1.5 MB, but gzip
// makes a thousandfold of that, and nobody writes such a registries.conf on purpose.
const maxContent = 16 << 20

func gunzip(data []byte) ([]byte, error) {
	reader, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("contents.source is not gzip: %w", err)
	}
	out, err := io.ReadAll(io.LimitReader(reader, maxContent+1))
	if err != nil {
		return nil, fmt.Errorf("contents.source is not gzip: %w", err)
	}
	if len(out) > maxContent {
		return nil, fmt.Errorf("contents.source unpacks to more than %d bytes", maxContent)
	}
	return out, nil
}
