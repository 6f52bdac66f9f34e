package pullcheck

import "github.com/safe-mirror/safe-mirror-operator/internal/mirror"

// Classify reads what a node says of a failed pull. The name of the image has to be taken out
// before: it may be called mirror.local/acme/forbidden.
func Classify(message string) mirror.ErrorClass { return classify(message) }

// IsPolicyRefusal tells whether the node's policy for signatures and registries has refused the
// image.
func IsPolicyRefusal(message string) bool { return isPolicyRefusal(message) }

// ErrorDetail is what a registry or a node has said, fit for a status: one line, bounded, and
// without signed URLs and logins.
func ErrorDetail(message string) string { return errorDetail(message) }
