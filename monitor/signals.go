package monitor

import (
	"github.com/tare-engine/tare/spawn"
	"github.com/tare-engine/tare/spawn/sigpipe"
	"golang.org/x/sys/unix"
)

// forwarded are the signals that a foreground run passes on: all that a user
// or a service manager sends. SIGCHLD, SIGPIPE and SIGURG are this process's
// own; the job control signals stop it, as they stop `docker run`.
var forwarded = []unix.Signal{
	unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2,
	unix.SIGALRM, unix.SIGCONT, unix.SIGIO, unix.SIGVTALRM, unix.SIGXCPU, unix.SIGXFSZ, unix.SIGPWR,
}

// The real-time signals: 32 and 33 are the C library's.
const firstRT, lastRT = unix.Signal(34), unix.Signal(64)

// ending are the signals that may end this process before the container when
// none are forwarded. A terminal must not stay raw then.
var ending = []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM}

// Signals are the signals that this process gets while a container runs.
type Signals struct {
	fd      int
	forward bool
}

// Catch takes signals over: with forward those meant for the container, with
// tty SIGWINCH. What arrives before Wait is kept for it.
func Catch(forward, tty bool) (*Signals, error) {
	var list []unix.Signal
	switch {
	case forward:
		list = append(list, forwarded...)
		for sig := firstRT; sig <= lastRT; sig++ {
			list = append(list, sig)
		}
	case tty:
		list = append(list, ending...)
	}
	if tty {
		list = append(list, unix.SIGWINCH)
	}
	if len(list) == 0 {
		return &Signals{fd: -1}, nil
	}
	fd, err := sigpipe.Open(list...)
	return &Signals{fd, forward}, err
}

// Wait waits for p to end, and until then forwards signals and follows the
// terminal, which may be nil. p is reaped.
func (s *Signals) Wait(p spawn.Process, t *Terminal) (spawn.Status, error) {
	// ESRCH: it has just ended.
	if err := s.Until(p.Pidfd, t, func(sig unix.Signal) { _ = p.Signal(sig) }); err != nil {
		return spawn.Status{}, err
	}
	return p.Wait()
}

// Until waits until fd can be read, and until then gives the signals to be
// forwarded to forward and follows the terminal, which may be nil.
func (s *Signals) Until(fd int, t *Terminal, forward func(unix.Signal)) error {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(s.fd), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return err
		}
		if fds[1].Revents&unix.POLLIN != 0 {
			for _, sig := range sigpipe.Read(s.fd) {
				switch {
				case sig == unix.SIGWINCH:
					t.Resize()
				case s.forward:
					forward(sig)
				default:
					t.Restore()
					sigpipe.Die(sig)
				}
			}
		}
		if fds[0].Revents != 0 {
			return nil
		}
	}
}
