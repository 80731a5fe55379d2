package fsatomic

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReadFile(t *testing.T) {
	path := t.TempDir() + "/f"
	for _, size := range []int{0, 1, 4095, 4096, 4097, 8192, 100_000} {
		want := bytes.Repeat([]byte{'x'}, size)
		if err := os.WriteFile(path, want, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d: %d bytes, %v", size, len(got), err)
		}
	}
	if _, err := ReadFile(path + "x"); !errors.Is(err, unix.ENOENT) {
		t.Error(err)
	}
	if _, err := ReadFile("/"); !errors.Is(err, unix.EISDIR) {
		t.Error(err)
	}
	if got, err := ReadFile("/proc/self/stat"); err != nil || len(got) < 50 {
		t.Error(string(got), err)
	}
}
