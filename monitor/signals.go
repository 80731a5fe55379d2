package monitor

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// forwarded are the signals that a foreground run passes on: all that a user
// or a service manager sends. SIGCHLD, SIGPIPE, SIGURG and SIGWINCH are this
// process's own; the job control signals stop it, as they stop `docker run`.
var forwarded = []os.Signal{
	unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2,
	unix.SIGALRM, unix.SIGCONT, unix.SIGIO, unix.SIGVTALRM, unix.SIGXCPU, unix.SIGXFSZ, unix.SIGPWR,
}

// Forward sends the signals that this process gets on to send, until stop is
// called. Signals that arrive before the container runs are kept for it.
func Forward(send func(unix.Signal) error) (stop func()) {
	c := make(chan os.Signal, 16)
	signal.Notify(c, forwarded...)
	go func() {
		for s := range c {
			_ = send(s.(unix.Signal)) // ESRCH: it has just ended
		}
	}()
	return func() {
		signal.Stop(c)
		close(c)
	}
}
