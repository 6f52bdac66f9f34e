package mirror

import (
	"errors"
	"fmt"
	"strings"

	"github.com/containers/image/v5/docker/reference"
	"github.com/regclient/regclient/types/ref"
)

// maxTagLength is how many characters a tag may have (distribution's reference grammar).
const maxTagLength = 128

// parseReference reads a reference, a repository or a host with a path. It takes what a node takes:
// a node gives up at a name it cannot parse, without trying its other endpoints. The error is a
// *ReferenceError.
func parseReference(endpoint string) (ref.Ref, error) {
	if _, err := reference.ParseNormalizedNamed(endpoint); err != nil {
		return ref.Ref{}, &ReferenceError{Reason: invalidReason(endpoint, err)}
	}
	parsed, err := ref.New(endpoint)
	if err != nil || parsed.Scheme != "reg" {
		return ref.Ref{}, &ReferenceError{Reason: "it has no registry, repository and tag or digest"}
	}
	return parsed, nil
}

func invalidReason(endpoint string, err error) string {
	if errors.Is(err, reference.ErrNameTooLong) {
		return fmt.Sprintf("the name with its registry may have at most %d characters", reference.NameTotalLengthMax)
	}
	name, _, _ := strings.Cut(endpoint, "@")
	if _, tag, found := strings.Cut(name[strings.LastIndex(name, "/")+1:], ":"); found && len(tag) > maxTagLength {
		return fmt.Sprintf("the tag has %d characters, at most %d are allowed", len(tag), maxTagLength)
	}
	return err.Error()
}
