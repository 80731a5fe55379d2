package stdio

import (
	"bytes"
	"strings"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// DefaultDetachKeys is what an empty setting stands for.
const DefaultDetachKeys = "ctrl-p,ctrl-q"

// ParseDetachKeys reads a sequence of keys as Docker writes it: letters, or
// ctrl- and one of a-z @ [ \ ] ^ _, separated by commas. Empty is the default.
func ParseDetachKeys(text string) ([]byte, error) {
	if text == "" {
		text = DefaultDetachKeys
	}
	var keys []byte
	for key := range strings.SplitSeq(text, ",") {
		c, ctrl := strings.CutPrefix(key, "ctrl-")
		switch {
		case !ctrl && len(key) == 1:
			keys = append(keys, key[0])
		case ctrl && len(c) == 1 && (c[0] >= 'a' && c[0] <= 'z' || c[0] >= '@' && c[0] <= '_' && strings.IndexByte(`@[\]^_`, c[0]) >= 0):
			keys = append(keys, c[0]&0x1f)
		default:
			return nil, fault.New(fault.Invalid, "unknown character: '%s'", key)
		}
	}
	return keys, nil
}

// ErrDetached says that the user has typed the detach keys: what he was attached to
// goes on.
var ErrDetached error = &fault.Error{Kind: fault.Unavailable, Text: "read escape sequence"}

// Detacher looks for the detach keys in what is typed. What may be their
// beginning is held back until it is known not to be.
type Detacher struct {
	keys []byte
	held int // bytes of keys seen and not passed on
}

// NewDetacher returns a Detacher for a sequence; without keys it finds none.
func NewDetacher(keys []byte) *Detacher { return &Detacher{keys: keys} }

// Feed takes what was typed and returns what to pass on. When the sequence is
// complete, detached is true and the rest of in is dropped.
func (d *Detacher) Feed(in []byte) (out []byte, detached bool) {
	if len(d.keys) == 0 || d.held == 0 && bytes.IndexByte(in, d.keys[0]) < 0 {
		return in, false
	}
	out = make([]byte, 0, d.held+len(in))
	for _, c := range in {
		if c != d.keys[d.held] {
			out = append(out, d.keys[:d.held]...)
			d.held = 0
		}
		if c != d.keys[d.held] {
			out = append(out, c)
			continue
		}
		if d.held++; d.held == len(d.keys) {
			return out, true
		}
	}
	return out, false
}
