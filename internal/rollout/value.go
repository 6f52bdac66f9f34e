package rollout

import "encoding/json"

// Value is a value that may be unknown. Unknown is not zero: a list of pools that could not be read
// is not an empty list, and nothing is ever disrupted on the strength of something unknown (I3).
type Value[T any] struct {
	value T
	why   string
	ok    bool
}

// Known is a value that was observed.
func Known[T any](v T) Value[T] { return Value[T]{value: v, ok: true} }

// Unknown is a value that could not be observed; why says so in words for the user.
func Unknown[T any](why string) Value[T] { return Value[T]{why: why} }

// Get returns the value and whether it is known.
func (v Value[T]) Get() (T, bool) { return v.value, v.ok }

// Why says why the value is unknown. It is empty for a known value.
func (v Value[T]) Why() string {
	if !v.ok && v.why == "" {
		return "not read yet"
	}
	return v.why
}

// valueJSON holds either field. A known nil list is {"value":null}, which is not the same as no
// value at all.
type valueJSON struct {
	Value   json.RawMessage `json:"value,omitempty"`
	Unknown string          `json:"unknown,omitempty"`
}

// MarshalJSON makes an observation storable, so that a decision can be replayed.
func (v Value[T]) MarshalJSON() ([]byte, error) {
	if !v.ok {
		return json.Marshal(valueJSON{Unknown: v.Why()})
	}
	value, err := json.Marshal(v.value)
	if err != nil {
		return nil, err
	}
	return json.Marshal(valueJSON{Value: value})
}

// UnmarshalJSON is the inverse of MarshalJSON.
func (v *Value[T]) UnmarshalJSON(data []byte) error {
	var j valueJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	if len(j.Value) == 0 {
		*v = Unknown[T](j.Unknown)
		return nil
	}
	var value T
	if err := json.Unmarshal(j.Value, &value); err != nil {
		return err
	}
	*v = Known(value)
	return nil
}
