package registriesconf

import (
	"strings"

	"github.com/containers/image/v5/docker/reference"
	godigest "github.com/opencontainers/go-digest"
)

// fastNamed is a reference of which fastParse is certain, with either a tag or a digest.
type fastNamed struct{ text, name string }

func (p fastNamed) String() string { return p.text }
func (p fastNamed) Name() string   { return p.name }

type fastTagged struct{ fastNamed }

// Tag makes it a reference.NamedTagged.
func (p fastTagged) Tag() string { return p.text[len(p.name)+1:] }

type fastDigested struct{ fastNamed }

// Digest makes it a reference.Canonical.
func (p fastDigested) Digest() godigest.Digest { return godigest.Digest(p.text[len(p.name)+1:]) }

// fastParse parses what nearly all references of a cluster look like, without the regular
// expressions of c/image, which take longer than everything else that is done with a reference. It
// answers what reference.ParseDockerRef would; certain is false when that has to be asked: for
// Docker Hub, for anything unusual, and for anything wrong.
//
//	quay.io/acme/app:v1                certain
//	quay.io/acme/app:v1@sha256:…       certain, and is quay.io/acme/app@sha256:…
//	quay.io/acme/app                   certain, and is quay.io/acme/app:latest
//	docker.io/app, quay.io/Acme/app    not certain
func fastParse(ref string) (named reference.Named, certain bool) {
	host, rest, ok := strings.Cut(ref, "/")
	if !ok || !isSimpleHost(host) || host == "docker.io" || host == "index.docker.io" {
		return nil, false
	}
	rest, dgst, digested := strings.Cut(rest, "@")
	path, tag, tagged := strings.Cut(rest, ":")
	if !isSimplePath(path) || tagged && !isSimpleTag(tag) || digested && !isSHA256(dgst) {
		return nil, false
	}
	name := ref[:len(host)+1+len(path)]
	if len(name) > maxName {
		return nil, false
	}
	switch {
	case digested && !tagged:
		return fastDigested{fastNamed{ref, name}}, true
	case digested:
		return fastDigested{fastNamed{name + "@" + dgst, name}}, true
	case tagged:
		return fastTagged{fastNamed{ref, name}}, true
	}
	return fastTagged{fastNamed{name + ":latest", name}}, true
}

// isSimpleHost takes dotted names in lower case, with or without a port.
func isSimpleHost(host string) bool {
	host, port, hasPort := strings.Cut(host, ":")
	if hasPort && (port == "" || strings.Trim(port, "0123456789") != "") {
		return false
	}
	dotted := false
	for label := range strings.SplitSeq(host, ".") {
		dotted = dotted || len(label) < len(host)
		if label == "" || !alphanumeric(label[0]) || !alphanumeric(label[len(label)-1]) {
			return false
		}
		for i := range len(label) {
			if !alphanumeric(label[i]) && label[i] != '-' {
				return false
			}
		}
	}
	return dotted || hasPort
}

// isSimplePath takes components of letters and digits with single separators between them.
func isSimplePath(path string) bool {
	last := byte('/') // a separator, as far as the next one is concerned
	for i := range len(path) {
		switch c := path[i]; {
		case alphanumeric(c):
			last = c
		case strings.IndexByte("/._-", c) >= 0 && alphanumeric(last):
			last = c
		default:
			return false
		}
	}
	return alphanumeric(last)
}

func isSimpleTag(tag string) bool {
	if tag == "" || len(tag) > 128 || tag[0] == '.' || tag[0] == '-' {
		return false
	}
	for i := range len(tag) {
		if c := tag[i]; !alphanumeric(c) && (c < 'A' || c > 'Z') && strings.IndexByte("._-", c) < 0 {
			return false
		}
	}
	return true
}

// isSHA256 takes SHA-256, which is what registries compute.
func isSHA256(dgst string) bool {
	hex, ok := strings.CutPrefix(dgst, "sha256:")
	return ok && len(hex) == 64 && strings.Trim(hex, "0123456789abcdef") == ""
}

func alphanumeric(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }
