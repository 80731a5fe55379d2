package container

import (
	"fmt"
	"runtime"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

// NetNS is a network namespace in the making. It is the dearest of them, 0.5
// ms, and needs nothing of the rest: a thread makes it while the start is
// being computed, and the child joins it. The thread is never used again.
type NetNS struct {
	fd   int
	err  error
	done chan struct{}
}

// NewNetNS begins to make one.
func NewNetNS() *NetNS {
	n := &NetNS{fd: -1, done: make(chan struct{})}
	go func() {
		defer close(n.done)
		OnLostThread(n.make)
	}()
	return n
}

func (n *NetNS) make() {
	if n.err = unix.Unshare(unix.CLONE_NEWNET); n.err == nil {
		n.fd, n.err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
}

// OnLostThread calls f on a thread that ends afterwards and is not the
// process's first: that one does not end, and the process would seem to be
// where f has gone.
func OnLostThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // not unlocked: the thread ends with the goroutine
		if unix.Gettid() == unix.Getpid() {
			OnLostThread(f) // while this one is held, another goroutine has another
			runtime.UnlockOSThread()
			return
		}
		f()
	}()
	<-done
}

// Close lets go of the namespace, which lives on in whoever has joined it.
func (n *NetNS) Close() {
	if n == nil {
		return
	}
	<-n.done
	if n.fd >= 0 {
		_ = unix.Close(n.fd)
		n.fd = -1
	}
}

// ownNetNS reports whether the container's network namespace is made that
// way: in a user namespace of its own it has to belong to that one.
func ownNetNS(s *specs.Spec) bool {
	return newNetNS(s) && namespace(s, specs.UserNamespace) == nil
}

// MakesNetNS reports whether Make would make a network namespace that the
// caller can begin to make earlier.
func MakesNetNS(s *specs.Spec) bool { return s.Linux != nil && ownNetNS(s) }

// netnsHost begins to make the namespace, unless the caller has.
func (e *env) netnsHost() plan.Slot {
	s := e.p.HostSlot("netns")
	if e.beside.begin {
		e.ns.net = e.cfg.NetNS
		if e.ns.net == nil {
			e.ns.net = NewNetNS()
		}
	}
	e.beside.last = append(e.beside.last, func() {
		e.p.Do(plan.Text("unshare(CLONE_NEWNET) in a thread that ends", "open(\"/proc/thread-self/ns/net\", O_RDONLY|O_CLOEXEC) = [netns]"), func(v plan.Slots) error {
			<-e.ns.net.done
			if e.ns.net.err != nil {
				return fmt.Errorf("make network namespace: %w", e.ns.net.err)
			}
			v.Set(s, e.ns.net.fd)
			return nil
		})
	})
	return s
}
