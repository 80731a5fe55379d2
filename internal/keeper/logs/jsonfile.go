package logs

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// jsonFormat is Docker's json-file: one object a line,
//
//	{"log":"text\n","stream":"stdout","attrs":{"tag":"x"},"time":"2026-01-02T03:04:05.678Z"}
//
// A line that is longer than 16 KiB is several records, all but the last
// without the line feed; so is a line that the container never ended. What is
// no UTF-8 becomes U+FFFD: the format cannot hold it.
type jsonFormat struct{ attrs []byte }

func (*jsonFormat) holds() bool { return true }

func (f *jsonFormat) record(b []byte, stream byte, line []byte, part bool, t time.Time) []byte {
	b = append(b, `{"log":"`...)
	b = appendEscaped(b, line)
	if !part {
		b = append(b, `\n`...)
	}
	b = append(b, `","stream":"`...)
	b = append(b, streamName(stream)...)
	b = append(b, '"')
	b = append(b, f.attrs...)
	b = append(b, `,"time":"`...)
	b = t.UTC().AppendFormat(b, time.RFC3339Nano)
	return append(b, "\"}\n"...)
}

func streamName(stream byte) string {
	if stream == Stderr {
		return "stderr"
	}
	return "stdout"
}

// attrsJSON is the member for attributes, with its comma.
func attrsJSON(attrs []Attr) []byte {
	if len(attrs) == 0 {
		return nil
	}
	b := []byte(`,"attrs":`)
	sep := byte('{')
	for _, a := range attrs {
		b = append(b, sep, '"')
		b = appendEscaped(b, []byte(a.Key))
		b = append(b, `":"`...)
		b = appendEscaped(b, []byte(a.Value))
		b = append(b, '"')
		sep = ','
	}
	return append(b, '}')
}

// appendEscaped appends text as Docker writes it between quotes: other than
// encoding/json it has no short forms for \b, \f and \t.
func appendEscaped(b, text []byte) []byte {
	const digits = "0123456789abcdef"
	done := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&' {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRune(text[i:])
			if r != '\u2028' && r != '\u2029' && (r != utf8.RuneError || n > 1) {
				i += n
				continue
			}
			b = append(b, text[done:i]...)
			switch r {
			case '\u2028':
				b = append(b, `\u2028`...)
			case '\u2029':
				b = append(b, `\u2029`...)
			default:
				b = append(b, `\ufffd`...)
			}
			i += n
			done = i
			continue
		}
		b = append(b, text[done:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		default:
			b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&0xf])
		}
		i++
		done = i
	}
	return append(b, text[done:]...)
}

// jsonLine reads one record of json-file, whoever wrote it: members in any
// order, unknown ones are skipped. The text is appended to b.
func jsonLine(b, line []byte) (r record, _ bool) {
	r.stream = Stdout
	text := b
	p := jsonParser{s: line}
	if !p.skip('{') {
		return r, false
	}
	for !p.skip('}') {
		key, ok := p.str(nil)
		if !ok || !p.skip(':') {
			return r, false
		}
		switch string(key) {
		case "log":
			text, ok = p.str(b)
		case "stream":
			var s []byte
			s, ok = p.str(nil)
			if string(s) == "stderr" {
				r.stream = Stderr
			}
		case "time":
			var s []byte
			if s, ok = p.str(nil); ok {
				t, err := time.Parse(time.RFC3339Nano, string(s))
				r.time, ok = t.UnixNano(), err == nil
			}
		default:
			ok = p.value()
		}
		if !ok {
			return r, false
		}
		p.skip(',')
	}
	r.text = text[len(b):]
	return r, true
}

// jsonParser reads the JSON of one line.
type jsonParser struct {
	s []byte
	i int
}

func (p *jsonParser) skip(c byte) bool {
	for p.i < len(p.s) && (p.s[p.i] == ' ' || p.s[p.i] == '\t') {
		p.i++
	}
	if p.i < len(p.s) && p.s[p.i] == c {
		p.i++
		return true
	}
	return false
}

// str appends a string to b.
func (p *jsonParser) str(b []byte) ([]byte, bool) {
	if !p.skip('"') {
		return b, false
	}
	start := p.i
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case '"':
			b = append(b, p.s[start:p.i]...)
			p.i++
			return b, true
		case '\\':
			b = append(b, p.s[start:p.i]...)
			var ok bool
			if b, ok = p.escape(b); !ok {
				return b, false
			}
			start = p.i
		default:
			p.i++
		}
	}
	return b, false
}

func (p *jsonParser) escape(b []byte) ([]byte, bool) {
	if p.i+1 >= len(p.s) {
		return b, false
	}
	c := p.s[p.i+1]
	p.i += 2
	switch c {
	case '"', '\\', '/':
		return append(b, c), true
	case 'b':
		return append(b, '\b'), true
	case 'f':
		return append(b, '\f'), true
	case 'n':
		return append(b, '\n'), true
	case 'r':
		return append(b, '\r'), true
	case 't':
		return append(b, '\t'), true
	case 'u':
		r, ok := p.hex()
		if ok && r >= 0xd800 && r < 0xdc00 && p.i+1 < len(p.s) && p.s[p.i] == '\\' && p.s[p.i+1] == 'u' {
			p.i += 2
			var low rune
			if low, ok = p.hex(); ok {
				r = (r-0xd800)<<10 | (low - 0xdc00) + 0x10000
			}
		}
		return utf8.AppendRune(b, r), ok
	}
	return b, false
}

func (p *jsonParser) hex() (rune, bool) {
	if p.i+4 > len(p.s) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(p.s[p.i:p.i+4]), 16, 16)
	p.i += 4
	return rune(n), err == nil
}

// value skips any value.
func (p *jsonParser) value() bool {
	p.skip(0)
	if p.i < len(p.s) && p.s[p.i] == '"' {
		_, ok := p.str(nil)
		return ok
	}
	depth := 0
	for p.i < len(p.s) {
		switch c := p.s[p.i]; c {
		case '"':
			if _, ok := p.str(nil); !ok {
				return false
			}
			continue
		case '{', '[':
			depth++
		case '}', ']', ',':
			if depth == 0 {
				return true
			}
			if c != ',' {
				depth--
			}
		}
		p.i++
	}
	return false
}
