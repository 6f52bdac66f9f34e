package clusterfiles

import (
	"bytes"
	"unicode/utf8"
)

// blockYAML turns the YAML that the platform's tools write into JSON, some twenty times as fast as
// a complete YAML library.
//
// They all write the same small part of the language: block mappings and sequences, plain and
// quoted scalars (long ones folded over several lines), literal blocks, and {} and []. Whatever
// else turns up (a comment, an anchor, a tag, a flow collection, a tab, a key twice, …) makes it
// give up, and the caller asks the library instead. So it is never the judge of what is valid: it
// either gives what the library gives or nothing. A fuzz test holds it to that.
type blockYAML struct {
	src  []byte
	next int // where the line after the current one begins
	out  []byte

	// The current line. After "- " it is what follows the dash, as if it stood on a line of its own
	// at that column.
	indent  int
	text    []byte // without indentation and trailing spaces
	blanks  int    // blank lines before it
	trimmed bool   // it had trailing spaces
	end     bool   // there is no line left

	tabs   bool // src has tabs somewhere
	depth  int
	keys   []span // keys of the mappings that are open
	failed bool

	scalarCache map[string]string // plain scalars the library was asked about
	// want is asked once the object's own apiVersion and kind are known. When it says no, the rest
	// is not converted.
	want func(typeMeta) bool
	meta typeMeta
	stop bool
}

// typeMeta is what an object says it is.
type typeMeta struct{ APIVersion, Kind string }

func (t typeMeta) complete() bool { return t.APIVersion != "" && t.Kind != "" }

type span struct{ from, to int }

const (
	maxDepth       = 64
	maxKey         = 512  // libyaml looks no further than 1024 characters for the colon
	maxScalarCache = 4096 // different plain scalars such as 0x1F or 7e5
)

// convert appends nothing to what it is given: the result is valid until the next call. ok is false
// when the text is not in the part of the language that is known here. unwanted is true when want
// said no.
func (c *blockYAML) convert(src []byte, want func(typeMeta) bool) (out []byte, meta typeMeta, unwanted, ok bool) {
	*c = blockYAML{src: src, out: c.out[:0], keys: c.keys[:0], scalarCache: c.scalarCache, want: want}
	if c.scalarCache == nil {
		c.scalarCache = map[string]string{}
	}
	if !c.printable() {
		return nil, typeMeta{}, false, false
	}
	if c.advance(); c.end || c.failed || isDash(c.text) {
		return nil, typeMeta{}, false, false
	}
	if _, _, isKey := c.splitKey(); !isKey {
		return nil, typeMeta{}, false, false
	}
	c.mapping(c.indent)
	switch {
	case c.stop:
		return nil, c.meta, true, true
	case c.failed || !c.end:
		return nil, typeMeta{}, false, false
	}
	return c.out, c.meta, false, true
}

// printable refuses what YAML forbids or breaks lines at, beyond the newline.
func (c *blockYAML) printable() bool {
	ascii := true
	for _, b := range c.src {
		switch {
		case b >= 0x80:
			ascii = false
		case b == '\t':
			c.tabs = true
		case b < ' ' && b != '\n', b == 0x7f:
			return false
		}
	}
	if ascii {
		return true
	}
	return utf8.Valid(c.src) && bytes.IndexFunc(c.src, breaksOrForbidden) < 0
}

func breaksOrForbidden(r rune) bool {
	switch r {
	case 0x2028, 0x2029, 0xfeff, 0xfffe, 0xffff:
		return true
	}
	return r >= 0x7f && r < 0xa0
}

// advance goes to the next line that is not blank.
func (c *blockYAML) advance() {
	c.blanks = 0
	for c.next < len(c.src) {
		line := c.line()
		text := bytes.TrimLeft(line, " ")
		if len(text) == 0 {
			c.blanks++
			continue
		}
		c.indent = len(line) - len(text)
		c.text = bytes.TrimRight(text, " ")
		c.trimmed = len(c.text) != len(text)
		if text[0] == '#' || (c.tabs && bytes.IndexByte(text, '\t') >= 0) {
			c.failed = true
		}
		return
	}
	c.end, c.indent, c.text = true, -1, nil
}

// line takes the next line as it is.
func (c *blockYAML) line() []byte {
	rest := c.src[c.next:]
	i := bytes.IndexByte(rest, '\n')
	if i < 0 {
		c.next = len(c.src)
		return rest
	}
	c.next += i + 1
	return rest[:i]
}

func isDash(text []byte) bool {
	return len(text) > 0 && text[0] == '-' && (len(text) == 1 || text[1] == ' ')
}

// node is what stands at the current line; parent is the indentation that its lines have to exceed.
func (c *blockYAML) node(parent int) {
	if c.failed || c.stop {
		return
	}
	if c.depth++; c.depth > maxDepth {
		c.failed = true
		return
	}
	defer func() { c.depth-- }()
	if isDash(c.text) {
		c.sequence(c.indent)
		return
	}
	if _, _, ok := c.splitKey(); ok {
		c.mapping(c.indent)
		return
	}
	c.scalar(parent)
}

func (c *blockYAML) sequence(indent int) {
	c.out = append(c.out, '[')
	for first := true; !c.failed && !c.stop && c.indent == indent && isDash(c.text); first = false {
		if !first {
			c.out = append(c.out, ',')
		}
		rest := bytes.TrimLeft(c.text[1:], " ")
		if len(rest) == 0 {
			c.nestedValue(indent, false)
			continue
		}
		c.indent += len(c.text) - len(rest)
		c.text = rest
		c.node(indent)
	}
	c.failed = c.failed || c.indent > indent
	c.out = append(c.out, ']')
}

// nestedValue is the value of a key, or of a dash, that has nothing behind it on its line. A
// sequence that is the value of a key may stand at the key's own indentation.
func (c *blockYAML) nestedValue(indent int, ofKey bool) {
	c.advance()
	switch {
	case c.failed:
	case c.indent > indent:
		c.node(indent)
	case ofKey && c.indent == indent && isDash(c.text):
		c.sequence(indent)
	default:
		c.out = append(c.out, "null"...)
	}
}

func (c *blockYAML) mapping(indent int) {
	base, ordered := len(c.keys), true
	c.out = append(c.out, '{')
	for first := true; !c.failed && !c.stop && c.indent == indent; first = false {
		key, rest, ok := c.splitKey()
		if !ok || isDash(c.text) {
			c.failed = true
			return
		}
		if !first {
			c.out = append(c.out, ',')
		}
		from := len(c.out)
		c.writeString(key)
		if c.hasKey(base, c.out[from:], &ordered) {
			c.failed = true
			return
		}
		c.keys = append(c.keys, span{from, len(c.out)})
		c.out = append(c.out, ':')
		value := len(c.out)
		if len(rest) == 0 {
			c.nestedValue(indent, true)
		} else {
			c.text = rest
			c.scalar(indent)
		}
		if base == 0 && !c.failed {
			c.noteTypeMeta(key, c.out[value:])
		}
	}
	c.failed = c.failed || c.indent > indent
	c.keys = c.keys[:base]
	c.out = append(c.out, '}')
}

// hasKey reports whether the mapping whose keys begin at base has the key already. Tools write keys
// in order, and then one look at the last is enough.
func (c *blockYAML) hasKey(base int, key []byte, ordered *bool) bool {
	n := len(c.keys)
	if n == base {
		return false
	}
	last := c.keys[n-1]
	if *ordered = *ordered && bytes.Compare(c.out[last.from:last.to], key) < 0; *ordered {
		return false
	}
	for _, other := range c.keys[base:] {
		if bytes.Equal(c.out[other.from:other.to], key) {
			return true
		}
	}
	return false
}

// noteTypeMeta notes what the object is, and stops when nobody wants it.
func (c *blockYAML) noteTypeMeta(key, value []byte) {
	if len(value) < 2 || value[0] != '"' {
		return
	}
	text := string(value[1 : len(value)-1])
	switch string(key) {
	case "apiVersion":
		c.meta.APIVersion = text
	case "kind":
		c.meta.Kind = text
	default:
		return
	}
	c.stop = c.meta.complete() && c.want != nil && !c.want(c.meta)
}

// splitKey takes the current line apart at the colon of a key, if it has one that is known here.
func (c *blockYAML) splitKey() (key, rest []byte, ok bool) {
	t := c.text
	end := -1
	if t[0] == '"' || t[0] == '\'' {
		key, end = quotedKey(t)
	} else if beginsKey(t) {
		key, end = plainKey(t)
	}
	if end < 0 || end > maxKey || (end+1 < len(t) && t[end+1] != ' ') {
		return nil, nil, false
	}
	return key, bytes.TrimLeft(t[end+1:], " "), true
}

// quotedKey returns a key without any escape, and the index of its colon or -1.
func quotedKey(t []byte) ([]byte, int) {
	i := bytes.IndexByte(t[1:], t[0]) + 1
	if i < 1 || i+1 >= len(t) || t[i+1] != ':' || bytes.IndexByte(t[1:i], '\\') >= 0 {
		return nil, -1
	}
	return t[1:i], i + 1
}

// beginsKey: app, _x, /x, .dockerconfigjson and the lone dot of managedFields.
func beginsKey(t []byte) bool {
	return isLetter(t[0]) || t[0] == '_' || t[0] == '/' ||
		(t[0] == '.' && len(t) > 1 && (isLetter(t[1]) || t[1] == ':'))
}

// plainKey returns a key that is text in YAML 1.1 as well, and the index of its colon or -1.
func plainKey(t []byte) ([]byte, int) {
	end := colon(t)
	if end < 0 {
		return nil, -1
	}
	key := t[:end]
	if reserved(key) || key[len(key)-1] == ' ' || bytes.Contains(key, []byte(" #")) {
		return nil, -1
	}
	return key, end
}

// colon is the index of the first colon that ends a plain key: one before a space or at the end.
func colon(t []byte) int {
	for from := 0; ; {
		i := bytes.IndexByte(t[from:], ':')
		if i < 0 {
			return -1
		}
		i += from
		if i+1 == len(t) || t[i+1] == ' ' {
			return i
		}
		from = i + 1
	}
}
