package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirror/batch"
)

// readImageSet reads the files and decides which image goes where.
func (r *mirrorRun) readImageSet() (batch.Set, error) {
	lines, err := r.readImageList()
	if err != nil {
		return batch.Set{}, err
	}
	if len(r.manifests) == 0 {
		return batch.ToRegistry(lines, r.to)
	}
	var m batch.Manifests
	for _, file := range r.manifests {
		name, data, err := r.readFile("-f", file)
		if err != nil {
			return batch.Set{}, err
		}
		if err := m.Add(name, data); err != nil {
			return batch.Set{}, err
		}
	}
	set, err := batch.ByMirrorSets(m, lines)
	switch {
	case err != nil:
		return batch.Set{}, err
	case len(lines)+len(m.Additional) == 0:
		return batch.Set{}, errors.New("no image is named: give --images FILE, or list references in spec.inventory.additionalImages; no cluster is asked which images it runs")
	case len(set.Images) == 0:
		return batch.Set{}, noneServedError(set)
	}
	return set, nil
}

func (r *mirrorRun) readImageList() ([]batch.Line, error) {
	if r.images == "" {
		return nil, nil
	}
	name, data, err := r.readFile("--images", r.images)
	if err != nil {
		return nil, err
	}
	lines, err := batch.ParseList(name, bytes.NewReader(data))
	if err == nil && len(lines) == 0 {
		err = fmt.Errorf("--images: %s holds no reference; write one on each line, such as quay.io/acme/app:v1", name)
	}
	return lines, err
}

func noneServedError(set batch.Set) error {
	n := len(set.NotServed) + set.Outside
	if len(set.NotServed) == 0 {
		return fmt.Errorf("the mirror sets serve none of the %d references: none lies in a source of theirs", n)
	}
	first := set.NotServed[0]
	return fmt.Errorf("the mirror sets serve none of the %d references: %s: %s", n, first.Source, first.Reason)
}

// readFile gives the content of a file and the name that messages call it by.
func (r *mirrorRun) readFile(flag, file string) (name string, data []byte, err error) {
	if file == "-" {
		if data, err = io.ReadAll(r.in); err != nil {
			return "", nil, fmt.Errorf("%s -: reading standard input: %w", flag, err)
		}
		return "standard input", data, nil
	}
	if data, err = os.ReadFile(file); err != nil {
		return "", nil, fmt.Errorf("%s: %w", flag, err)
	}
	return file, data, nil
}
