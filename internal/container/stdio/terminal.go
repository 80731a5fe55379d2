package stdio

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Terminal copies between the caller's terminal and a container's pty.
type Terminal struct {
	master  *os.File
	in, out *os.File
	old     *term.State
	started bool
	done    chan struct{}
}

// OpenTerminal sets the pty's size and, where in is a terminal, raw mode. A
// nil in gives the container a terminal that nobody types on.
func OpenTerminal(master, in, out *os.File, rows, cols uint16) (*Terminal, error) {
	// Through 1 and 2 the Go runtime makes SIGPIPE of EPIPE, and this process
	// would die with the terminal raw.
	fd, err := unix.FcntlInt(out.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	t := &Terminal{master: master, in: in, out: os.NewFile(uintptr(fd), out.Name()), done: make(chan struct{})}
	if !t.resize() && rows > 0 && cols > 0 {
		_ = unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols}) // size is not vital
	}
	if in != nil && term.IsTerminal(int(in.Fd())) {
		old, err := term.MakeRaw(int(in.Fd()))
		if err != nil {
			_ = t.out.Close()
			return nil, err
		}
		t.old = old
	}
	return t, nil
}

// Resize gives the pty a size; with zeros, that of the caller's terminal.
func (t *Terminal) Resize(rows, cols uint16) {
	if rows == 0 || cols == 0 {
		t.resize()
		return
	}
	_ = unix.IoctlSetWinsize(int(t.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols}) // size is not vital
}

// resize gives the pty the caller's terminal's size.
func (t *Terminal) resize() bool {
	for _, f := range []*os.File{t.out, t.in} {
		if f == nil {
			continue
		}
		if ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
			return unix.IoctlSetWinsize(int(t.master.Fd()), unix.TIOCSWINSZ, ws) == nil
		}
	}
	return false
}

// Start begins to copy.
func (t *Terminal) Start() {
	t.started = true
	t.resize() // it may have changed before SIGWINCH was caught
	if t.in != nil {
		go func() { _, _ = io.Copy(t.master, t.in) }()
	}
	go func() {
		// Ends with EIO when the last process that holds the pty is gone.
		_, err := io.Copy(t.out, t.master)
		var pe *os.PathError
		if errors.As(err, &pe) && pe.Op == "write" {
			_ = t.master.Close() // nobody sees the terminal any more: hang up
		}
		close(t.done)
	}()
}

// Finish copies what is left of the output and gives the terminal back. It is
// called when the container's first process has ended; others may hold the
// pty for as long as its pid namespace is being torn down.
func (t *Terminal) Finish() {
	if t.started {
		<-t.done
	}
	t.Restore()
	_ = t.master.Close()
	_ = t.out.Close()
}

// Restore leaves raw mode. There may be no terminal.
func (t *Terminal) Restore() {
	if t != nil && t.old != nil {
		_ = term.Restore(int(t.in.Fd()), t.old) // the terminal may be gone
		t.old = nil
	}
}
