package clusterfiles

import (
	"bytes"
	"strings"

	"sigs.k8s.io/yaml"
)

func isLetter(b byte) bool { return (b|0x20) >= 'a' && (b|0x20) <= 'z' }
func isDigit(b byte) bool  { return b >= '0' && b <= '9' }

// reserved are the words that YAML 1.1 takes for something else than text.
func reserved(t []byte) bool {
	if len(t) == 0 || len(t) > 5 {
		return false
	}
	switch strings.ToLower(string(t)) {
	case "y", "yes", "n", "no", "true", "false", "on", "off", "null", ".inf", ".nan":
		return true
	}
	return false
}

func (c *blockYAML) scalar(parent int) {
	switch first := c.text[0]; first {
	case '\'':
		c.single(parent)
	case '"':
		c.double(parent)
	case '|':
		c.literal(parent)
	case '{', '[':
		if t := string(c.text); t != "{}" && t != "[]" {
			c.failed = true
			return
		}
		c.out = append(c.out, c.text...)
		c.endScalar(parent)
	case '>', '&', '*', '!', '%', '@', '`', '#', '?', ':', ',', ']', '}':
		c.failed = true
	default:
		if isDash(c.text) {
			c.failed = true
			return
		}
		c.plain(parent)
	}
}

// endScalar a scalar that has ended, nothing may be left of it.
func (c *blockYAML) endScalar(parent int) {
	c.advance()
	c.failed = c.failed || c.indent > parent
}

func (c *blockYAML) plain(parent int) {
	text := c.text
	if !plainText(text) {
		c.failed = true
		return
	}
	c.advance()
	if c.failed || c.indent <= parent {
		c.resolve(text)
		return
	}
	joined := bytes.Clone(text)
	for !c.failed && c.indent > parent {
		if !plainText(c.text) {
			c.failed = true
			return
		}
		joined = append(c.fold(joined), c.text...)
		c.advance()
	}
	if !isLetter(joined[0]) {
		c.failed = true
		return
	}
	c.writeString(joined)
}

// fold is what a line break inside of a scalar becomes: a space, or one newline for each blank
// line.
func (c *blockYAML) fold(joined []byte) []byte {
	if c.blanks == 0 {
		return append(joined, ' ')
	}
	for range c.blanks {
		joined = append(joined, '\n')
	}
	return joined
}

func plainText(t []byte) bool {
	if i := bytes.IndexByte(t, '#'); i >= 0 && bytes.Contains(t, []byte(" #")) {
		return false
	}
	return colon(t) < 0
}

// resolve writes a plain scalar with the type that YAML 1.1 gives it. The library is asked about
// everything that might be a number, a boolean or null and is not one of the plainest; but
// 10.128.0.5, 100m and 0b8e7a30-55f5-4c1e-9a60-6a1f8b5d2c11, of which every pod has some, cannot be
// any of these.
func (c *blockYAML) resolve(t []byte) {
	first := t[0]
	switch {
	case isLetter(first) && !reserved(t), first == '/', first == '(', first == '$', first == '_':
		c.writeString(t)
	case isDigit(first) && isInteger(t):
		c.out = append(c.out, t...)
	case isDigit(first) && !numberLike(t):
		c.writeString(t)
	default:
		c.resolveByLibrary(t)
	}
}

func isInteger(t []byte) bool {
	if len(t) > 18 || (len(t) > 1 && t[0] == '0') {
		return false
	}
	for _, b := range t {
		if !isDigit(b) {
			return false
		}
	}
	return true
}

// numberLike reports whether text that begins with a digit might be a number in some notation. None
// has two dots, two dashes, or a letter beyond hexadecimal digits and the marks of a base.
func numberLike(t []byte) bool {
	dots, dashes := 0, 0
	for _, b := range t {
		switch {
		case b == '.':
			dots++
		case b == '-':
			dashes++
		case isDigit(b), (b|0x20) >= 'a' && (b|0x20) <= 'f', b|0x20 == 'x', b|0x20 == 'o', b == '_', b == '+':
		default:
			return false
		}
	}
	return dots < 2 && dashes < 2
}

// resolveByLibrary has the library say what a plain scalar is.
func (c *blockYAML) resolveByLibrary(t []byte) {
	if bytes.HasPrefix(t, []byte("---")) || bytes.HasPrefix(t, []byte("...")) {
		c.failed = true
		return
	}
	value, known := c.scalarCache[string(t)]
	if !known {
		var ok bool
		if value, ok = libraryScalar(t); !ok {
			c.failed = true
			return
		}
		if len(c.scalarCache) < maxScalarCache {
			c.scalarCache[string(t)] = value
		}
	}
	c.out = append(c.out, value...)
}

func libraryScalar(t []byte) (string, bool) {
	out, err := yaml.YAMLToJSON(t)
	if err != nil || len(out) == 0 || out[0] == '{' || out[0] == '[' {
		return "", false
	}
	return string(bytes.TrimSpace(out)), true
}

// writeString writes text as a JSON string.
func (c *blockYAML) writeString(t []byte) {
	c.out = append(c.out, '"')
	c.escape(t)
	c.out = append(c.out, '"')
}

func (c *blockYAML) escape(t []byte) {
	for {
		i := 0
		for i < len(t) && t[i] != '"' && t[i] != '\\' && t[i] >= ' ' {
			i++
		}
		c.out = append(c.out, t[:i]...)
		if i == len(t) {
			return
		}
		switch t[i] {
		case '\n':
			c.out = append(c.out, '\\', 'n')
		case '\t':
			c.out = append(c.out, '\\', 't')
		default:
			c.out = append(c.out, '\\', t[i])
		}
		t = t[i+1:]
	}
}
