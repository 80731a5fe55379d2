package client

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/keeper/wire"
	"github.com/tare-engine/tare/internal/lib/exit"
	"golang.org/x/sys/unix"
)

// pair returns a client, and the end of its socket that a keeper would have.
func pair(t *testing.T, run Run) (*Client, int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := NewClient(fds[0], run)
	t.Cleanup(func() { c.Close(); _ = unix.Close(fds[1]) })
	return c, fds[1]
}

// keeper answers messages to the end of the test, and not a moment longer: the
// number of its descriptor is another test's then.
func keeper(t *testing.T, fd int, answer func(kind wire.Kind, data []byte) []byte) {
	done := make(chan struct{})
	t.Cleanup(func() { _ = unix.Shutdown(fd, unix.SHUT_RDWR); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 100)
		for {
			n, err := unix.Read(fd, buf)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil || n <= 0 {
				return
			}
			if b := answer(wire.Kind(buf[0]), buf[1:n]); b != nil {
				_, _ = unix.Write(fd, b)
			}
		}
	}()
}

func greeting(g wire.Greeting) []byte { return g.Append([]byte{byte(wire.Hello)}) }

func TestAsk(t *testing.T) {
	run := Run{7, 1 << 40}
	c, fd := pair(t, run)
	keeper(t, fd, func(kind wire.Kind, data []byte) []byte {
		if kind == wire.Hello {
			return greeting(wire.Greeting{Version: wire.Version, ID: wire.ID(data[2:]), Pid: run.Pid, Start: run.Start})
		}
		id := wire.ID(data)
		// An answer that comes too late, and output.
		_, _ = unix.Write(fd, append(wire.AppendID([]byte{byte(wire.Answer)}, id-1), byte(unix.EIO)))
		_, _ = unix.Write(fd, []byte{byte(wire.Output), 'x'})
		no := unix.Errno(0)
		if wire.Kind(data[wire.IDSize]) != wire.Reload {
			no = unix.EPERM
		}
		return append(wire.AppendID([]byte{byte(wire.Answer)}, id), byte(no))
	})
	if _, err := c.Attach(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if err := c.Ask(t.Context(), wire.Reload); err != nil {
		t.Error(err)
	}
	if err := c.Ask(t.Context(), wire.Signal, 15); !errors.Is(err, unix.EPERM) {
		t.Errorf("refused: %v", err)
	}
}

// TestAskFirst: a keeper of version 1 knows no ids, and not what it reads.
func TestAskFirst(t *testing.T) {
	c, fd := pair(t, Run{7, 1})
	keeper(t, fd, func(kind wire.Kind, data []byte) []byte {
		switch {
		case kind == wire.Hello:
			return []byte{byte(wire.Hello), 1, 0}
		case kind == wire.Signal && len(data) == 1 && data[0] == 15:
			return []byte{byte(wire.Reply), 0}
		}
		return nil
	})
	if _, err := c.Attach(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if err := c.Ask(t.Context(), wire.Signal, 15); err != nil {
		t.Error(err)
	}
	if err := c.Ask(t.Context(), wire.Reload); !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("reload: %v", err)
	}
}

// TestOther: a keeper that looks after another run by now.
func TestOther(t *testing.T) {
	c, fd := pair(t, Run{7, 1})
	keeper(t, fd, func(_ wire.Kind, data []byte) []byte {
		return greeting(wire.Greeting{Version: 2, ID: wire.ID(data[2:]), Pid: 7, Start: 2})
	})
	if _, err := c.Attach(t.Context(), 0); !errors.Is(err, ErrOther) {
		t.Error(err)
	}
	c, fd = pair(t, Run{7, 1})
	end := exit.Seen{Pid: 7, Start: 2}
	_, _ = unix.Write(fd, end.Append([]byte{byte(wire.Exit)}))
	if _, err := c.WaitEnd(t.Context(), -1); !errors.Is(err, ErrOther) {
		t.Errorf("its end: %v", err)
	}
}

// TestSilent: nobody waits for a keeper that does not answer longer than is
// said, and no wait outlives its context.
func TestSilent(t *testing.T) {
	c, fd := pair(t, Run{})
	begin := time.Now()
	if _, err := c.Attach(t.Context(), 0); !errors.Is(err, ErrSilent) {
		t.Error(err)
	}
	if d := time.Since(begin); d < answerTime || d > answerTime+2*time.Second {
		t.Errorf("took %v", d)
	}
	me, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(me) }()
	for name, wait := range map[string]func(context.Context) error{
		"attach": func(ctx context.Context) error { _, err := c.Attach(ctx, 0); return err },
		"ask":    func(ctx context.Context) error { return c.Ask(ctx, wire.Final) },
		"end":    func(ctx context.Context) error { _, err := c.WaitEnd(ctx, me); return err },
		"next":   func(ctx context.Context) error { _, _, err := c.Next(ctx, make([]byte, 10)); return err },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		begin := time.Now()
		if err := wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		if d := time.Since(begin); d > 2*time.Second {
			t.Errorf("%s: took %v", name, d)
		}
		cancel()
	}
	_ = unix.Shutdown(fd, unix.SHUT_RDWR)
	if _, err := c.Attach(t.Context(), 0); !errors.Is(err, ErrLost) {
		t.Errorf("gone: %v", err)
	}
}
