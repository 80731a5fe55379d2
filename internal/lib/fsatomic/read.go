package fsatomic

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// ReadFile is os.ReadFile for many small files: three system calls where that
// makes a dozen to find out whether the file can be waited for. The error
// carries the errno.
func ReadFile(path string) ([]byte, error) {
	fd, err := retry(func() (int, error) {
		return unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer func() { _ = unix.Close(fd) }() // read only
	b := make([]byte, 4096)
	n := 0
	for {
		k, err := retry(func() (int, error) { return unix.Read(fd, b[n:]) })
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		// A read of a regular file or of /proc that is short has come to the end.
		if n += k; n < len(b) {
			return b[:n], nil
		}
		b = append(b, make([]byte, len(b))...)
	}
}
