package batch

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containers/image/v5/docker/reference"

	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
)

// Line is one reference of an image list.
type Line struct {
	// Position tells where the line stands, for messages: images.txt:12.
	Position string
	// Source is the reference in full: docker.io/library/nginx:latest for docker.io/nginx.
	Source string
	// Destination is where the line wants it, "" when it leaves that open.
	Destination string
}

// The most problems of a file that one message lists, and the longest line of a list.
const (
	maxProblems = 10
	maxLine     = 64 << 10
)

// ParseList reads an image list: a reference on each line, and after it the destination if the line
// names one. What follows a # at the beginning of a line or after a blank is a comment. The error
// names every bad line, up to ten of them.
//
//	quay.io/acme/app:v1
//	quay.io/acme/app@sha256:4c1c…                       # by digest
//	quay.io/acme/tool:v2 mirror.example.com/tools/tool  # to another place, under the source's tag
func ParseList(name string, r io.Reader) ([]Line, error) {
	var lines []Line
	var problems problemList
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, maxLine)
	n := 0
	for scanner.Scan() {
		n++
		fields := strings.Fields(withoutComment(scanner.Text()))
		if len(fields) == 0 {
			continue
		}
		line, err := parseLine(fields)
		if err != nil {
			problems.add("%s:%d: %w", name, n, err)
			continue
		}
		line.Position = fmt.Sprintf("%s:%d", name, n)
		lines = append(lines, line)
	}
	if err := scanner.Err(); err != nil {
		problems.add("%s:%d: %w", name, n+1, err)
	}
	return lines, problems.join()
}

func parseLine(fields []string) (Line, error) {
	if len(fields) > 2 {
		return Line{}, fmt.Errorf("%d words, where a source and at most a destination belong; a comment begins with #",
			len(fields))
	}
	source, err := parseReference(fields[0])
	if err != nil {
		return Line{}, err
	}
	line := Line{Source: source.String()}
	if len(fields) == 2 {
		line.Destination, err = explicitDestination(source, fields[1])
	}
	return line, err
}

// withoutComment cuts at the first # that begins a word: a reference cannot hold one.
func withoutComment(text string) string {
	for i := range len(text) {
		if text[i] == '#' && (i == 0 || text[i-1] == ' ' || text[i-1] == '\t') {
			return text[:i]
		}
	}
	return text
}

// parseReference completes a reference as a node does, so that the tag beside a digest is gone. A
// name without a registry is refused: which registries it stands for is a setting of each node.
func parseReference(text string) (reference.Named, error) {
	named, err := registriesconf.ParseReference(text)
	var short *registriesconf.ShortNameError
	if errors.As(err, &short) {
		return nil, fmt.Errorf("%q names no registry: write it in full, for example docker.io/library/nginx:1.27", text)
	}
	return named, err
}

// explicitDestination completes a destination with the tag or digest of its source.
func explicitDestination(source reference.Named, text string) (string, error) {
	if _, err := parseReference(text); err != nil {
		return "", fmt.Errorf("destination: %w", err)
	}
	// Of a reference in full nothing is added here, a tag "latest" least of all.
	to, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		return "", fmt.Errorf("destination: %w", err)
	}
	if reference.IsNameOnly(to) {
		return withTagOrDigest(to, source).String(), nil
	}
	wanted, theirs := digestOf(source.String()), digestOf(text)
	if wanted != "" && theirs != "" && wanted != theirs {
		return "", fmt.Errorf("destination %s has another digest than its source %s: a digest belongs to one image only", text, source)
	}
	named, err := parseReference(text)
	if err != nil {
		return "", fmt.Errorf("destination: %w", err)
	}
	return named.String(), nil
}

// withTagOrDigest gives a repository the tag or digest of a reference.
func withTagOrDigest(repository, of reference.Named) reference.Named {
	name := reference.TrimNamed(repository)
	var out reference.Named
	var err error
	switch r := of.(type) {
	case reference.Digested:
		out, err = reference.WithDigest(name, r.Digest())
	case reference.Tagged:
		out, err = reference.WithTag(name, r.Tag())
	default:
		out = reference.TagNameOnly(name)
	}
	if err != nil {
		panic(err) // the tag and the digest come from a reference that has been parsed
	}
	return out
}

// digestOf is the digest of a reference, "" when it has none.
func digestOf(text string) string {
	_, digest, _ := strings.Cut(text, "@")
	return digest
}

// problemList gathers what is wrong with a file, so that one look repairs all of it.
type problemList struct {
	errors  []error
	omitted int
}

func (p *problemList) add(format string, args ...any) {
	if len(p.errors) == maxProblems {
		p.omitted++
		return
	}
	p.errors = append(p.errors, fmt.Errorf(format, args...))
}

func (p *problemList) join() error {
	if p.omitted > 0 {
		return errors.Join(append(p.errors, fmt.Errorf("and %d more", p.omitted))...)
	}
	return errors.Join(p.errors...)
}
