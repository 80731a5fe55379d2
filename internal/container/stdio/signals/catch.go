package signals

import (
	"github.com/tare-engine/tare/internal/container/stdio"
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

// caught are the signals that this process gets.
type caught struct {
	fd      int
	forward bool
}

// Catch takes signals over, for the rest of the process's life: with forward
// those meant for the container, with tty SIGWINCH. What arrives before it is
// read is kept.
func Catch(forward, tty bool) (stdio.Signals, error) {
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
		return nil, nil //nolint:nilnil // none
	}
	fd, err := Open(list...)
	if err != nil {
		return nil, err
	}
	return &caught{fd, forward}, nil
}

func (c *caught) FD() int { return c.fd }

func (c *caught) Read() []stdio.Signal {
	var list []stdio.Signal
	for _, sig := range Read(c.fd) {
		switch {
		case sig == unix.SIGWINCH:
			list = append(list, stdio.Signal{Resize: true})
		case c.forward:
			list = append(list, stdio.Signal{Number: sig})
		default:
			list = append(list, stdio.Signal{Leave: func() { Die(sig) }})
		}
	}
	return list
}
