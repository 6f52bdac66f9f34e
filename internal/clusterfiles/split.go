package clusterfiles

// splitter takes a file apart into objects without understanding them.
type splitter struct {
	maxObject int
	// onObject gets the text of one object; it is valid during the call only. hint is what the list
	// around it says about its items, if it is a list of one kind.
	onObject func(text []byte, at position, hint typeMeta)
	// onDocumentEnd gets what each document says it is, at its end, and whether it was a list with
	// something in it.
	onDocumentEnd func(meta typeMeta, items int)
	onProblem     func(FileProblem)
	// readAheadKind is what the header of a document will be, found by reading ahead. Lists are
	// often written with their kind after their items, but then the items nearly always say what
	// they are.
	readAheadKind func(document int) typeMeta
}

// position of an object in its file: a line in YAML, an offset in JSON.
type position struct {
	line   int
	offset int64
}

// itemHint is what a list says about its items: PodList v1 holds Pod v1, List v1 may hold anything.
func (t typeMeta) itemHint() typeMeta {
	const suffix = "List"
	if len(t.Kind) <= len(suffix) || t.Kind[len(t.Kind)-len(suffix):] != suffix {
		return typeMeta{}
	}
	return typeMeta{APIVersion: t.APIVersion, Kind: t.Kind[:len(t.Kind)-len(suffix)]}
}
