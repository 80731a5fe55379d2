package stdio

import (
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// Drain copies what the container's process had written when it ended, and
// closes the pipes. Wait would wait for the last process that holds them,
// which after an exec session may be one that was left in the background.
func (s *Pipes) Drain() {
	for _, c := range s.outputs {
		// Ends the copier where it waits, or when it has written what it holds.
		_ = c.from.SetReadDeadline(time.Unix(1, 0)) // EOF has ended it before, or we wait for EOF
	}
	s.Wait()
}

// rest copies what is in the pipe at this moment.
func (c copier) rest() {
	_ = c.from.SetReadDeadline(time.Time{})
	raw, err := c.from.SyscallConn()
	if err != nil {
		return
	}
	n := 0
	if raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ) }) != nil || err != nil {
		return
	}
	_, _ = io.CopyN(c.to, c.from, int64(n)) // nobody is left to tell
}
