package systemd

import (
	"encoding/binary"
	"errors"
)

// The part of D-Bus's wire format that three method calls and one signal
// need (D-Bus specification, Message Protocol). Little-endian.

// Types of message.
const (
	methodCall   = 1
	methodReturn = 2
	errorReply   = 3
	signal       = 4
)

// Header fields.
const (
	fieldPath        = 1
	fieldInterface   = 2
	fieldMember      = 3
	fieldErrorName   = 4
	fieldReplySerial = 5
	fieldDestination = 6
	fieldSignature   = 8
)

// Property is one property of a unit: a name and a value that is a bool, a
// string, a uint64, a []uint32 or a []byte.
type Property struct {
	Name  string
	Value any
}

// encoder appends values, each aligned to its size from the message's begin.
type encoder struct{ b []byte }

func (e *encoder) align(n int) {
	for len(e.b)%n != 0 {
		e.b = append(e.b, 0)
	}
}

func (e *encoder) byte(v byte) { e.b = append(e.b, v) }

func (e *encoder) uint32(v uint32) {
	e.align(4)
	e.b = binary.LittleEndian.AppendUint32(e.b, v)
}

func (e *encoder) uint64(v uint64) {
	e.align(8)
	e.b = binary.LittleEndian.AppendUint64(e.b, v)
}

func (e *encoder) string(s string) {
	e.uint32(uint32(len(s)))
	e.b = append(append(e.b, s...), 0)
}

func (e *encoder) signature(s string) {
	e.b = append(append(append(e.b, byte(len(s))), s...), 0)
}

// array appends what fill adds, with its length in front. Its elements are
// aligned to align bytes, and what lies between length and them is not counted.
func (e *encoder) array(align int, fill func()) {
	e.uint32(0)
	at := len(e.b) - 4
	e.align(align)
	begin := len(e.b)
	fill()
	binary.LittleEndian.PutUint32(e.b[at:], uint32(len(e.b)-begin))
}

func (e *encoder) variant(v any) {
	switch v := v.(type) {
	case bool:
		e.signature("b")
		n := uint32(0)
		if v {
			n = 1
		}
		e.uint32(n)
	case string:
		e.signature("s")
		e.string(v)
	case uint64:
		e.signature("t")
		e.uint64(v)
	case []uint32:
		e.signature("au")
		e.array(4, func() {
			for _, n := range v {
				e.uint32(n)
			}
		})
	case []byte:
		e.signature("ay")
		e.array(1, func() { e.b = append(e.b, v...) })
	}
}

func (e *encoder) properties(list []Property) {
	e.array(8, func() {
		for _, p := range list {
			e.align(8)
			e.string(p.Name)
			e.variant(p.Value)
		}
	})
}

// call encodes a method call to an object of systemd.
func call(serial uint32, path, iface, member, sig string, body []byte) []byte {
	e := &encoder{}
	e.b = append(e.b, 'l', methodCall, 0, 1)
	e.uint32(uint32(len(body)))
	e.uint32(serial)
	e.array(8, func() {
		for _, f := range []struct {
			code     byte
			sig, val string
		}{
			{fieldPath, "o", path},
			{fieldInterface, "s", iface},
			{fieldMember, "s", member},
			{fieldDestination, "s", "org.freedesktop.systemd1"},
			{fieldSignature, "g", sig},
		} {
			if f.val == "" {
				continue
			}
			e.align(8)
			e.byte(f.code)
			e.signature(f.sig)
			if f.sig == "g" {
				e.signature(f.val)
			} else {
				e.string(f.val)
			}
		}
	})
	e.align(8)
	return append(e.b, body...)
}

// message is what systemd sends.
type message struct {
	kind        byte
	member      string
	errorName   string
	signature   string
	replySerial uint32
	body        []byte
}

var errMalformed = errors.New("malformed message")

// maxMessage bounds a message; D-Bus's own limit is 128 MB.
const maxMessage = 1 << 20

// sizes returns how long the header fields and the whole message are, of the
// 16 bytes that it begins with.
func sizes(b []byte) (fields, total int, err error) {
	if len(b) < 16 || b[0] != 'l' || b[3] != 1 {
		return 0, 0, errMalformed
	}
	body, f := binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[12:])
	if body > maxMessage || f > maxMessage {
		return 0, 0, errMalformed
	}
	fields = int(f)
	return fields, (16+fields+7)&^7 + int(body), nil
}

func decode(b []byte) (*message, error) {
	fields, total, err := sizes(b)
	if err != nil || len(b) != total {
		return nil, errMalformed
	}
	m := &message{kind: b[1], body: b[(16+fields+7)&^7:]}
	d := &decoder{b: b[:16+fields], at: 16}
	for d.at < len(d.b) && d.err == nil {
		d.align(8)
		code := d.byte()
		switch sig := d.signature(); sig {
		case "s", "o":
			switch s := d.string(); code {
			case fieldMember:
				m.member = s
			case fieldErrorName:
				m.errorName = s
			}
		case "g":
			m.signature = d.signature()
		case "u":
			n := d.uint32()
			if code == fieldReplySerial {
				m.replySerial = n
			}
		default:
			return nil, errMalformed
		}
	}
	return m, d.err
}

// decoder reads values; after an error it returns zeros.
type decoder struct {
	b   []byte
	at  int
	err error
}

func (d *decoder) take(n int) []byte {
	if d.err != nil || n < 0 || n > len(d.b)-d.at {
		d.err = errMalformed
		return make([]byte, max(0, min(n, 8)))
	}
	d.at += n
	return d.b[d.at-n : d.at]
}

func (d *decoder) align(n int) {
	for d.at%n != 0 && d.err == nil {
		d.take(1)
	}
}

func (d *decoder) byte() byte { return d.take(1)[0] }

func (d *decoder) uint32() uint32 {
	d.align(4)
	return binary.LittleEndian.Uint32(d.take(4))
}

func (d *decoder) string() string {
	n := d.uint32()
	if d.err != nil || n > maxMessage {
		d.err = errMalformed
		return ""
	}
	s := d.take(int(n))
	d.take(1)
	if d.err != nil {
		return ""
	}
	return string(s)
}

func (d *decoder) signature() string {
	n := d.byte()
	s := d.take(int(n))
	d.take(1)
	if d.err != nil {
		return ""
	}
	return string(s)
}
