package spawn

import (
	"encoding/binary"
	"fmt"

	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

// Progress is how far a child has come that another process has cloned.
type Progress struct {
	call  uint32 // the system call it is at, 0 behind the last
	errno unix.Errno
	exec  bool // every candidate of the program's path was tried
}

// ReadProgress reads the file that [NewIn] was given.
func ReadProgress(file int) (Progress, error) {
	var h [hdrSize]byte
	if err := preadFull(file, h[:], 0); err != nil {
		return Progress{}, fmt.Errorf("read progress: %w", err)
	}
	word := func(off int) uint64 { return binary.LittleEndian.Uint64(h[off:]) }
	at, count := word(hdrProgress), word(hdrCount)
	ops := int64(word(hdrOps)-word(hdrSlots)) + hdrSize
	if count > 1<<16 || at > count {
		return Progress{}, fmt.Errorf("read progress: %w", unix.EINVAL)
	}
	p := Progress{errno: unix.Errno(word(hdrErrno))}
	if at < count {
		var op [opSize]byte
		if err := preadFull(file, op[:], ops+int64(at)*opSize); err != nil {
			return Progress{}, fmt.Errorf("read progress: %w", err)
		}
		p.call = binary.LittleEndian.Uint32(op[:])
		p.exec = p.call == unix.SYS_EXECVE
		return p, nil
	}
	p.exec, p.errno = true, unix.ENOENT
	for i := range int64(count) { // see execError
		var op [opSize]byte
		if err := preadFull(file, op[:], ops+i*opSize); err != nil {
			return Progress{}, fmt.Errorf("read progress: %w", err)
		}
		ret := int32(binary.LittleEndian.Uint32(op[12:]))
		if binary.LittleEndian.Uint32(op[:]) == unix.SYS_EXECVE && ret == -int32(unix.EACCES) {
			p.errno = unix.EACCES
		}
	}
	return p, nil
}

// Outcome is what [Run.WaitExec] says, of a child whose descriptors have been
// closed: nil when it executes its program now.
func (pr Progress) Outcome(p Process) error {
	if pr.exec && pr.errno == 0 && p.executed() {
		return nil
	}
	return &OpError{Step: "start", Call: plan.CallName(pr.call), Errno: pr.errno, Exec: pr.exec && pr.errno != 0}
}

func preadFull(fd int, b []byte, off int64) error {
	n, err := unix.Pread(fd, b, off)
	if err == nil && n != len(b) {
		err = unix.EINVAL
	}
	return err
}
