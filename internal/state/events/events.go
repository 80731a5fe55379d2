// Package events keeps the journal of what happens to containers and images.
//
// Whoever changes something appends one line to RUN/events/journal: one write
// to a file opened with O_APPEND, which the kernel does not mix with another's,
// and no lock. A line is Docker's event message as JSON, so that most of what
// reads it only copies. A journal that has grown to [maxSize] becomes
// journal.1 and a new one begins; a reader follows across that.
//
// A process that is killed within its write may leave a part of a line. The
// next one's line then ends it, and the reader finds the beginning again: a
// quote inside a JSON string has a backslash, so nothing but a beginning looks
// like one.
package events

//go:generate go run ../../lib/jsongen -o event_json.go Event

import (
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// The types of what events happen to.
const (
	Container = "container"
	Image     = "image"
	Volume    = "volume"
	Network   = "network"
)

// Event is Docker's message, with its names. Status, ID and From repeat what
// Action and Actor say, for old clients; Append fills them in.
type Event struct {
	Status   string `json:"status,omitempty"`
	ID       string `json:"id,omitempty"`
	From     string `json:"from,omitempty"` // the image of a container
	Type     string // Container, Image, …
	Action   string // "start", "exec_start: ls -l", "health_status: healthy"
	Actor    Actor
	Scope    string `json:"scope"` // always "local"
	Time     int64  `json:"time"`  // seconds since 1970; Append fills it in
	TimeNano int64  `json:"timeNano"`
}

// Actor is what an event happened to.
type Actor struct {
	ID         string
	Attributes map[string]string // name, image, labels, exitCode, signal, …
}

// When is the time of the event.
func (e *Event) When() time.Time { return time.Unix(0, e.TimeNano) }

const (
	// head begins each line; see the package comment.
	head = `{"status":`
	// maxSize is the size in bytes at which a journal is put aside. There are
	// two at most.
	maxSize = 4 << 20
)

// Journal is the journal of one run root. It is safe for concurrent use, by
// any number of processes.
type Journal struct {
	dir  string
	size int64 // at which it is put aside

	mu  sync.Mutex
	fd  int // -1 until the first append
	ino uint64
}

// Open returns the journal of a run root, without I/O.
func Open(runRoot string) *Journal { return &Journal{dir: runRoot + "/events", size: maxSize, fd: -1} }

func (j *Journal) path() string { return j.dir + "/journal" }

// Append adds e, completed and with the time of now, to the journal. It is not
// synced: a reboot empties the run root anyway.
func (j *Journal) Append(e *Event) error {
	t := time.Now()
	e.Status, e.ID, e.Scope = e.Action, e.Actor.ID, "local"
	if e.Type == Container {
		e.From = e.Actor.Attributes["image"]
	}
	e.Time, e.TimeNano = t.Unix(), t.UnixNano()
	line := append(appendEvent(make([]byte, 0, 1024), e), '\n')

	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.ready(); err != nil {
		return fault.New(fault.KindOf(err), "append event: %w", err)
	}
	for {
		// What a full disk takes of it is a torn line, which readers skip.
		_, err := unix.Write(j.fd, line)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fault.New(fault.KindOf(err), "append event: %w", err)
		}
		return nil
	}
}

// ready opens the journal of this moment, and begins a new one where it is
// full.
func (j *Journal) ready() error {
	for {
		var st unix.Stat_t
		err := unix.Stat(j.path(), &st)
		switch {
		case err == nil && j.fd >= 0 && st.Ino == j.ino && st.Size < j.size:
			return nil
		case err == nil && j.fd >= 0 && st.Ino == j.ino:
			if err := j.rotate(); err != nil {
				return err
			}
		case err != nil && !errors.Is(err, unix.ENOENT):
			return err
		}
		j.close()
		if err := j.open(); err != nil {
			return err
		}
	}
}

// rotate puts the open journal aside, unless somebody else has just done so.
func (j *Journal) rotate() error {
	if err := unix.Flock(j.fd, unix.LOCK_EX); err != nil {
		return err // EINTR too: the next append tries again
	}
	var st unix.Stat_t
	if err := unix.Stat(j.path(), &st); err != nil || st.Ino != j.ino {
		return nil //nolint:nilerror // it is not there: somebody else is at it
	}
	return unix.Rename(j.path(), j.path()+".1")
}

func (j *Journal) open() error {
	const flags = unix.O_WRONLY | unix.O_APPEND | unix.O_CREAT | unix.O_CLOEXEC | unix.O_NOFOLLOW
	fd, err := unix.Open(j.path(), flags, 0o600)
	if errors.Is(err, unix.ENOENT) {
		if err := os.MkdirAll(j.dir, 0o700); err != nil {
			return err
		}
		fd, err = unix.Open(j.path(), flags, 0o600)
	}
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		_ = unix.Close(fd) // the first error counts
		return err
	}
	j.fd, j.ino = fd, st.Ino
	return nil
}

// Close closes the file; an Append opens it again.
func (j *Journal) Close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.close()
}

func (j *Journal) close() {
	if j.fd >= 0 {
		_ = unix.Close(j.fd) // written with one call each, which said how it went
		j.fd = -1
	}
}
