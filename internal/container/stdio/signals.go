package stdio

import (
	"encoding/binary"
	"sync"

	"github.com/tare-engine/tare/internal/linux/spawn"
	"golang.org/x/sys/unix"
)

// Signals brings what a caller's user does besides typing. The surface catches
// it: the command line its process's signals, a server its client's requests.
type Signals interface {
	// FD can be polled: it is readable when something has come.
	FD() int
	// Read returns what has come, and does not wait.
	Read() []Signal
}

// Signal is one such thing.
type Signal struct {
	Number     unix.Signal // for the container; 0: none
	Resize     bool        // the terminal has another size:
	Rows, Cols uint16      // this one, or, with zeros, the one that it tells
	Leave      func()      // ends the caller, after its terminal was given back; may be nil
}

// fdOf is what to poll for signals, which may be nil.
func fdOf(s Signals) int32 {
	if s == nil {
		return -1
	}
	return int32(s.FD())
}

// Wait waits for p to end, and until then forwards signals and follows the
// terminal; both may be nil. p is reaped.
func Wait(s Signals, p spawn.Process, t *Terminal) (spawn.Status, error) {
	for {
		// Asked each time: whoever brings signals may have closed.
		fds := [...]unix.PollFd{{Fd: int32(p.Pidfd), Events: unix.POLLIN}, {Fd: fdOf(s), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds[:], -1); err != nil && err != unix.EINTR {
			return spawn.Status{}, err
		}
		if fds[1].Revents&unix.POLLIN != 0 {
			for _, sig := range s.Read() {
				switch {
				case sig.Resize && t != nil:
					t.Resize(sig.Rows, sig.Cols)
				case sig.Number != 0:
					_ = p.Signal(sig.Number) // ESRCH: it has just ended
				case sig.Leave != nil:
					t.Restore()
					sig.Leave()
				}
			}
		}
		if fds[1].Revents&(unix.POLLNVAL|unix.POLLERR) != 0 {
			s = nil // nothing comes from it any more
		}
		if fds[0].Revents != 0 {
			return p.Wait()
		}
	}
}

// Queue is Signals of a surface that gets them otherwise than as a process. Its
// methods can be called by several goroutines at once.
type Queue struct {
	fd   int
	mu   sync.Mutex
	list []Signal
}

// NewQueue returns an empty Queue.
func NewQueue() (*Queue, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	return &Queue{fd: fd}, nil
}

// FD implements Signals: -1 once the Queue is closed.
func (q *Queue) FD() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.fd
}

// Send adds a signal, which whoever waits then gets.
func (q *Queue) Send(s Signal) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fd < 0 {
		return
	}
	q.list = append(q.list, s)
	_, _ = unix.Write(q.fd, binary.NativeEndian.AppendUint64(nil, 1)) // EAGAIN: it is readable
}

// Read implements Signals.
func (q *Queue) Read() []Signal {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fd < 0 {
		return nil
	}
	var b [8]byte
	_, _ = unix.Read(q.fd, b[:]) // EAGAIN: nothing has come
	list := q.list
	q.list = nil
	return list
}

// Close ends it: nothing comes any more.
func (q *Queue) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fd >= 0 {
		// Whoever waits looks again, and finds that it is closed.
		_, _ = unix.Write(q.fd, binary.NativeEndian.AppendUint64(nil, 1))
		_ = unix.Close(q.fd)
		q.fd = -1
	}
}
