package probe

import "github.com/safe-mirror/safe-mirror-operator/internal/mirror"

// Classify reads what a node says of a failed pull. The name of the image has to be taken out before: it may be called
// mirror.local/acme/forbidden.
func Classify(words string) mirror.ErrorClass { return classify(words) }

// PolicyRefusal tells whether the node's policy for signatures and registries has refused the image.
func PolicyRefusal(words string) bool { return policyRefusal(words) }

// Said is what a registry or a node has said, fit for a status: one line, bounded, and without signed URLs and logins.
func Said(words string) string { return said(words) }
