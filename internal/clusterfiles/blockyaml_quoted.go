package clusterfiles

import "bytes"

// single is a scalar in single quotes; ” in it stands for one quote. A long one is folded over
// lines.
func (c *blockYAML) single(parent int) {
	var joined []byte
	t := c.text[1:]
	for {
		if body, rest, closed := cutSingle(t); closed {
			if len(rest) > 0 {
				c.failed = true
				return
			}
			if joined == nil {
				joined = body
			} else {
				joined = append(joined, body...)
			}
			break
		}
		joined = append(joined, t...)
		if c.advance(); c.failed || c.indent <= parent {
			c.failed = true
			return
		}
		joined = c.fold(joined)
		t = c.text
	}
	if bytes.Contains(joined, []byte("''")) {
		joined = bytes.ReplaceAll(joined, []byte("''"), []byte("'"))
	}
	c.writeString(joined)
	c.endScalar(parent)
}

// cutSingle looks for the quote that ends the scalar.
func cutSingle(t []byte) (body, rest []byte, closed bool) {
	for i := 0; i < len(t); i++ {
		if t[i] != '\'' {
			continue
		}
		if i+1 < len(t) && t[i+1] == '\'' {
			i++
			continue
		}
		return t[:i], t[i+1:], true
	}
	return nil, nil, false
}

// double is a scalar in double quotes. A backslash at the end of a line joins it to the next
// without a space.
func (c *blockYAML) double(parent int) {
	var joined []byte
	t := c.text[1:]
	for {
		body, rest, closed := cutDouble(t)
		joined = append(joined, body...)
		if closed {
			if len(rest) > 0 {
				c.failed = true
				return
			}
			break
		}
		glued := len(body) < len(t)
		if c.advanceInDouble(parent); c.failed {
			return
		}
		switch {
		case !glued:
			joined = c.fold(joined)
		case c.blanks > 0:
			c.failed = true
			return
		}
		t = c.text
	}
	c.writeDoubleQuoted(joined)
	c.endScalar(parent)
}

// advanceInDouble refuses what it cannot tell apart: an escaped space at the end of a line loses
// its space with all the others.
func (c *blockYAML) advanceInDouble(parent int) {
	if c.trimmed && c.text[len(c.text)-1] == '\\' {
		c.failed = true
		return
	}
	c.advance()
	c.failed = c.failed || c.indent <= parent
}

// cutDouble looks for the quote that ends the scalar. Without one, the body is the line without the
// backslash that glues it to the next.
func cutDouble(t []byte) (body, rest []byte, closed bool) {
	for i := 0; i < len(t); i++ {
		switch t[i] {
		case '"':
			return t[:i], t[i+1:], true
		case '\\':
			if i+1 == len(t) {
				return t[:i], nil, false
			}
			i++
		}
	}
	return t, nil, false
}

// writeDoubleQuoted writes the inside of a double-quoted scalar. JSON knows most of YAML's escapes;
// the library does the rest.
func (c *blockYAML) writeDoubleQuoted(t []byte) {
	if bytes.IndexByte(t, '\\') < 0 {
		c.writeString(t)
		return
	}
	t = bytes.ReplaceAll(t, []byte("\n"), []byte(`\n`)) // from blank lines
	if !jsonEscapes(t) {
		text, ok := libraryScalar([]byte(`"` + string(t) + `"`))
		c.failed = c.failed || !ok
		c.out = append(c.out, text...)
		return
	}
	c.out = append(c.out, '"')
	c.out = append(c.out, t...)
	c.out = append(c.out, '"')
}

func jsonEscapes(t []byte) bool {
	for i := 0; i < len(t); i++ {
		if t[i] < ' ' {
			return false
		}
		if t[i] != '\\' {
			continue
		}
		i++
		switch t[i] {
		case '"', '\\', 'n', 't', 'r', 'b', 'f':
		default:
			return false
		}
	}
	return true
}

// literal is a block after "|": its lines are taken as they are, less the indentation of the first.
func (c *blockYAML) literal(parent int) {
	header := string(c.text)
	if header != "|" && header != "|-" && header != "|+" {
		c.failed = true
		return
	}
	indent, body, ok := c.literalBody(parent)
	if !ok {
		c.failed = true
		return
	}
	c.out = append(c.out, '"')
	newlines := 0 // not yet written: how many count is known at the end
	for len(body) > 0 {
		i := bytes.IndexByte(body, '\n')
		line := body[:i]
		body = body[i+1:]
		if len(line) <= indent {
			newlines++ // the line is blank
			continue
		}
		c.writeNewlines(newlines)
		c.escape(line[indent:])
		newlines = 1
	}
	switch header {
	case "|":
		c.writeNewlines(1)
	case "|+":
		c.writeNewlines(newlines)
	}
	c.out = append(c.out, '"')
	c.endScalar(parent)
}

func (c *blockYAML) writeNewlines(n int) {
	for range n {
		c.out = append(c.out, '\\', 'n')
	}
}

// literalBody finds the lines of the block and their indentation, and goes past them.
func (c *blockYAML) literalBody(parent int) (indent int, body []byte, ok bool) {
	from, blank := c.next, 0
	for c.next < len(c.src) {
		before := c.next
		line := c.line()
		text := bytes.TrimLeft(line, " ")
		n := len(line) - len(text)
		switch {
		case len(text) == 0:
			blank = max(blank, n)
			continue
		case indent == 0:
			if n <= parent || n == 0 || blank > n || text[0] == '\t' {
				return 0, nil, false
			}
			indent = n
		case n < indent:
			c.next = before
			return indent, c.src[from:before], true
		}
	}
	return indent, c.src[from:], indent > 0 && c.src[len(c.src)-1] == '\n'
}
