package runc

//go:generate go run ../../lib/jsongen -o record_json.go Record

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"github.com/tare-engine/tare/internal/lib/jsonread"
	"github.com/tare-engine/tare/internal/state"
	"golang.org/x/sys/unix"
)

// A container's directory:
//
//	ROOT/ID             flocked by whoever changes the container
//	ROOT/ID/state.json  the Record
//	ROOT/ID/config.json the bundle's, as it was at create: what becomes of
//	                    the bundle's own changes nothing (runtime-spec)
//	ROOT/ID/start       FIFO: the start gate, from create to start
//	ROOT/ID/progress    how far the child has come, from create to start
//	ROOT/ID/criu-root   a mount of the root, while CRIU restores
//
// It appears with its record and locked (create.go), so an id is reserved by
// a rename that fails when it is taken.
const (
	recordFile   = "/state.json"
	configFile   = "/config.json"
	gateFile     = "/start"
	progressFile = "/progress"
	criuRoot     = "/criu-root"
)

// schema is the version of the records. A newer one is refused, not guessed.
const schema = 1

// Record is what must be known of a container besides what the kernel knows.
type Record struct {
	Schema      int               `json:"schema"`
	OCIVersion  string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Bundle      string            `json:"bundle"` // absolute
	Rootfs      string            `json:"rootfs"` // absolute
	Created     time.Time         `json:"created"`
	Owner       int               `json:"owner"` // uid of the caller
	Annotations map[string]string `json:"annotations,omitempty"`
	Program     string            `json:"program"`
	Cgroup      string            `json:"cgroup"`              // absolute in each hierarchy; "" without one
	Systemd     bool              `json:"systemd,omitempty"`   // it is a unit of systemd's
	OwnPIDNS    bool              `json:"ownPIDNS"`            // the container ends with its first process
	HostMount   uint64            `json:"hostMount,omitempty"` // the mount below the root, which delete comes down to
	Hooks       bool              `json:"hooks,omitempty"`     // the bundle's configuration has some, or an RDT class
	Restored    bool              `json:"restored,omitempty"`  // by CRIU, without an exec
	Pid         int               `json:"pid"`                 // of the first process; 0 while it is being made
	StartTime   uint64            `json:"startTime"`           // and what tells it from another with that number:
	BootID      string            `json:"bootID"`              // see state.Proc
}

func (r *Record) proc() state.Proc { return state.Proc{Pid: r.Pid, Start: r.StartTime, Boot: r.BootID} }

func (r *Record) setProc(p state.Proc) { r.Pid, r.StartTime, r.BootID = p.Pid, p.Start, p.Boot }

// entry is a container's directory, locked or not.
type entry struct {
	dir  string
	lock int // fd of the directory, or -1
	rec  Record
}

var errNotExist = errors.New("container does not exist")

// checkID accepts what runc does: letters, digits and "+-_.".
func checkID(id string) error {
	ok := id != "" && id != "." && id != ".." && len(id) <= 1024
	for _, c := range []byte(id) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("+-_.", c) >= 0:
		default:
			ok = false
		}
	}
	if !ok || strings.HasPrefix(id, fsatomic.Prefix) {
		return fault.New(fault.Invalid, "invalid container ID format: %q", id)
	}
	return nil
}

// open reads a container's record.
func (a *App) open(id string) (*entry, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	c := &entry{dir: a.root + "/" + id, lock: -1}
	return c, c.read()
}

func (c *entry) read() error {
	b, err := fsatomic.ReadFile(c.dir + recordFile)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return fault.New(fault.NotFound, "open %s: %w", filepath.Base(c.dir), errNotExist)
	}
	if err == nil {
		c.rec = Record{}
		err = jsonread.Decode(b, &c.rec, readRecord)
	}
	if err == nil && c.rec.Schema > schema {
		err = fault.New(fault.Unsupported, "schema %d is newer than this program's", c.rec.Schema)
	}
	if err != nil {
		return fmt.Errorf("read state of container %s: %w", filepath.Base(c.dir), err)
	}
	return nil
}

// openLocked is open for a command that changes the container: while it does,
// no other command can.
func (a *App) openLocked(id string) (*entry, error) {
	c, err := a.open(id)
	if err != nil {
		return nil, err
	}
	if err := c.take(true); err != nil {
		return nil, err
	}
	if err := c.read(); err != nil { // it may have changed, or gone
		c.release()
		return nil, err
	}
	return c, nil
}

// lockTimeout bounds the wait for another command, whose hook may hang.
const lockTimeout = 10 * time.Second

// take locks the directory, waiting for the lock if asked to.
func (c *entry) take(wait bool) error {
	id := filepath.Base(c.dir)
	fd, err := unix.Open(c.dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.NotFound, "open %s: %w", id, errNotExist)
	}
	if err != nil {
		return fmt.Errorf("open container %s: %w", id, err)
	}
	for end := time.Now().Add(lockTimeout); ; {
		err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			c.lock = fd
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EWOULDBLOCK) && wait && time.Now().Before(end):
			time.Sleep(time.Millisecond)
			continue
		case errors.Is(err, unix.EWOULDBLOCK):
			err = errors.New("another command is at work on it")
		}
		_ = unix.Close(fd)
		return fault.New(fault.Conflict, "lock container %s: %w", id, err)
	}
}

func (c *entry) release() {
	if c.lock >= 0 {
		_ = unix.Close(c.lock)
		c.lock = -1
	}
}

// put writes the record. The state directory is on a tmpfs: nothing is synced.
func (c *entry) put() error {
	c.rec.Schema = schema
	return fsatomic.ReplaceFile(c.dir+recordFile, appendRecord(make([]byte, 0, 1024), &c.rec), 0o600)
}

// reserve makes the container's directory, with the record and locked. What a
// create of the same id has left that was killed is removed first.
func (a *App) reserve(rec Record) (*entry, error) {
	rec.Schema = schema
	c := &entry{dir: a.root + "/" + rec.ID, rec: rec}
	for {
		err := c.stage(a.root)
		if !errors.Is(err, fs.ErrExist) {
			return c, err
		}
		cleared, err := a.clearUnfinished(rec.ID)
		if err != nil {
			return nil, err
		}
		if !cleared {
			return nil, fault.New(fault.Exists, "container with given ID already exists: %s", rec.ID)
		}
	}
}

func (c *entry) stage(root string) error {
	s, err := fsatomic.Stage(root)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(root, 0o700); err == nil {
			s, err = fsatomic.Stage(root)
		}
	}
	if err != nil {
		return err
	}
	defer func() { _ = s.Discard() }() // only what was not committed
	// A copy keeps the lock when the staging is over.
	if c.lock, err = unix.FcntlInt(uintptr(s.FD), unix.F_DUPFD_CLOEXEC, 3); err != nil {
		return err
	}
	if err = fsatomic.CreateFile(s.Path+recordFile, appendRecord(make([]byte, 0, 1024), &c.rec), 0o600); err == nil {
		err = s.Commit("", c.dir)
	}
	if err != nil {
		c.release()
	}
	return err
}

// clearUnfinished removes a container whose create was cut off: it has no
// process, and nobody holds its lock.
func (a *App) clearUnfinished(id string) (bool, error) {
	c, err := a.open(id)
	if errors.Is(err, errNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if c.rec.Pid != 0 || c.take(false) != nil {
		return false, nil
	}
	defer c.release()
	if err := c.read(); err != nil || c.rec.Pid != 0 {
		return errors.Is(err, errNotExist), nil
	}
	return true, a.destroy(c)
}

// list returns the ids of all containers, sorted.
func (a *App) list() ([]string, error) {
	entries, err := os.ReadDir(a.root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() && checkID(e.Name()) == nil {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

// paused is a status besides those of the runtime-spec, as runc has it.
const paused specs.ContainerState = "paused"

// status is how the container is, by what the kernel says.
func (a *App) status(c *entry) specs.ContainerState {
	s := c.life()
	if (s == specs.StateRunning || s == specs.StateCreated) && a.frozen(c) {
		return paused
	}
	return s
}

func (a *App) frozen(c *entry) bool {
	if c.rec.Cgroup == "" {
		return false
	}
	g, err := a.group(&c.rec)
	if err != nil {
		return false
	}
	defer g.Close()
	frozen, err := g.Frozen()
	return err == nil && frozen
}

// life is status without a look at the cgroup.
func (c *entry) life() specs.ContainerState {
	switch c.rec.proc().Look() {
	case state.Running:
		return specs.StateRunning
	case state.Waiting:
		if c.rec.Restored {
			return specs.StateRunning
		}
		return specs.StateCreated
	case state.Unknown:
		return specs.StateRunning // so that nobody deletes it
	case state.Gone:
	}
	if c.rec.Pid == 0 && c.busy() {
		return specs.StateCreating
	}
	return specs.StateStopped
}

// busy reports whether another command holds the lock.
func (c *entry) busy() bool {
	if c.lock >= 0 {
		return false
	}
	if err := c.take(false); err != nil {
		return true
	}
	c.release()
	return false
}
