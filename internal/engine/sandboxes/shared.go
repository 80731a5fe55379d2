package sandboxes

import (
	"errors"
	"slices"
	"strconv"

	"github.com/tare-engine/tare/internal/engine/ground"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/spawn"
	"github.com/tare-engine/tare/internal/state"
	"golang.org/x/sys/unix"
)

// ofNetwork is the option of the namespace that a driver knows.
const ofNetwork = "network"

// files are the names below /proc/PID/ns of what a sandbox holds, by option. A
// container's pid namespace is not among them: it ends with its first process.
var files = [...]struct{ option, file string }{{ofNetwork, "net"}, {"ipc", "ipc"}, {"uts", "uts"}}

// owner is a sandbox that a container is in, and what it shares of it.
type owner struct {
	id     string
	shares []string
}

// owners are the sandboxes that a container joins. One whose network another one
// has is in the sandbox of that one.
func (r *Room) owners(res *state.Resolved) ([]owner, error) {
	if res == nil {
		return nil, nil
	}
	var list []owner
	for _, f := range files {
		id := res.Joined[f.option]
		if id == "" {
			continue
		}
		id, err := r.root(id, f.option)
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(list, func(o owner) bool { return o.id == id }); i >= 0 {
			list[i].shares = append(list[i].shares, f.option)
		} else {
			list = append(list, owner{id, []string{f.option}})
		}
	}
	return list, nil
}

// maxJoins bounds a chain of containers, each in the namespace of the next one.
const maxJoins = 16

// root is the container that a namespace was made with, or the sandbox.
func (r *Room) root(id, option string) (string, error) {
	for range maxJoins {
		rec, err := r.State.Get(id)
		switch {
		case fault.KindOf(err) == fault.NotFound:
			return id, nil
		case err != nil:
			return "", err
		case rec.Resolved == nil || rec.Resolved.Joined[option] == "":
			return id, nil
		}
		id = rec.Resolved.Joined[option]
	}
	return "", fault.New(fault.Invalid, "more than %d containers, each in the %s namespace of the next one", maxJoins, option)
}

// join opens the namespaces that a container shares. Those who share them wait
// for each other's starts and ends meanwhile.
func (r *Room) join(s *ground.Sandbox, w *ground.SandboxWant) (err error) {
	owners, err := r.owners(w.Resolved)
	if err != nil {
		return err
	}
	if w.Runs && (w.Again || len(owners) > 0) {
		var ids []string
		if w.Again {
			ids = append(ids, w.ID)
		}
		for _, o := range owners {
			ids = append(ids, o.id)
		}
		if s.Lock, err = r.State.LockSandboxes(ids...); err != nil {
			return err
		}
	}
	for _, n := range ground.Joins(w.Config) {
		id := w.Resolved.Joined[n.Option]
		if !w.Runs && !w.Preview {
			s.Share(n.Option, "/proc/self/ns/"+n.File) // it is opened when it starts
			continue
		}
		if err := r.open(s, id, n); err != nil {
			return fault.New(fault.KindOf(err), "--%s %s: %w", n.Option, n.Mode(), err)
		}
	}
	if w.Runs && w.Again {
		if err := r.rejoin(s, w.ID); err != nil {
			return err
		}
	}
	if len(owners) == 0 || !w.Runs {
		return nil
	}
	for _, o := range owners {
		s.Owners = append(s.Owners, o.id)
	}
	s.Enter = func(p state.Proc) error {
		for _, o := range owners {
			b, err := r.State.Sandbox(o.id)
			if err != nil {
				return err
			}
			b.Enter(state.Member{ID: w.ID, Proc: p, Shares: o.shares})
			if err := r.State.PutSandbox(b); err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}

// open opens the namespace of another container, or of a sandbox.
func (r *Room) open(s *ground.Sandbox, id string, n ground.Join) error {
	if n.Sandbox {
		b, err := r.find(id)
		if err != nil {
			return err
		}
		if n.File == "pid" { // its keeper is in the host's
			return fault.New(fault.Unsupported, "it has no pid namespace")
		}
		fd, err := namespaceOf(b.Keeper, n.File)
		if err == nil {
			s.Hold(n.Option, fd)
		}
		return err
	}
	rec, err := r.sharing(id, n.File)
	if err != nil {
		return err
	}
	fd, err := namespaceOf(rec.Proc, n.File)
	if err != nil {
		return err
	}
	s.Hold(n.Option, fd)
	switch n.Option {
	case "pid":
		s.PIDOf, err = pidOf(rec)
	case ofNetwork:
		s.Hosts, s.Resolv, err = r.read(rec.Proc)
	}
	return err
}

// pidOf is the process with which the pid namespace of a container ends: that of whose
// namespace it is in itself, and none for the host's.
func pidOf(rec *state.Record) (state.Proc, error) {
	c, err := ground.Config(rec)
	if err != nil || c.HostConfig.PidMode == "host" {
		return state.Proc{}, err
	}
	if rec.PIDOf.Pid != 0 {
		return rec.PIDOf, nil
	}
	return rec.Proc, nil
}

// sharing returns a running container that lets others join a namespace.
func (r *Room) sharing(id, file string) (*state.Record, error) {
	rec, st, err := r.Load(id)
	if err != nil {
		return nil, err
	}
	if _, err := st.After(state.Attach); err != nil && st != state.Paused {
		return nil, err
	}
	c, err := ground.Config(rec)
	if err != nil {
		return nil, err
	}
	switch m := c.HostConfig.IpcMode; {
	case c.HostConfig.UsernsMode == "private":
		return nil, fault.New(fault.Unsupported, "it has a user namespace of its own")
	case file == "ipc" && (m == "" || m == "private" || m == "none"):
		return nil, fault.WithHint(fault.New(fault.Invalid, "non-shareable IPC"), "start it with --ipc shareable")
	}
	return rec, nil
}

// rejoin opens what others still hold of the namespaces that a container had in
// its last run: it comes back into them.
func (r *Room) rejoin(s *ground.Sandbox, id string) error {
	b, err := r.State.Sandbox(id)
	if err != nil {
		return err
	}
	for _, f := range files {
		if _, joined := s.Shared[f.option]; joined {
			continue // it is another's anyway
		}
		p, err := b.Holder(f.option)
		if err != nil {
			return err
		}
		if p.Pid == 0 {
			continue
		}
		fd, err := namespaceOf(p, f.file)
		if fault.KindOf(err) == fault.Conflict {
			continue // it has just ended
		}
		if err != nil {
			return err
		}
		s.Hold(f.option, fd)
	}
	return nil
}

// namespaceOf opens a namespace of a process.
func namespaceOf(p state.Proc, file string) (int, error) {
	held, err := hold(p)
	if err != nil {
		return -1, err
	}
	defer held.Release()
	path := "/proc/" + strconv.Itoa(p.Pid) + "/ns/" + file
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	// Its first thread has none while another one executes a program: that passes.
	for tries := 0; errors.Is(err, unix.ENOENT) && tries < maxExecuting && !held.Ended(); tries++ {
		_, _ = unix.Poll(nil, 1) // nothing tells of it
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	if held.Ended() {
		// What was opened may be another process's.
		if err == nil {
			_ = unix.Close(fd)
		}
		return -1, ground.ErrNotRunning
	}
	if err != nil {
		return -1, fault.New(fault.KindOf(err), "open its %s namespace: %w", file, err)
	}
	return fd, nil
}

// maxExecuting bounds the looks, a millisecond each, at a process that executes a
// program.
const maxExecuting = 1000

// hold takes hold of a process that has executed its program. One that has not may
// be in the host's namespaces still: it enters its own before that.
func hold(p state.Proc) (spawn.Process, error) {
	fd, err := p.Open()
	return spawn.Process{Pid: p.Pid, Pidfd: fd}, err
}
