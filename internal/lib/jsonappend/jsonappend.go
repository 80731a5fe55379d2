// Package jsonappend appends values as JSON, byte for byte as encoding/json
// does. The encoders that internal/jsongen writes stand on it.
//
// encoding/json builds an encoder for each type when it first meets it. For
// the record of a container that costs each start half a millisecond of CPU.
package jsonappend

import (
	"maps"
	"slices"
	"time"
	"unicode/utf8"
)

// String appends s in quotes. As encoding/json's default it escapes what HTML
// or JavaScript would take for its own, and replaces invalid UTF-8.
func String(b []byte, s string) []byte {
	b = append(b, '"')
	done := 0 // s[:done] has been appended
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if !plain(c) {
				b = append(b, s[done:i]...)
				b = escape(b, c)
				done = i + 1
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		text := ""
		switch {
		case r == utf8.RuneError && n == 1:
			text = `\ufffd`
		case r == '\u2028': // ends a line in JavaScript
			text = `\u2028`
		case r == '\u2029':
			text = `\u2029`
		}
		if text != "" {
			b = append(b, s[done:i]...)
			b = append(b, text...)
			done = i + n
		}
		i += n
	}
	b = append(b, s[done:]...)
	return append(b, '"')
}

// plain says whether an ASCII character stands for itself.
func plain(c byte) bool {
	return c >= ' ' && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
}

func escape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\b':
		return append(b, `\b`...)
	case '\f':
		return append(b, `\f`...)
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	}
	const digits = "0123456789abcdef"
	return append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&0xf])
}

// Strings appends an array of strings; nil is null.
func Strings(b []byte, list []string) []byte {
	if list == nil {
		return append(b, "null"...)
	}
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = String(b, s)
	}
	return append(b, ']')
}

// StringMap appends an object of strings; nil is null.
func StringMap(b []byte, m map[string]string) []byte {
	return Map(b, m, func(b []byte, s *string) []byte { return String(b, *s) })
}

// Slice appends an array of what value appends; nil is null.
func Slice[E any](b []byte, list []E, value func([]byte, *E) []byte) []byte {
	if list == nil {
		return append(b, "null"...)
	}
	b = append(b, '[')
	for i := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = value(b, &list[i])
	}
	return append(b, ']')
}

// Map appends an object whose keys are sorted; nil is null.
func Map[E any](b []byte, m map[string]E, value func([]byte, *E) []byte) []byte {
	if m == nil {
		return append(b, "null"...)
	}
	if len(m) == 0 {
		return append(b, "{}"...)
	}
	start := len(b)
	for _, k := range slices.Sorted(maps.Keys(m)) {
		b = String(append(b, ','), k)
		v := m[k]
		b = value(append(b, ':'), &v)
	}
	return Object(b, start)
}

// Pointer appends what p points to; nil is null.
func Pointer[E any](b []byte, p *E, value func([]byte, *E) []byte) []byte {
	if p == nil {
		return append(b, "null"...)
	}
	return value(b, p)
}

// Object makes an object of the members from b[start:] on, each of which
// begins with its comma.
func Object(b []byte, start int) []byte {
	if len(b) == start {
		return append(b, "{}"...)
	}
	b[start] = '{'
	return append(b, '}')
}

// Time appends t as RFC 3339 with nanoseconds.
//
// Precondition: its year is at most 9999, as every clock of Linux has it.
func Time(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

// Raw appends JSON as it is; none is null.
//
// Precondition: it is valid and compact, because it was encoded here or
// decoded from what was.
func Raw(b, text []byte) []byte {
	if len(text) == 0 {
		return append(b, "null"...)
	}
	return append(b, text...)
}
