// Package jsonread reads JSON without reflection: a program that starts in a
// millisecond does not pay for the tables that encoding/json makes of each
// type at its first use (0.7 ms for a runtime-spec configuration).
//
// A [Reader] goes through a text once. Functions that internal/jsongen writes
// call it for each member of an object:
//
//	for r.Begin('{'); r.More('}'); {
//		switch r.Key() {
//		case "name":
//			jsonread.String(r, &v.Name)
//		default:
//			r.Skip()
//		}
//	}
//
// What is read is what encoding/json's Unmarshal would have read into the same
// value, down to null and to members that come twice, but for three things:
// member names are taken as they are written, not in any case; a text that is
// not UTF-8 is refused; and so are more than 1000 values inside each other.
package jsonread

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds nested values.
const maxDepth = 1000

// Reader reads one JSON text. The first error stays: what is read after it is
// zero, and no object or array has more members.
type Reader struct {
	text  string
	pos   int
	depth int
	fresh bool // the next member is the first of its object or array
	err   error
}

// New returns a reader of text. Strings that it returns may be parts of text.
func New(text string) *Reader {
	r := &Reader{text: text}
	if !utf8.ValidString(text) {
		r.fail("text is not UTF-8")
	}
	return r
}

// End checks that nothing follows the value that was read, and returns the
// first error.
func (r *Reader) End() error {
	if r.space(); r.err == nil && r.pos < len(r.text) {
		r.fail("more than one value")
	}
	return r.err
}

func (r *Reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("at byte %d: "+format, append([]any{r.pos}, args...)...)
	}
}

func (r *Reader) space() {
	for r.pos < len(r.text) {
		switch r.text[r.pos] {
		case ' ', '\t', '\n', '\r':
			r.pos++
		default:
			return
		}
	}
}

// peek returns the next byte that is not space, 0 at the end or after an
// error.
func (r *Reader) peek() byte {
	if r.err != nil {
		return 0
	}
	if r.space(); r.pos == len(r.text) {
		return 0
	}
	return r.text[r.pos]
}

func (r *Reader) take(c byte) bool {
	if r.peek() != c || c == 0 {
		return false
	}
	r.pos++
	return true
}

// want says what should have been there.
func (r *Reader) want(what string) {
	if r.err != nil {
		return
	}
	if c := r.peek(); c != 0 {
		r.fail("%q where %s should be", c, what)
	} else {
		r.fail("the end where %s should be", what)
	}
}

// Begin enters an object ('{') or an array ('[').
func (r *Reader) Begin(open byte) {
	if !r.take(open) {
		r.want(map[byte]string{'{': "an object", '[': "an array"}[open])
		return
	}
	if r.depth++; r.depth > maxDepth {
		r.fail("more than %d values inside each other", maxDepth)
	}
	r.fresh = true
}

// More reports whether another member follows. At the end of the object or
// array, which end is, it leaves it.
func (r *Reader) More(end byte) bool {
	first := r.fresh
	r.fresh = false
	switch {
	case r.err != nil:
		return false
	case r.take(end):
		r.depth--
		return false
	case !first && !r.take(','):
		r.want("a comma or the end")
		return false
	case !first && r.peek() == end:
		r.want("a member")
		return false
	}
	return r.err == nil
}

// Key reads the name of an object's member.
func (r *Reader) Key() string {
	k := r.quoted("a name")
	if r.err == nil && !r.take(':') {
		r.want("a colon")
	}
	return k
}

// Null reads null if it is next.
func (r *Reader) Null() bool { return r.peek() == 'n' && r.word("null") }

func (r *Reader) word(w string) bool {
	if strings.HasPrefix(r.text[r.pos:], w) {
		r.pos += len(w)
		return true
	}
	r.want("a value")
	return false
}

// bool reads true or false.
func (r *Reader) bool() bool {
	switch r.peek() {
	case 't':
		return r.word("true")
	case 'f':
		r.word("false")
	default:
		r.want("true or false")
	}
	return false
}

// quoted reads a string; what says what it is.
func (r *Reader) quoted(what string) string {
	if !r.take('"') {
		r.want(what)
		return ""
	}
	start := r.pos
	for i := start; i < len(r.text); i++ {
		switch c := r.text[i]; {
		case c == '"':
			r.pos = i + 1
			return r.text[start:i]
		case c == '\\':
			return r.escaped(start, i)
		case c < 0x20:
			r.pos = i
			r.fail("control character in a string")
			return ""
		}
	}
	r.pos = len(r.text)
	r.fail("a string without end")
	return ""
}

// escaped reads a string that begins at start and has its first backslash at
// i.
func (r *Reader) escaped(start, i int) string {
	b := append(make([]byte, 0, 2*(i-start)+16), r.text[start:i]...)
	for i < len(r.text) {
		c := r.text[i]
		switch {
		case c == '"':
			r.pos = i + 1
			return string(b)
		case c < 0x20:
			r.pos = i
			r.fail("control character in a string")
			return ""
		case c != '\\':
			b = append(b, c)
			i++
			continue
		}
		if i+1 == len(r.text) {
			break
		}
		c = r.text[i+1]
		i += 2
		if n := strings.IndexByte(`"\/bfnrt`, c); n >= 0 {
			b = append(b, "\"\\/\b\f\n\r\t"[n])
			continue
		}
		u, ok := r.hex(i)
		if c != 'u' || !ok {
			r.pos = i - 2
			r.fail("unknown escape in a string")
			return ""
		}
		i += 4
		if utf16.IsSurrogate(u) {
			low, ok := rune(0), false
			if strings.HasPrefix(r.text[i:], `\u`) {
				low, ok = r.hex(i + 2)
			}
			if u = utf16.DecodeRune(u, low); ok && u != utf8.RuneError {
				i += 6
			}
		}
		b = utf8.AppendRune(b, u)
	}
	r.pos = len(r.text)
	r.fail("a string without end")
	return ""
}

func (r *Reader) hex(i int) (rune, bool) {
	if i+4 > len(r.text) {
		return 0, false
	}
	n, err := strconv.ParseUint(r.text[i:i+4], 16, 16)
	return rune(n), err == nil
}

// number returns the text of a number and whether it is an integer.
func (r *Reader) number() (text string, integer bool) {
	r.peek()
	start, i := r.pos, r.pos
	digits := func() bool {
		from := i
		for i < len(r.text) && r.text[i] >= '0' && r.text[i] <= '9' {
			i++
		}
		return i > from
	}
	if i < len(r.text) && r.text[i] == '-' {
		i++
	}
	whole := i
	ok := digits() && (r.text[whole] != '0' || i == whole+1)
	integer = true
	if ok && i < len(r.text) && r.text[i] == '.' {
		i++
		ok, integer = digits(), false
	}
	if ok && i < len(r.text) && r.text[i]|0x20 == 'e' {
		i++
		if i < len(r.text) && (r.text[i] == '+' || r.text[i] == '-') {
			i++
		}
		ok, integer = digits(), false
	}
	if !ok {
		r.want("a number")
		return "", false
	}
	r.pos = i
	return r.text[start:i], integer
}

// Skip reads any value.
func (r *Reader) Skip() {
	switch c := r.peek(); c {
	case '{':
		for r.Begin('{'); r.More('}'); {
			r.Key()
			r.Skip()
		}
	case '[':
		for r.Begin('['); r.More(']'); {
			r.Skip()
		}
	case '"':
		r.quoted("a string")
	case 't', 'f':
		r.bool()
	case 'n':
		r.Null()
	default:
		if r.err == nil {
			r.number()
		}
	}
}
