// Package handover lets a small program become a larger one that lies beside
// it, for what would make the small one slow to start (docs/adr/0005).
package handover

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/tare-engine/tare/internal/lib/fault"
	"golang.org/x/sys/unix"
)

// Become executes a program in the place of this one, with its arguments
// behind the program's name and this process's environment and descriptors. It
// returns on error only. A program that is not there is fault.NotFound, with a
// hint.
func Become(program string, args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return fault.New(fault.Internal, "find own executable: %w", err)
	}
	for _, path := range places(self, program) {
		err = unix.Exec(path, append([]string{program}, args...), os.Environ())
		if !errors.Is(err, unix.ENOENT) {
			return fault.New(fault.KindOf(err), "execute %s: %w", path, err)
		}
	}
	dir, name := filepath.Split(self)
	return fault.WithHint(fault.New(fault.NotFound, "the %s binary is missing: looked in %s", program, filepath.Clean(dir)),
		"install "+program+" beside "+name)
}

// places are where a program may be, seen from this one's own path.
func places(self, program string) []string {
	dir := filepath.Dir(self)
	return []string{
		filepath.Join(dir, program),
		filepath.Join(dir, "..", "libexec", "tare", program),
		filepath.Join(dir, "..", "lib", "tare", program),
	}
}
