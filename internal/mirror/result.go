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
	// SourceDigest is what the source answered when the tag was resolved. MirrorDigest is what the
	// first mirror to fill had under the tag when that was something else; empty when it had
	// nothing or the same.
	SourceDigest, MirrorDigest string
	// Proof is of the last run that succeeded. While the image is being verified again the old one
	// stays.
	Proof Proof
	// Copies tells what was copied for this job so far, one entry per target.
	Copies []CopyResult
	// NeededBytes is how many bytes this job uploads in all, as far as is known, and Moved how many
	// of them it has. Need grows when manifests are read, and shrinks again with each layer that
	// turns out to be there or is brought by another job; at the end both are the same.
	NeededBytes, UploadedBytes int64
	// OtherMirrors tells what the other mirrors of the list have; see Job.Others.
	OtherMirrors []ImageCheck
	// Err is of the last run that failed; it stays while the next one is waited for and in
	// progress.
	Err *Error
	// Attempts counts the runs since the job was wanted, or wanted again.
	Attempts int
	// At is when the state began. For Verified it is when the oldest look began that the proof
	// rests on, for Failed when the run began: what changed at the registries after that is not in
	// it.
	At time.Time
	// RetryAt is when a Failed job is tried again.
	RetryAt time.Time
}

// mergeCopies keeps one entry per target: the latest copy, with the bytes of all of them.
func mergeCopies(known []CopyResult, fresh ...CopyResult) []CopyResult {
	merged := append([]CopyResult(nil), known...)
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
