package mirror

import "time"

// State is how far a job is.
type State string

// The states of a job.
const (
	Queued   State = "Queued"   // waits for a worker
	Running  State = "Running"  // is being copied or verified
	Verified State = "Verified" // is proven pullable
	Failed   State = "Failed"   // is not; it will be tried again
)

// Result is what is known about one wanted image.
type Result struct {
	Reference, Key string // of the job this is about
	State          State
	// Digest is what a tag was resolved to; see Job.Digest. Empty until then.
	Digest string
	// Proof is of the last run that succeeded. While the image is being verified again the old one stays.
	Proof Proof
	// Copied tells what was copied for this job so far, one entry per target.
	Copied []Copied
	// Err is of the last run that failed; it stays while the next one is waited for and under way.
	Err *Error
	// Attempts counts the runs since the job was wanted, or wanted again.
	Attempts int
	// At is when the state began; for Verified and Failed when the run began that found it, since what changed at the
	// registries after that is not in it.
	At time.Time
	// Due is when a Failed job is tried again.
	Due time.Time
}

// addCopied keeps one entry per target: the latest copy, with the bytes of all of them.
func addCopied(known []Copied, fresh ...Copied) []Copied {
	merged := append([]Copied(nil), known...)
next:
	for _, f := range fresh {
		for i, k := range merged {
			if k.To == f.To {
				f.Bytes += k.Bytes
				f.Pushed = f.Pushed || k.Pushed
				merged[i] = f
				continue next
			}
		}
		merged = append(merged, f)
	}
	return merged
}
