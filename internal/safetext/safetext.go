// Package safetext makes text of others safe to show. An image reference in a pod, an answer of a
// registry or a message of a kubelet is written by a tenant or by a remote host. Written to a
// terminal as it is, ESC and C1 control characters can recolour or erase what an administrator
// reads, BEL rings, and U+202E shows the rest of a line from right to left.
//
// It is applied where text leaves the process: the writers of the commands, the log, events,
// messages of the status, and the report objects. Code that decides works with the text as it is.
package safetext

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Clean replaces each character that is not printable by its escape. Line feeds and tabs stay,
// because they lay out the output. Clean(Clean(s)) is Clean(s), and the result is valid UTF-8.
//
//	"quay.io/acme/shop:\x1b[31mv1" -> `quay.io/acme/shop:\u001b[31mv1`
//	"quay.io/acme/shop\u202e:1v"   -> `quay.io/acme/shop\u202e:1v`
//	"caf\xe9"                      -> `caf\xe9`
//
// The escape of a character is that of JSON. A JSON document that is cleaned therefore still holds
// the same values: encoding/json leaves U+202E and C1 control characters as they are.
func Clean(s string) string {
	for i, r := range s {
		if !safe(r) || r == utf8.RuneError {
			return s[:i] + escape(s[i:])
		}
	}
	return s
}

// safe tells whether a terminal shows the character and does nothing else with it.
func safe(r rune) bool { return unicode.IsPrint(r) || r == '\n' || r == '\t' }

func escape(s string) string {
	var out strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1: // not UTF-8
			fmt.Fprintf(&out, `\x%02x`, s[0])
		case safe(r):
			out.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
		s = s[size:]
	}
	return out.String()
}
