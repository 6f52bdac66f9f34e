package batch

import "github.com/safe-mirror/safe-mirror-operator/internal/mirror"

// EstimateRows are the results of a dry run: the estimates are those of the images, in the same
// order. When it was interrupted, what failed says nothing about the image.
func EstimateRows(images []Image, estimates []mirror.Estimate, interrupted bool) []Row {
	out := make([]Row, 0, len(images))
	for i, e := range estimates {
		row := Row{
			Source: images[i].Source(), Destination: images[i].Destination, Digest: e.Digest, Result: ToCopy,
			Bytes: e.Bytes, Requests: int64(e.Requests), Attempts: 1,
		}
		switch {
		case e.Err != nil && interrupted:
			row = Row{Source: row.Source, Destination: row.Destination, Result: Unfinished, Message: "interrupted"}
		case e.Err != nil:
			row.Result, row.Class, row.Message = Failed, string(e.Err.Class), oneLine(e.Err)
		case e.Requests == 0:
			row.Result = Present
		}
		out = append(out, row)
	}
	return out
}
