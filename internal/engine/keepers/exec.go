package keepers

import (
	"github.com/tare-engine/tare/internal/lib/fault"
	"golang.org/x/sys/unix"
)

// Exec executes the keeper's program, whose settings have been written.
func (k Keepers) Exec(id string, keep ...int) error {
	bin, err := k.Path()
	if err != nil {
		return err
	}
	return execAs(bin, []string{Program, k.State.LiveDir(id)}, keep...)
}

// execAs replaces this process by a small program that outlives the caller's
// session: its standard descriptors are the null device.
func execAs(bin string, args []string, keep ...int) error {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	for fd := range 3 {
		if err := unix.Dup3(null, fd, 0); err != nil {
			return err
		}
	}
	// What the caller gave us for itself is not the keeper's.
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return err
	}
	for _, fd := range keep {
		if fd < 0 {
			continue
		}
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return err
		}
	}
	_ = unix.Chdir("/")
	// A huge page would be many times what the keeper needs.
	_ = unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0)
	// One processor's caches, and a collector that does not begin before 4 MB.
	return fault.New(fault.Internal, "execute %s: %w", bin, unix.Exec(bin, args, []string{"GOMAXPROCS=1"}))
}

// Program is the keeper's, beside tare.
const Program = "tare-keeper"

// Path finds the keeper's program.
func (k Keepers) Path() (string, error) {
	if bin := k.Helper(Program); bin != "" {
		return bin, nil
	}
	return "", fault.New(fault.Unsupported, Program+" is not installed beside tare")
}
