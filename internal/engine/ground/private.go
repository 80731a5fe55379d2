package ground

import (
	"errors"
	"fmt"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/host"
	"golang.org/x/sys/unix"
)

// checkRoot makes sure that nobody else decides what is in a root: it belongs to
// this user or to root, and others may not write to it. They may look at it, since
// everything below is private. One that is not there will be made.
func checkRoot(what, dir string) error {
	var st unix.Stat_t
	err := unix.Stat(dir, &st)
	switch uid := host.UID(); {
	case errors.Is(err, unix.ENOENT):
		return nil
	case err != nil:
		return fmt.Errorf("open %s %s: %w", what, dir, err)
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fault.New(fault.Invalid, "open %s %s: not a directory", what, dir)
	case int(st.Uid) != uid && st.Uid != 0:
		return fault.New(fault.Denied, "open %s %s: it belongs to user %d", what, dir, st.Uid)
	case st.Mode&0o022 != 0:
		return fault.WithHint(fault.New(fault.Denied, "open %s %s: others may write to it", what, dir), "chmod go-w "+dir)
	}
	return nil
}
