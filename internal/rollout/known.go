package rollout

import "encoding/json"

// Known is a value that may be unknown. Unknown is not zero: a list of pools that could not be read is not an empty
// list, and nothing is ever disrupted on the strength of something unknown (I3).
type Known[T any] struct {
	value T
	why   string
	ok    bool
}

// Seen is a value that was observed.
func Seen[T any](v T) Known[T] { return Known[T]{value: v, ok: true} }

// Unseen is a value that could not be observed; why says so in words for the user.
func Unseen[T any](why string) Known[T] { return Known[T]{why: why} }

// Get returns the value and whether it is known.
func (k Known[T]) Get() (T, bool) { return k.value, k.ok }

// Why says why the value is unknown. It is empty for a known value.
func (k Known[T]) Why() string {
	if !k.ok && k.why == "" {
		return "not read yet"
	}
	return k.why
}

// knownJSON holds either field. A known nil list is {"value":null}, which is not the same as no value at all.
type knownJSON struct {
	Value   json.RawMessage `json:"value,omitempty"`
	Unknown string          `json:"unknown,omitempty"`
}

// MarshalJSON makes an observation storable, so that a decision can be replayed.
func (k Known[T]) MarshalJSON() ([]byte, error) {
	if !k.ok {
		return json.Marshal(knownJSON{Unknown: k.Why()})
	}
	value, err := json.Marshal(k.value)
	if err != nil {
		return nil, err
	}
	return json.Marshal(knownJSON{Value: value})
}

// UnmarshalJSON is the inverse of MarshalJSON.
func (k *Known[T]) UnmarshalJSON(data []byte) error {
	var j knownJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	if len(j.Value) == 0 {
		*k = Unseen[T](j.Unknown)
		return nil
	}
	var value T
	if err := json.Unmarshal(j.Value, &value); err != nil {
		return err
	}
	*k = Seen(value)
	return nil
}
