package keepers

import (
	"context"
	"errors"
	"os"
	"strconv"

	"github.com/tare-engine/tare/internal/engine/ground"
	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/keeper/client"
	"github.com/tare-engine/tare/internal/keeper/wire"
	"github.com/tare-engine/tare/internal/lib/fault"
	"golang.org/x/sys/unix"
)

// Starter is a process that begins something and becomes its keeper.
type Starter struct {
	Args   []string // what it is to begin, and of which id
	Want   byte     // what the caller attaches to: wire.Want bits
	Config []byte   // of a new container
	Passed int      // descriptors of the caller's, from 3 on, that it gets

	Made func(id string) // is called when it exists; may be nil
	Warn func(text string)
}

// Launch starts a starter, and waits for its word. The client is the keeper's,
// with the caller attached. A context that is cancelled ends the wait; the start
// goes on.
func (k Keepers) Launch(ctx context.Context, s *Starter) (id string, c *client.Client, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", nil, err
	}
	c = client.NewClient(pair[0], client.Run{})
	err = s.fork(k.Ground, pair[1])
	_ = unix.Close(pair[1])
	if err == nil {
		id, err = s.word(ctx, c)
	}
	if err != nil {
		c.Close()
		return "", nil, err
	}
	return id, c, nil
}

func (s *Starter) fork(g *ground.Ground, report int) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = null.Close() }()
	files := []uintptr{null.Fd(), null.Fd(), 2}
	for i := range s.Passed {
		files = append(files, uintptr(3+i))
	}
	args := append(s.Args[:len(s.Args):len(s.Args)], "--report", strconv.Itoa(len(files)), "--want", strconv.Itoa(int(s.Want)), "--fds", strconv.Itoa(s.Passed))
	files = append(files, uintptr(report))
	if s.Config != nil {
		config, err := memfile(s.Config)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(config) }()
		args = append(args, "--config", strconv.Itoa(len(files)))
		files = append(files, uintptr(config))
	}
	return g.ForkHelper(files, args)
}

// word waits for what the starter has to say.
func (s *Starter) word(ctx context.Context, c *client.Client) (id string, err error) {
	buf := make([]byte, 1+wire.MaxData)
	for {
		kind, data, err := c.Next(ctx, buf)
		if errors.Is(err, client.ErrLost) {
			return "", fault.New(fault.Internal, "the starter was killed")
		}
		if err != nil {
			return "", err
		}
		switch kind {
		case wire.Made:
			if s.Made != nil {
				s.Made(string(data))
			}
		case wire.Warned:
			if s.Warn != nil {
				s.Warn(string(data))
			}
		case wire.Failed:
			return "", failureOf(data)
		case wire.Started:
			return string(data), nil
		case wire.Hello, wire.Input, wire.EOF, wire.Resize, wire.Request, wire.Signal, wire.Final, wire.Reload, wire.Output, wire.Errors, wire.Exit, wire.Answer, wire.Reply:
		}
	}
}

// failureOf is the starter's error, as if it had been made here.
func failureOf(data []byte) error {
	f := wire.ParseFailure(data)
	err := &fault.Error{Kind: fault.Kind(f.Kind), Text: f.Text, Hint: f.Hint, Code: f.Code}
	if f.NoImage {
		err.Err = store.ErrNotFound
	}
	return err
}

// memfile returns a file in memory with the contents, at its beginning.
func memfile(b []byte) (int, error) {
	fd, err := unix.MemfdCreate("tare-config", unix.MFD_CLOEXEC)
	if err != nil {
		return -1, err
	}
	for at := 0; at < len(b); {
		n, err := unix.Pwrite(fd, b[at:], int64(at))
		if err != nil {
			_ = unix.Close(fd)
			return -1, err
		}
		at += n
	}
	return fd, nil
}

// Report is the starter's end of the socket; -1: nobody listens.
type Report int

// Tell sends a message to the caller, who may be gone.
func (r Report) Tell(kind wire.Kind, text string) {
	if r >= 0 {
		_ = unix.Sendto(int(r), append([]byte{byte(kind)}, text...), unix.MSG_NOSIGNAL, nil)
	}
}

// Fail tells the caller why nothing was started.
func (r Report) Fail(err error, code int) {
	f := wire.Failure{Code: code, Kind: uint8(fault.KindOf(err)), Hint: fault.HintOf(err), NoImage: errors.Is(err, store.ErrNotFound), Text: err.Error()}
	r.Tell(wire.Failed, string(f.Append(nil)))
}
