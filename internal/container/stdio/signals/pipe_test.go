package signals

import (
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSignals sends signals to this process while goroutines work and collect
// garbage: each arrives once, and nothing else happens.
func TestSignals(t *testing.T) {
	fd, err := Open(unix.SIGTERM, unix.SIGUSR1, unix.SIGINT)
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	for range 4 {
		go func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = make([]byte, 1<<16)
					runtime.GC()
				}
			}
		}()
	}
	defer close(stop)
	for range 200 {
		for _, want := range []unix.Signal{unix.SIGTERM, unix.SIGUSR1, unix.SIGINT} {
			if err := unix.Kill(os.Getpid(), want); err != nil {
				t.Fatal(err)
			}
			p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			n, err := unix.Poll(p, int(10*time.Second/time.Millisecond))
			for err == unix.EINTR {
				n, err = unix.Poll(p, int(10*time.Second/time.Millisecond))
			}
			if n != 1 || err != nil {
				t.Fatalf("poll: %d, %v", n, err)
			}
			if got := Read(fd); len(got) != 1 || got[0] != want {
				t.Fatalf("got %v, want %v", got, want)
			}
		}
	}
	if got := Read(fd); got != nil {
		t.Errorf("more than was sent: %v", got)
	}
}
