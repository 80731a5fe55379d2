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

// Signals are the signals that this process gets while a container runs.
type Signals struct{ fd int }

// Catch takes signals over: with forward those meant for the container, with
// resize SIGWINCH. What arrives before Wait is kept for it.
func Catch(forward, resize bool) (*Signals, error) {
	var list []unix.Signal
	if forward {
		list = append(list, forwarded...)
	}
	if resize {
		list = append(list, unix.SIGWINCH)
	}
	if len(list) == 0 {
		return &Signals{fd: -1}, nil
	}
	fd, err := sigpipe.Open(list...)
	return &Signals{fd: fd}, err
}

// Wait waits for p to end, and until then forwards signals and calls resize
// when the terminal has changed. p is reaped.
func (s *Signals) Wait(p spawn.Process, resize func()) (spawn.Status, error) {
	fds := []unix.PollFd{{Fd: int32(p.Pidfd), Events: unix.POLLIN}, {Fd: int32(s.fd), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return spawn.Status{}, err
		}
		if fds[1].Revents&unix.POLLIN != 0 {
			for _, sig := range sigpipe.Read(s.fd) {
				if sig == unix.SIGWINCH {
					resize()
				} else {
					_ = p.Signal(sig) // ESRCH: it has just ended
				}
			}
		}
		if fds[0].Revents != 0 {
			return p.Wait()
		}
	}
}
