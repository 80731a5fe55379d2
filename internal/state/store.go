// Package state keeps the records of containers on disk.
//
//	ROOT/containers/ID.json     what was asked for and what became of it
//	ROOT/containers/.names/NAME symbolic link whose text is the ID, in base64
//	RUN/containers/ID.json      the same record, for containers that are removed
//	                            when they end (--rm): a reboot forgets them
//	RUN/pending                 starts under way, a slot each: locked by whoever
//	                            does it; says what to clean up (pending.go)
//	RUN/locks                   a lock for each container (lock.go)
//	RUN/live/ID/                what a container with a keeper needs while it
//	                            runs (live.go)
//	RUN/sandboxes/ID            who shares its namespaces (sandbox.go)
//	ROOT/logs/ID/               its output (package logs)
//
// One file is one atomic record, and a directory for each container would
// cost ext4 more than all the rest of it (docs/adr/0003). A name is reserved
// by making its link, which fails if it is there. Nothing is synced but what
// must survive a power cut.
//
// The locks' order is name, then container, then sandbox, then layer.
package state

//go:generate go run ../lib/jsongen -o record_json.go Record Pending Exec Sandbox read:execKey

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tare-engine/tare/internal/lib/exit"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"github.com/tare-engine/tare/internal/lib/jsonread"
	"golang.org/x/sys/unix"
)

// Schema is the version of the records. A newer one is refused, not guessed.
const Schema = 1

// Record is everything that is known of a container: what a list shows, what
// is needed to clean up, and what it was asked to be.
type Record struct {
	Schema   int               `json:"schema"`
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	Image    string            `json:"image"`   // as the user named it
	ImageID  string            `json:"imageID"` //
	Command  []string          `json:"command"`
	Created  time.Time         `json:"created"`
	Started  time.Time         `json:"started,omitzero"`
	Finished time.Time         `json:"finished,omitzero"`
	Labels   map[string]string `json:"labels,omitempty"`
	Remove   bool              `json:"remove,omitempty"` // --rm
	Cgroup   string            `json:"cgroup"`           // absolute in each hierarchy
	Proc     Proc              `json:"proc"`             // the init process; pid 0 before the first start
	Exited   bool              `json:"exited,omitempty"`
	ExitCode int               `json:"exitCode"`
	OOM      bool              `json:"oom,omitempty"`
	Error    string            `json:"error,omitempty"`

	// Keeper is the process that looks after the container, from before its
	// start until its end is written down; pid 0 for one that runs in the
	// foreground of the command that made it (see Pending). Its name on disk
	// is the older one: an upgrade finds containers that run, and a field of
	// another name would be a keeper that has gone.
	Keeper        Proc      `json:"monitor,omitzero"`
	ExitSignal    int       `json:"exitSignal,omitempty"`    // the signal that ended it
	Cause         string    `json:"cause,omitempty"`         // of the end: an exit.Cause
	Said          string    `json:"said,omitempty"`          // what tare is about to end it for: an exit.Cause
	Paused        bool      `json:"paused,omitempty"`        // is or is being frozen: the cgroup knows
	StopRequested bool      `json:"stopRequested,omitempty"` // somebody stopped it: no policy starts it again
	Removing      bool      `json:"removing,omitempty"`      // being removed, or half of it is
	Restarts      int       `json:"restarts,omitempty"`      // by its policy, since somebody started it
	Backoff       int64     `json:"backoff,omitempty"`       // ns: the last wait before a restart
	RestartAt     time.Time `json:"restartAt,omitzero"`      // the policy will start it then

	Health  json.RawMessage `json:"health,omitempty"`  // engine.Health
	Receipt json.RawMessage `json:"receipt,omitempty"` // engine.Receipt, of the last run

	Warnings []string `json:"warnings,omitempty"` // of the last start: what could not be given

	// PIDOf is the first process of the container whose pid namespace it runs in:
	// the kernel ends all of that with it.
	PIDOf Proc `json:"pidOf,omitzero"`

	// Sandboxes are the ids of those that its last run is a member of: whoever made
	// what it joined may be gone when it leaves.
	Sandboxes []string `json:"sandboxes,omitempty"`

	// Network is its place in its network, from its first start on; nil where
	// that has no addresses.
	Network *Network `json:"network,omitempty"`

	// Resolved is what the names in Config meant when the container was made;
	// nil in the records of tare before it wrote this.
	Resolved *Resolved `json:"resolved,omitempty"`

	Config json.RawMessage `json:"config"` // engine.ContainerConfig, as it was asked for

	file fileID    // that it is in, for Current
	seen exit.Seen // of the end that it tells of
}

// Network is a container's place in a network.
type Network struct {
	Addresses []string `json:"addresses"` // in CIDR form
}

// Resolved is what was looked up by name when a container was made. No later
// command asks a name again: it may mean something else by then, or nothing.
// The image's id is [Record].ImageID.
type Resolved struct {
	Layers []string `json:"layers,omitempty"` // keys of the image's layers, bottom first

	// UIDMap and GIDMap are the ids of its user namespace; empty without one.
	UIDMap []IDRange `json:"uidMap,omitempty"`
	GIDMap []IDRange `json:"gidMap,omitempty"`

	// Joined are the containers whose namespaces it joins, by the option that
	// says so: "network", "ipc", "pid".
	Joined map[string]string `json:"joined,omitempty"`
	// Requires are the containers to be started before it.
	Requires []string `json:"requires,omitempty"`
	// VolumesFrom are the mounts that it has from other containers.
	VolumesFrom []ForeignMount `json:"volumesFrom,omitempty"`
}

// IDRange says that Size ids from Container on are those from Host on.
type IDRange struct {
	Container uint32 `json:"container"`
	Host      uint32 `json:"host"`
	Size      uint32 `json:"size"`
}

// ForeignMount is a bind mount that another container has too.
type ForeignMount struct {
	Source      string   `json:"source"`      // absolute, on the host
	Destination string   `json:"destination"` // absolute, in the container
	Options     []string `json:"options"`     // as in the runtime-spec
}

// Store is the records below a data root and a run root.
type Store struct {
	root, run string
	madeUp    func(id string) string
}

// Open returns the store, without I/O. A container that nobody named has the
// name madeUp(id), which follows from its id and needs no link; nil makes up
// none.
func Open(root, run string, madeUp func(id string) string) *Store { return &Store{root, run, madeUp} }

func (s *Store) dir(remove bool) string {
	if remove {
		return s.run + "/containers"
	}
	return s.root + "/containers"
}

const suffix = ".json"

func (s *Store) path(id string, remove bool) string { return s.dir(remove) + "/" + id + suffix }

// FileName is a path that stands for a file of the container which exists
// only as a mount; nothing is ever made there.
func (s *Store) FileName(id, name string) string { return s.run + "/files/" + id + "/" + name }

// linkText is the text of a name's link: 43 bytes, which ext4 keeps in the
// inode. The 64 digits of the id itself would take a block, and a discard
// when it is freed.
func linkText(id string) string {
	b, err := hex.DecodeString(id)
	if err != nil {
		return id
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func (s *Store) nameLink(name string) string { return s.root + "/containers/.names/" + name }

// Reserve gives name to id. The error is Exists, naming the owner.
func (s *Store) Reserve(name, id string) error {
	link := s.nameLink(name)
	err := unix.Symlink(linkText(id), link)
	if err == unix.ENOENT {
		if err := os.MkdirAll(filepath.Dir(link), 0o700); err != nil {
			return err
		}
		err = unix.Symlink(linkText(id), link)
	}
	if err == unix.EEXIST && s.freeStale(name) {
		err = unix.Symlink(linkText(id), link)
	}
	if err == unix.EEXIST {
		return fault.New(fault.Exists, "name %q is in use by container %s", name, short(s.Owner(name)))
	}
	if err != nil {
		return fault.New(fault.KindOf(err), "reserve name %q: %w", name, err)
	}
	return nil
}

// Owner returns the id that has the name, or "".
func (s *Store) Owner(name string) string {
	text, err := os.Readlink(s.nameLink(name))
	if err != nil {
		return ""
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return ""
	}
	return hex.EncodeToString(b)
}

// free gives the name back, if id has it. The lock keeps a second free of the
// same name from taking it away from its next owner.
func (s *Store) free(name, id string) error {
	if name == "" || s.Owner(name) != id {
		return nil
	}
	dir, err := openLocked(filepath.Dir(s.nameLink(name)), unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(dir) }()
	if s.Owner(name) != id {
		return nil
	}
	if err := unix.Unlink(s.nameLink(name)); err != unix.ENOENT {
		return err
	}
	return nil
}

// Free gives the name back, if id has it.
func (s *Store) Free(name, id string) error { return s.free(name, id) }

// freeStale gives back a name whose owner is gone without having done so: a
// reboot takes the record of a --rm container and leaves its name.
func (s *Store) freeStale(name string) bool {
	id := s.Owner(name)
	if id == "" {
		return s.garbage(name) && s.free(name, id) == nil
	}
	if s.Underway(id) {
		return false
	}
	if _, err := s.Get(id); fault.KindOf(err) != fault.NotFound {
		return false
	}
	return s.free(name, id) == nil
}

// garbage says that what stands for a name is nothing that was ever written for one.
func (s *Store) garbage(name string) bool {
	text, err := os.Readlink(s.nameLink(name))
	if err != nil {
		return errors.Is(err, unix.EINVAL) // no link
	}
	_, err = base64.RawURLEncoding.DecodeString(text)
	return err != nil
}

// FreeStale gives back every name whose owner is gone.
func (s *Store) FreeStale() {
	entries, err := os.ReadDir(filepath.Dir(s.nameLink("x")))
	if err != nil {
		return // none was ever given
	}
	for _, e := range entries {
		s.freeStale(e.Name())
	}
}

// NameOf searches the names for the one that id has reserved. Only the
// clean-up after a crash needs it.
func (s *Store) NameOf(id string) string {
	entries, err := os.ReadDir(filepath.Dir(s.nameLink("x")))
	if err != nil {
		return ""
	}
	for _, e := range entries {
		if s.Owner(e.Name()) == id {
			return e.Name()
		}
	}
	return ""
}

// Create writes the first record of a container. An empty file is no record that is
// being written: a power cut has left it.
func (s *Store) Create(r *Record) error {
	b := r.encode()
	path := s.path(r.ID, r.Remove)
	if r.Remove && s.reuse(r.ID, b) {
		s.mark(r)
		return nil
	}
	temp := s.staged(r.ID, r.Remove)
	err := fsatomic.CreateFile(temp, b, 0o600)
	if errors.Is(err, unix.ENOENT) {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		err = fsatomic.CreateFile(temp, b, 0o600)
	}
	if err != nil {
		return err
	}
	if err := unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE); err != nil {
		_ = unix.Unlink(temp) // the first error counts
		return fmt.Errorf("create %s: %w", path, err)
	}
	s.mark(r)
	return nil
}

// spare is the record file of a container that is gone, kept for the next
// one: on a run root that is not a tmpfs, a new file costs half a millisecond.
func (s *Store) spare() string { return s.dir(true) + "/.spare" }

// staged is a record on its way to its name.
func (s *Store) staged(id string, remove bool) string {
	return s.dir(remove) + "/" + fsatomic.Prefix + id
}

// reuse writes a record into the spare file and gives it its name, if there
// is one and nobody else is faster.
func (s *Store) reuse(id string, b []byte) bool {
	temp := s.staged(id, true)
	if unix.Rename(s.spare(), temp) != nil {
		return false
	}
	fd, err := unix.Open(temp, unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err == nil {
		var n int
		if n, err = unix.Write(fd, b); err == nil && n == len(b) {
			err = unix.Ftruncate(fd, int64(n))
		}
		err = errors.Join(err, unix.Close(fd))
	}
	if err == nil && unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, s.path(id, true), unix.RENAME_NOREPLACE) == nil {
		return true
	}
	_ = unix.Unlink(temp)
	return false
}

// Put replaces a record. One that somebody has removed meanwhile stays so. The
// caller has the container's lock.
func (s *Store) Put(r *Record) error {
	err := fsatomic.ReplaceFileBy(s.staged(r.ID, r.Remove), s.path(r.ID, r.Remove), r.encode(), 0o600)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

func (r *Record) encode() []byte {
	r.Schema = Schema
	return appendRecord(make([]byte, 0, 1024+len(r.Config)), r)
}

// Sync makes the record of a container survive a power cut. It is called
// while the container runs: a start does not wait for the disk.
func (s *Store) Sync(id string) error {
	f, err := os.Open(s.path(id, false))
	if err != nil {
		return err
	}
	err = f.Sync()
	_ = f.Close() // opened for reading
	if err != nil {
		return err
	}
	return fsatomic.SyncDir(s.dir(false))
}

// Get reads the record of a full id.
func (s *Store) Get(id string) (*Record, error) {
	for _, remove := range []bool{false, true} {
		b, err := fsatomic.ReadFile(s.path(id, remove))
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var r Record
		if err := jsonread.Decode(b, &r, readRecord); err != nil {
			return nil, fault.New(fault.Internal, "container %s: damaged record: %w", short(id), err)
		}
		if r.Schema > Schema {
			return nil, fault.New(fault.Unsupported, "container %s: record of a newer tare (schema %d)", short(id), r.Schema)
		}
		r.Remove = remove
		return &r, nil
	}
	return nil, fault.New(fault.NotFound, "no such container: %s", id)
}

// IDs lists all containers that have a record.
func (s *Store) IDs() ([]string, error) {
	var ids []string
	for _, remove := range []bool{false, true} {
		entries, err := os.ReadDir(s.dir(remove))
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return nil, err
		}
		for _, e := range entries {
			if id, ok := strings.CutSuffix(e.Name(), suffix); ok && !strings.HasPrefix(id, ".") {
				ids = append(ids, id)
			}
		}
	}
	return ids, nil
}

// Find resolves a name, an id or an unambiguous prefix of an id.
func (s *Store) Find(ref string) (string, error) {
	if ref != "" && !strings.Contains(ref, "/") {
		if id := s.Owner(ref); id != "" {
			return id, nil
		}
	}
	ids, err := s.IDs()
	if err != nil {
		return "", err
	}
	found := ""
	for _, id := range ids {
		if s.madeUp != nil && ref != "" && s.madeUp(id) == ref {
			return id, nil
		}
		if ref != "" && strings.HasPrefix(id, ref) {
			if found != "" {
				return "", fault.New(fault.Invalid, "%q: more than one container's id begins with it", ref)
			}
			found = id
		}
	}
	if found == "" {
		return "", fault.New(fault.NotFound, "no such container: %s", ref)
	}
	return found, nil
}

// Delete removes the record of a container, and gives its name back.
func (s *Store) Delete(id, name string, remove bool) error {
	path := s.path(id, remove)
	_ = unix.Unlink(s.staged(id, remove)) // left by a command that was killed
	if remove {
		if unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, s.spare(), unix.RENAME_NOREPLACE) == nil {
			return s.free(name, id)
		}
	}
	switch err := unix.Unlink(path); {
	case err == nil || err == unix.ENOENT:
	case err == unix.EROFS && unix.Access(path, unix.F_OK) == unix.ENOENT:
	default:
		return fault.New(fault.KindOf(err), "remove %s: %w", path, err)
	}
	return s.free(name, id)
}

func short(id string) string { return id[:min(12, len(id))] }

// openLocked opens a directory and locks it.
func openLocked(path string, how int) (int, error) {
	dir, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	for {
		err := unix.Flock(dir, how)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			_ = unix.Close(dir)
			return -1, err
		}
		return dir, nil
	}
}
