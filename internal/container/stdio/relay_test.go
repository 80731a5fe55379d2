package stdio

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRelayFull: a container whose output goes to a full disk gets an error
// when it writes, and is not left waiting in a full pipe.
func TestRelayFull(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("needs /dev/full: %v", err)
	}
	defer full.Close()
	s, err := Connect(nil, full, nil)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.FcntlInt(uintptr(s.FD[1]), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	w := os.NewFile(uintptr(fd), "container's end")
	s.Started()
	for range 64 { // more than a pipe holds
		if _, err = w.Write(make([]byte, 64<<10)); err != nil {
			break
		}
	}
	if !errors.Is(err, unix.EPIPE) {
		t.Errorf("write: %v, want EPIPE", err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	s.Wait()
}
