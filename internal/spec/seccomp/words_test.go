package seccomp

import (
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestWords: every word that is announced is accepted.
func TestWords(t *testing.T) {
	w := Words()
	for _, a := range w.Actions {
		if _, err := returnValue(a, nil); err != nil {
			t.Error(err)
		}
	}
	for _, o := range w.Operators {
		if _, err := parseCond(0, 0, &specs.LinuxSeccompArg{Op: o}); err != nil {
			t.Error(err)
		}
	}
	if _, err := filterFlags(w.Flags, true); err != nil {
		t.Error(err)
	}
	for _, a := range w.Archs {
		if _, ok, known := archColumn(a); !ok || !known {
			t.Errorf("architecture %s is not supported", a)
		}
	}
}
