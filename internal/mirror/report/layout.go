package report

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"
)

// Bounds of a report. An object of etcd may have 1.5 MiB, and a part that is rewritten for one
// reference should be small.
const (
	maxParts    = 64      // some 12,000 references
	maxEntries  = 250     // in one part; the schema's own bound
	maxBytes    = 700_000 // of JSON in one part
	maxGapBytes = 200_000 // of JSON, of the gaps together
	// overhead is the JSON of a part without its references and gaps: metadata, names, and what the
	// API server adds.
	overhead = 4_000
)

// positionOf is where in the range of 64 bits a reference is, whatever else there is. The salt is
// the rollout's UID: nobody who can only name images can crowd them into one part.
func positionOf(salt, image string) uint64 {
	sum := sha256.Sum256([]byte(salt + "\n" + image))
	return binary.BigEndian.Uint64(sum[:])
}

// layout divides the range of places into parts of equal length. Their number is a power of two, so
// a reference that comes or goes changes the one part in which its place is, and no other.
type layout struct {
	parts int
	// firstPartBytes is how many bytes of the first part are taken by what is in no other.
	firstPartBytes int
}

// partOf is the part that a place is in: of 4 parts, 0 has the places that begin with the bits 00,
// 1 those with 01.
func (l layout) partOf(position uint64) int {
	return int(position >> (64 - bits.TrailingZeros(uint(l.parts)))) // a shift by 64 gives 0
}

// partCount is the number of parts for the entries when there were so many before. It stays what it
// was while nothing overflows. It grows to the number at which no part is more than four fifths
// full, and shrinks only while half of the parts would be no more than half full: between the two,
// references can come and go for long without moving all the others.
//
//	200 references in 1 part    one more            1 part
//	251                         1 overflows         2 parts of about 125
//	240 again                   1 would hold 240    2 parts
//	120                         1 would hold 120    1 part
func (l layout) partCount(all []entry, before int) int {
	valid := before > 0 && before <= maxParts && bits.OnesCount(uint(before)) == 1
	if valid && l.withParts(before).fits(all, 1, 1) {
		for before > 1 && l.withParts(before/2).fits(all, 1, 2) {
			before /= 2
		}
		return before
	}
	parts := 1
	for parts < maxParts && !l.withParts(parts).fits(all, 4, 5) {
		parts *= 2
	}
	return parts
}

func (l layout) withParts(parts int) layout {
	l.parts = parts
	return l
}

// fits tells whether every part is filled to at most the share of what it may hold.
func (l layout) fits(all []entry, share, of int) bool {
	loads := l.newLoads()
	for i := range all {
		n := l.partOf(all[i].position)
		loads[n].add(&all[i])
		if loads[n].entries*of > maxEntries*share || loads[n].bytes*of > maxBytes*share {
			return false
		}
	}
	return true
}

// distribute gives each entry to its part, in the order they have. What a part has no room for is
// left out, the least worth first, and counted; that happens beyond maxParts only.
func (l layout) distribute(all []entry) (parts [][]entry, omitted int) {
	parts = make([][]entry, l.parts)
	for i := range all {
		n := l.partOf(all[i].position)
		parts[n] = append(parts[n], all[i])
	}
	loads := l.newLoads()
	for n, part := range parts {
		kept := loads[n].keepFitting(part)
		omitted += len(part) - len(kept)
		parts[n] = kept
	}
	return parts, omitted
}

func (l layout) newLoads() []partLoad {
	loads := make([]partLoad, l.parts)
	for i := range loads {
		loads[i].bytes = overhead
	}
	loads[0].bytes += l.firstPartBytes
	return loads
}

// partLoad is how full a part is.
type partLoad struct{ entries, bytes int }

func (l *partLoad) add(e *entry) {
	l.entries += len(e.variants)
	l.bytes += e.size
}

// keepFitting gives those of the entries for which there is room, in the order they have.
func (l *partLoad) keepFitting(part []entry) []entry {
	all := *l
	for i := range part {
		all.add(&part[i])
	}
	if all.entries <= maxEntries && all.bytes <= maxBytes {
		return part
	}
	byWorth := slices.Clone(part)
	slices.SortStableFunc(byWorth, func(a, b entry) int {
		return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.position, b.position))
	})
	kept := byWorth[:0]
	for _, e := range byWorth {
		with := *l
		if with.add(&e); with.entries <= maxEntries && with.bytes <= maxBytes {
			*l = with
			kept = append(kept, e)
		}
	}
	sortByImage(kept)
	return kept
}
