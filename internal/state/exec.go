package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"github.com/tare-engine/tare/internal/lib/jsonread"
	"golang.org/x/sys/unix"
)

// RUN/execs/ID holds the exec sessions of a container: a line of JSON for the
// creation, the start and the end of each, or for several of these at once.
// What a line does not name is as in the lines before it. So a session costs
// two appends to a file that is there, and a line that was cut off by a kill
// is no line. The file is written anew when it has grown, without the oldest
// sessions that have ended.

// Exec is an exec session: a further process of a container.
type Exec struct {
	ID        string          `json:"id"`
	Container string          `json:"container,omitempty"`
	Init      Proc            `json:"init,omitzero"`     // the container's first process: which of its runs this is of
	Config    json.RawMessage `json:"config,omitempty"`  // engine.ExecConfig
	Created   time.Time       `json:"created,omitzero"`  //
	Started   time.Time       `json:"started,omitzero"`  //
	Proc      Proc            `json:"proc,omitzero"`     // the process; pid 0 before the start
	Owner     Proc            `json:"owner,omitzero"`    // who waits for it
	Exited    bool            `json:"exited,omitempty"`  //
	Finished  time.Time       `json:"finished,omitzero"` //
	ExitCode  int             `json:"exitCode,omitempty"`
	Error     string          `json:"error,omitempty"`
}

// execKey is what a line must have.
type execKey struct {
	ID string `json:"id"`
}

// Running reports whether the session's process runs.
func (x *Exec) Running() bool { return !x.Exited && x.Proc.Pid != 0 && x.Proc.Look() != Gone }

// over reports whether the session was started and has ended.
func (x *Exec) over() bool { return x.Proc.Pid != 0 && !x.Running() }

const (
	maxExecFile = 256 << 10 // bytes: larger files are written anew
	keptExecs   = 64        // sessions that have ended and stay listed
)

func (s *Store) execPath(container string) string { return s.run + "/execs/" + container }

// PutExec adds what x says to its session, or begins one, when it has a time of
// creation. A session whose container has ended is no more, and that is no error.
func (s *Store) PutExec(container string, x *Exec) error {
	line := append(appendExec(make([]byte, 0, 512), x), '\n')
	flags := 0
	if !x.Created.IsZero() {
		flags = unix.O_CREAT
	}
	fd, size, err := s.openExecs(container, unix.LOCK_SH, flags)
	if errors.Is(err, unix.ENOENT) {
		if flags == 0 {
			return nil
		}
		if err := os.MkdirAll(s.run+"/execs", 0o700); err != nil {
			return err
		}
		fd, size, err = s.openExecs(container, unix.LOCK_SH, unix.O_CREAT)
	}
	if err != nil {
		return fault.New(fault.KindOf(err), "write exec session: %w", err)
	}
	_, err = unix.Write(fd, line)
	_ = unix.Close(fd)
	if err != nil {
		return fault.New(fault.KindOf(err), "write exec session: %w", err)
	}
	if size > maxExecFile {
		return s.compactExecs(container)
	}
	return nil
}

// openExecs opens and locks the file of a container's sessions. One that was
// replaced meanwhile is opened again.
func (s *Store) openExecs(container string, how, flags int) (fd int, size int64, err error) {
	for {
		fd, err = unix.Open(s.execPath(container), unix.O_RDWR|unix.O_APPEND|unix.O_CLOEXEC|unix.O_NOFOLLOW|flags, 0o600)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return -1, 0, err
		}
		var st unix.Stat_t
		if err = unix.Flock(fd, how); err == nil {
			err = unix.Fstat(fd, &st)
		}
		if err == nil && st.Nlink > 0 {
			return fd, st.Size, nil
		}
		_ = unix.Close(fd)
		if err != nil && err != unix.EINTR {
			return -1, 0, err
		}
	}
}

// compactExecs writes the file anew.
func (s *Store) compactExecs(container string) error {
	fd, _, err := s.openExecs(container, unix.LOCK_EX, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil // the container has ended
	}
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	list, err := s.Execs(container)
	if err != nil {
		return err
	}
	ended := 0
	for _, x := range list {
		if x.over() {
			ended++
		}
	}
	var b []byte
	for _, x := range list {
		if x.over() {
			if ended--; ended >= keptExecs {
				continue
			}
		}
		b = append(appendExec(b, x), '\n')
	}
	return fsatomic.ReplaceFile(s.execPath(container), b, 0o600)
}

// Execs lists the sessions of a container, oldest first.
func (s *Store) Execs(container string) ([]*Exec, error) {
	b, err := os.ReadFile(s.execPath(container))
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []*Exec
	at := map[string]*Exec{}
	for len(b) > 0 {
		line, rest, whole := bytes.Cut(b, []byte{'\n'})
		b = rest
		var key execKey
		if !whole || jsonread.Decode(line, &key, readExecKey) != nil || !validID(key.ID) {
			continue
		}
		x := at[key.ID]
		if x == nil {
			x = &Exec{}
			at[key.ID] = x
			list = append(list, x)
		}
		if err := jsonread.Decode(line, x, readExec); err != nil {
			return nil, fault.New(fault.Internal, "exec sessions of container %s: damaged: %w", short(container), err)
		}
	}
	return list, nil
}

// FindExec returns a session by its id, or an unambiguous prefix of it.
func (s *Store) FindExec(id string) (*Exec, error) {
	entries, err := os.ReadDir(s.run + "/execs")
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return nil, err
	}
	var found *Exec
	for _, e := range entries {
		list, err := s.Execs(e.Name())
		if err != nil {
			return nil, err
		}
		for _, x := range list {
			switch {
			case x.ID == id:
				return x, nil
			case id == "" || !strings.HasPrefix(x.ID, id):
			case found != nil:
				return nil, fault.New(fault.Invalid, "%q: more than one exec session's id begins with it", id)
			default:
				found = x
			}
		}
	}
	if found == nil {
		return nil, fault.New(fault.NotFound, "no such exec instance: %s", id)
	}
	return found, nil
}

// RemoveExecs forgets the sessions of a container that has ended, and what their
// keepers had: those that still run find nothing to write down.
func (s *Store) RemoveExecs(container string) error {
	if unix.Access(s.execPath(container), unix.F_OK) == unix.ENOENT {
		return nil
	}
	list, _ := s.Execs(container) // a damaged list keeps no container from going
	for _, x := range list {
		if err := s.RemoveLive(x.ID); err != nil {
			return err
		}
	}
	if err := unix.Unlink(s.execPath(container)); err != nil && err != unix.ENOENT {
		return err
	}
	return nil
}
