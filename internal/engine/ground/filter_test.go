package ground

import (
	"slices"
	"testing"

	"github.com/tare-engine/tare/internal/spec/seccomp"
)

func TestFilterCode(t *testing.T) {
	prog, info, err := seccomp.Compile(seccomp.Default(seccomp.Host{GOARCH: "amd64"}), seccomp.Options{GOARCH: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	b := encodeFilter(prog, info.Flags)
	got, flags, ok := decodeFilter(b)
	if !ok || flags != info.Flags || !slices.Equal(got, prog) {
		t.Fatal("a program is not what it was")
	}
	for i := range b {
		if i >= 4 && i < 8 {
			continue // the unused half of the flags
		}
		bad := slices.Clone(b)
		bad[i] ^= 1
		if _, f, ok := decodeFilter(bad); ok && f == info.Flags {
			t.Fatalf("byte %d changed and nobody noticed", i)
		}
	}
	for _, n := range []int{0, 8, 16, len(b) - 8, len(b) - 1} {
		if _, _, ok := decodeFilter(b[:n]); ok {
			t.Errorf("cut to %d bytes and nobody noticed", n)
		}
	}
}
