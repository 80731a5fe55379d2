package state

import (
	"encoding/json"
	"errors"
	"os"
	"slices"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"github.com/tare-engine/tare/internal/lib/jsonread"
	"golang.org/x/sys/unix"
)

// Sandbox are namespaces that several containers share: RUN/sandboxes/ID. Its
// owner is the container that it was made with, whose id it has. It is recorded
// from when the first one joins until the last one that did has gone: they hold
// its namespaces as well as the owner does. The owner's own part in it is the
// owner's record.
//
// Who reads it to act, or changes it, holds its lock.
type Sandbox struct {
	ID      string   `json:"id"`
	Members []Member `json:"members"`

	Config json.RawMessage `json:"config,omitempty"` // of one without an owner: api.SandboxConfig
	Keeper Proc            `json:"keeper,omitzero"`  // which holds the namespaces of that one
}

// Member is a container that shares namespaces of a sandbox.
type Member struct {
	ID     string   `json:"id"`
	Proc   Proc     `json:"proc"`   // its first process, of the run that joined
	Shares []string `json:"shares"` // options: "network", "ipc", "uts", "pid"
}

// LockSandboxes locks sandboxes, which need not exist, for the caller alone. A
// container's lock is taken before.
func (s *Store) LockSandboxes(ids ...string) (*Lock, error) {
	offsets := make([]int64, len(ids))
	for i, id := range ids {
		offsets[i] = lockOffset(id) | sandboxLocks
	}
	return s.lock(offsets, "sandbox "+short(ids[0]))
}

func (s *Store) sandboxPath(id string) string { return s.run + "/sandboxes/" + id }

// Sandbox returns what is recorded of a sandbox: nobody has joined one that is
// not recorded.
func (s *Store) Sandbox(id string) (*Sandbox, error) {
	b := &Sandbox{ID: id}
	if !validID(id) {
		return b, nil
	}
	text, err := fsatomic.ReadFile(s.sandboxPath(id))
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return b, nil
	}
	if err == nil {
		err = jsonread.Decode(text, b, readSandbox)
	}
	if err != nil {
		return nil, fault.New(fault.KindOf(err), "sandbox %s: %w", short(id), err)
	}
	return b, nil
}

// PutSandbox writes a sandbox; one without members and keeper is no more.
func (s *Store) PutSandbox(b *Sandbox) error {
	path := s.sandboxPath(b.ID)
	if len(b.Members) == 0 && b.Keeper.Pid == 0 {
		if err := unix.Unlink(path); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
			return fault.New(fault.KindOf(err), "remove sandbox %s: %w", short(b.ID), err)
		}
		return nil
	}
	text := appendSandbox(make([]byte, 0, 512), b)
	err := fsatomic.WriteFile(path, text, 0o600, fsatomic.Volatile)
	if errors.Is(err, unix.ENOENT) {
		if err = os.MkdirAll(s.run+"/sandboxes", 0o700); err == nil {
			err = fsatomic.WriteFile(path, text, 0o600, fsatomic.Volatile)
		}
	}
	if err != nil {
		return fault.New(fault.KindOf(err), "write sandbox %s: %w", short(b.ID), err)
	}
	return nil
}

// Leave takes a member out, and those that have gone. One that cannot be looked
// at stays.
func (b *Sandbox) Leave(id string) {
	b.Members = slices.DeleteFunc(b.Members, func(m Member) bool { return m.ID == id || m.Proc.Look() == Gone })
}

// Enter puts a member in, in the place of its last run.
func (b *Sandbox) Enter(m Member) {
	b.Leave(m.ID)
	b.Members = append(b.Members, m)
}

// Holder returns a process that has what the option says: of a member, or the
// keeper; pid 0: nobody has. An error says that one could not be looked at.
func (b *Sandbox) Holder(option string) (Proc, error) {
	procs := []Proc{b.Keeper}
	for _, m := range b.Members {
		if slices.Contains(m.Shares, option) {
			procs = append(procs, m.Proc)
		}
	}
	for _, p := range procs {
		// One that has not executed its program is not in its namespaces for sure. Who
		// holds the lock sees that only of a starter that was killed, or for the
		// moment in which another thread of a program executes a further one.
		life := p.Look()
		for tries := 0; life == Waiting && tries < maxWaiting; tries++ {
			_, _ = unix.Poll(nil, 1) // nothing tells of it
			life = p.Look()
		}
		switch life {
		case Running:
			return p, nil
		case Waiting, Unknown:
			return Proc{}, fault.New(fault.Unavailable, "process %d cannot be looked at", p.Pid)
		case Gone:
		}
	}
	return Proc{}, nil
}
