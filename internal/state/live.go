package state

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/tare-engine/tare/internal/lib/exit"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"golang.org/x/sys/unix"
)

// RUN/live/ID holds, for a container that has a keeper, and for a command in one
// that has its own:
//
//	in out err   fifos of its standard streams
//	settings     what the keeper is told (package wire), replaced by rename
//	sock         its socket (package wire)
//	notify       the service manager's, as the container sees it
//	end          how it ended, from the moment that the keeper has seen it, and
//	             behind that, from exit.Size on, what its cgroup had counted
//	stop         somebody stopped it and could not say so in its record

// LiveDir is where a container's live things are.
func (s *Store) LiveDir(id string) string { return s.run + "/live/" + id }

// MakeLive makes the directory anew.
func (s *Store) MakeLive(id string) error {
	dir := s.LiveDir(id)
	err := unix.Mkdir(dir, 0o700)
	switch {
	case errors.Is(err, unix.ENOENT):
		if err = os.MkdirAll(s.run+"/live", 0o700); err == nil {
			err = unix.Mkdir(dir, 0o700)
		}
	case errors.Is(err, unix.EEXIST):
		if err = s.RemoveLive(id); err == nil {
			err = unix.Mkdir(dir, 0o700)
		}
	}
	if err != nil {
		return err
	}
	return fsatomic.CreateFile(dir+"/end", bytes.Repeat([]byte{' '}, exit.Size), 0o600)
}

// liveFiles are all that is ever in the directory.
var liveFiles = [...]string{"/in", "/out", "/err", "/sock", "/notify", "/end", "/settings", "/stop"}

// RemoveLive removes the directory, if it is there.
func (s *Store) RemoveLive(id string) error {
	dir := s.LiveDir(id)
	for {
		err := unix.Rmdir(dir)
		switch {
		case err == nil || errors.Is(err, unix.ENOENT):
			return nil
		case !errors.Is(err, unix.ENOTEMPTY):
			return err
		}
		removed := false
		for _, f := range liveFiles {
			removed = unix.Unlink(dir+f) == nil || removed
		}
		if !removed {
			return fsatomic.RemoveTree(unix.AT_FDCWD, dir)
		}
	}
}

// NoteCounted keeps what the cgroup of a run has counted, the kernel's kills and
// the receipt, for whoever writes down the end when this process cannot: the
// cgroup is about to go. The file has its block, on a full disk too.
func (s *Store) NoteCounted(r *Record, kills uint64) {
	fd, err := unix.Open(s.LiveDir(r.ID)+"/end", unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return // one in the foreground has none
	}
	b := fmt.Appendf(nil, "%d %d %d\n%s\n", r.Proc.Pid, r.Proc.Start, kills, r.Receipt)
	_, _ = unix.Pwrite(fd, b, exit.Size)
	_ = unix.Close(fd)
}

// Counted returns what NoteCounted kept of the run that r tells of; receipt is
// nil when there is nothing.
func (s *Store) Counted(r *Record) (kills uint64, receipt []byte) {
	b, err := os.ReadFile(s.LiveDir(r.ID) + "/end")
	if err != nil || len(b) < exit.Size {
		return 0, nil
	}
	head, rest, _ := bytes.Cut(b[exit.Size:], []byte("\n"))
	text, _, whole := bytes.Cut(rest, []byte("\n"))
	var pid int
	var start uint64
	if n, _ := fmt.Sscanf(string(head), "%d %d %d", &pid, &start, &kills); n != 3 || !whole || pid != r.Proc.Pid || start != r.Proc.Start {
		return 0, nil
	}
	return kills, text
}

// NoteStop notes that somebody stops this run, where the record cannot be written: the
// disk of the data root is full, or read-only.
func (s *Store) NoteStop(r *Record) error {
	return fsatomic.WriteFile(s.LiveDir(r.ID)+"/stop", runOf(r.Proc), 0o600, fsatomic.Volatile)
}

func runOf(p Proc) []byte { return fmt.Appendf(nil, "%d %d\n", p.Pid, p.Start) }

// ReadEnd adds to r what the keeper has noted of its end, if it has, and
// reports whether it had. With an error nobody knows.
func (s *Store) ReadEnd(r *Record) (bool, error) {
	e, ok, err := s.noted(r.ID, r.Proc)
	if ok {
		if b, err := os.ReadFile(s.LiveDir(r.ID) + "/stop"); err == nil && bytes.Equal(b, runOf(r.Proc)) {
			r.StopRequested = true
		}
		r.End(e, 0, r.Finished)
	}
	return ok, err
}

// ExecEnd returns what the keeper of a session has noted of its end, if it has.
func (s *Store) ExecEnd(x *Exec) (exit.Seen, bool, error) { return s.noted(x.ID, x.Proc) }

// noted is the note of the end of what has the id and the first process.
func (s *Store) noted(id string, p Proc) (exit.Seen, bool, error) {
	b, err := os.ReadFile(s.LiveDir(id) + "/end")
	if errors.Is(err, unix.ENOENT) {
		return exit.Seen{}, false, nil
	}
	if err != nil {
		return exit.Seen{}, false, fault.New(fault.KindOf(err), "read the note of its end: %w", err)
	}
	e, ok := exit.Parse(b)
	return e, ok && e.Pid == p.Pid && e.Start == p.Start, nil
}
