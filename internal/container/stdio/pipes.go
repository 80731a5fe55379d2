// Package stdio connects the command in whose foreground something runs with
// it: its standard streams or its terminal, the signals meant for it, and the
// keys that leave it alone.
package stdio

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Pipes connects a container's standard descriptors with the caller's
// files.
//
// A pipe or a socket is handed over as it is: nothing is copied. A terminal,
// a regular file or a device is not: through /proc/self/fd a container could
// open it anew for more than it was given for (read the keyboard, write the
// input file, chmod the host's /dev/null), so it gets a pipe and we copy.
type Pipes struct {
	// FD are the descriptors for the container; -1 is its own /dev/null.
	FD [3]int

	apart   bool       // no output is handed over
	ends    []*os.File // the container's ends of our pipes
	stdin   copier     // not waited for: it may sit in a read for ever
	outputs []copier
	wg      sync.WaitGroup
	failed  atomic.Pointer[error]
}

type copier struct {
	from, to *os.File
}

// Connect prepares the pipes. A nil file is the container's /dev/null.
func Connect(in, out, err *os.File) (*Pipes, error) {
	return connect(&Pipes{FD: [3]int{-1, -1, -1}}, in, out, err)
}

// ConnectApart is Connect for a process that is one of several: what it
// leaves in the background must not hold the caller's pipes, on which
// somebody waits for the end.
func ConnectApart(in, out, err *os.File) (*Pipes, error) {
	return connect(&Pipes{FD: [3]int{-1, -1, -1}, apart: true}, in, out, err)
}

func connect(s *Pipes, in, out, err *os.File) (*Pipes, error) {
	if e := s.input(in); e != nil {
		return nil, e
	}
	if e := s.output(1, out); e != nil {
		s.Close()
		return nil, e
	}
	if len(s.outputs) > 0 && sameFile(out, err) {
		s.FD[2] = s.FD[1] // one pipe keeps the order
	} else if e := s.output(2, err); e != nil {
		s.Close()
		return nil, e
	}
	return s, nil
}

type class uint8

const (
	pass    class = iota // safe to hand over
	discard              // the null device
	relay
)

func classOf(f *os.File) (class, error) {
	if f == nil {
		return discard, nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return discard, fmt.Errorf("%s: %w", f.Name(), err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFIFO, unix.S_IFSOCK:
		return pass, nil
	case unix.S_IFCHR:
		if st.Rdev == unix.Mkdev(1, 3) {
			return discard, nil
		}
	}
	return relay, nil
}

func sameFile(a, b *os.File) bool {
	if a == nil || b == nil {
		return false
	}
	var x, y unix.Stat_t
	return unix.Fstat(int(a.Fd()), &x) == nil && unix.Fstat(int(b.Fd()), &y) == nil &&
		x.Dev == y.Dev && x.Ino == y.Ino
}

// hand returns a descriptor for f that is in place or out of the way of 0, 1
// and 2.
func (s *Pipes) hand(i int, f *os.File) (int, error) {
	fd := int(f.Fd())
	if fd == i || fd > 2 {
		return fd, nil
	}
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return -1, err
	}
	s.ends = append(s.ends, os.NewFile(uintptr(dup), f.Name()))
	return dup, nil
}

func (s *Pipes) input(f *os.File) error {
	c, err := classOf(f)
	if err != nil {
		return err
	}
	switch c {
	case discard:
		return nil
	case pass:
		s.FD[0], err = s.hand(0, f)
		return err
	case relay:
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	s.ends = append(s.ends, r)
	s.stdin = copier{f, w}
	s.FD[0], err = s.hand(0, r)
	return err
}

func (s *Pipes) output(i int, f *os.File) error {
	c, err := classOf(f)
	if err != nil {
		return err
	}
	switch {
	case c == discard:
		return nil
	case c == pass && !s.apart:
		s.FD[i], err = s.hand(i, f)
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	s.ends = append(s.ends, w)
	s.outputs = append(s.outputs, copier{r, f})
	s.FD[i], err = s.hand(i, w)
	return err
}

// pipeMagic is the file system type of pipes without a name.
const pipeMagic = 0x50495045

// Give makes uid, as the host numbers it, the owner of the container's pipes:
// another user than root could not open /dev/stdout as a file otherwise, which
// many images' log files link to. runc does so too. A pipe that has a name
// belongs to the host.
func (s *Pipes) Give(uid int) error {
	for i, fd := range s.FD {
		if fd < 0 {
			continue
		}
		var fs unix.Statfs_t
		if err := unix.Fstatfs(fd, &fs); err != nil {
			return fmt.Errorf("standard stream %d: %w", i, err)
		}
		if fs.Type != pipeMagic {
			continue
		}
		if err := unix.Fchown(fd, uid, -1); err != nil && err != unix.EPERM {
			return fmt.Errorf("standard stream %d: chown: %w", i, err)
		}
	}
	return nil
}

// Started closes the container's ends in this process and begins to copy.
func (s *Pipes) Started() {
	if s == nil {
		return
	}
	s.closeEnds()
	if s.stdin.from != nil {
		go func() {
			_, _ = io.Copy(s.stdin.to, s.stdin.from) // EPIPE: nobody reads any more
			_ = s.stdin.to.Close()
		}()
	}
	for _, c := range s.outputs {
		s.wg.Go(func() {
			_, err := io.Copy(c.to, c.from)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				c.rest()
			} else if err != nil && !errors.Is(err, unix.EPIPE) {
				s.failed.CompareAndSwap(nil, &err)
			}
			// Our reader is gone, or the disk is full: the container gets
			// EPIPE instead of waiting in a full pipe for ever.
			_ = c.from.Close()
		})
	}
}

// Wait waits until everything that the container wrote has been copied.
func (s *Pipes) Wait() {
	s.wg.Wait()
	s.Close()
}

// Err tells why output was lost on its way to the caller's files: the disk is
// full, say. A reader that went away is no error. Call it after Wait.
func (s *Pipes) Err() error {
	if err := s.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// Close closes our pipes.
func (s *Pipes) Close() {
	if s == nil {
		return
	}
	s.closeEnds()
	for _, c := range s.outputs {
		_ = c.from.Close()
	}
}

func (s *Pipes) closeEnds() {
	for _, f := range s.ends {
		_ = f.Close()
	}
	s.ends = nil
}
