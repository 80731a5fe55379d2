// Package state keeps the records of containers on disk.
//
//	ROOT/containers/ID/config.json   what was asked for, written once
//	ROOT/containers/ID/state.json    what became of it
//	ROOT/containers/.names/NAME       symbolic link to the ID
//	RUN/containers/ID/...            the same, for containers that are
//	                                 removed when they end (--rm)
//	RUN/pending/ID                   a start under way: flocked by whoever
//	                                 does it; says what to clean up
//
// A name is reserved by making its link, which fails if it is there. Nothing
// is synced but what must survive a power cut.
//
// The locks' order is name, then container, then layer.
package state

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/fsatomic"
	"golang.org/x/sys/unix"
)

// Schema is the version of the records. A newer one is refused, not guessed.
const Schema = 1

// Record is state.json: everything that a list shows, and what is needed to
// clean up.
type Record struct {
	Schema   int               `json:"schema"`
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	Image    string            `json:"image"`   // as the user named it
	ImageID  string            `json:"imageID"` //
	Command  []string          `json:"command"`
	Created  time.Time         `json:"created"`
	Started  time.Time         `json:"started"`
	Finished time.Time         `json:"finished"`
	Labels   map[string]string `json:"labels,omitempty"`
	Remove   bool              `json:"remove,omitempty"` // --rm
	Cgroup   string            `json:"cgroup"`           // absolute in each hierarchy
	Proc     Proc              `json:"proc"`             // the init process; pid 0 before the first start
	Exited   bool              `json:"exited,omitempty"`
	ExitCode int               `json:"exitCode"`
	OOM      bool              `json:"oom,omitempty"`
	Error    string            `json:"error,omitempty"`
}

const namesDir = "containers/.names"

// Store is the records below a data root and a run root.
type Store struct{ root, run string }

// Open returns the store, without I/O.
func Open(root, run string) *Store { return &Store{root, run} }

// Dir returns the directory of a container's records.
func (s *Store) Dir(id string, remove bool) string {
	if remove {
		return filepath.Join(s.run, "containers", id)
	}
	return filepath.Join(s.root, "containers", id)
}

// Reserve gives name to id. The error is Exists, naming the owner.
func (s *Store) Reserve(name, id string) error {
	dir := filepath.Join(s.root, namesDir)
	link := filepath.Join(dir, name)
	err := os.Symlink(id, link)
	if errors.Is(err, unix.ENOENT) {
		if err = os.MkdirAll(dir, 0o711); err == nil {
			err = os.Symlink(id, link)
		}
	}
	if errors.Is(err, unix.EEXIST) {
		owner, _ := os.Readlink(link)
		return fault.New(fault.Exists, "name %q is in use by container %s", name, short(owner))
	}
	return err
}

// Owner returns the id that has the name, or "".
func (s *Store) Owner(name string) string {
	id, err := os.Readlink(filepath.Join(s.root, namesDir, name))
	if err != nil {
		return ""
	}
	return id
}

// Free gives the name back, if id has it.
func (s *Store) Free(name, id string) error {
	if name == "" || s.Owner(name) != id {
		return nil
	}
	err := os.Remove(filepath.Join(s.root, namesDir, name))
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// MakeDir makes the directory of a container's records.
func (s *Store) MakeDir(id string, remove bool) (string, error) {
	dir := s.Dir(id, remove)
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, unix.ENOENT) {
		if err = os.MkdirAll(filepath.Dir(dir), 0o711); err == nil {
			err = os.Mkdir(dir, 0o700)
		}
	}
	return dir, err
}

// PutConfig writes config.json: the intent, once. Sync makes it durable.
func (s *Store) PutConfig(id string, remove bool, config any) error {
	b, err := json.Marshal(config)
	if err != nil {
		return err
	}
	return fsatomic.WriteFile(filepath.Join(s.Dir(id, remove), "config.json"), b, 0o600, fsatomic.Volatile)
}

// Put writes state.json.
func (s *Store) Put(r *Record) error {
	r.Schema = Schema
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return fsatomic.WriteFile(filepath.Join(s.Dir(r.ID, r.Remove), "state.json"), b, 0o600, fsatomic.Volatile)
}

// Sync makes the records of a container survive a power cut. It is called
// while the container runs: a start does not wait for the disk.
func (s *Store) Sync(id string) error {
	dir := s.Dir(id, false)
	for _, name := range []string{"config.json", "state.json"} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		err = f.Sync()
		_ = f.Close() // opened for reading
		if err != nil {
			return err
		}
	}
	if err := fsatomic.SyncDir(dir); err != nil {
		return err
	}
	return fsatomic.SyncDir(filepath.Dir(dir))
}

// Get reads the record of a full id.
func (s *Store) Get(id string) (*Record, error) {
	for _, remove := range []bool{false, true} {
		b, err := os.ReadFile(filepath.Join(s.Dir(id, remove), "state.json"))
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var r Record
		if err := json.Unmarshal(b, &r); err != nil {
			return nil, fault.New(fault.Internal, "container %s: state.json: %w", short(id), err)
		}
		if r.Schema > Schema {
			return nil, fault.New(fault.Unsupported, "container %s: record of a newer tare (schema %d)", short(id), r.Schema)
		}
		r.Remove = remove
		return &r, nil
	}
	return nil, fault.New(fault.NotFound, "no such container: %s", id)
}

// IDs lists all containers that have a directory.
func (s *Store) IDs() ([]string, error) {
	var ids []string
	for _, remove := range []bool{false, true} {
		entries, err := os.ReadDir(filepath.Dir(s.Dir("x", remove)))
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return nil, err
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") {
				ids = append(ids, e.Name())
			}
		}
	}
	return ids, nil
}

// Find resolves a name, an id or an unambiguous prefix of an id.
func (s *Store) Find(ref string) (string, error) {
	if id := s.Owner(ref); ref != "" && !strings.ContainsRune(ref, '/') && id != "" {
		return id, nil
	}
	ids, err := s.IDs()
	if err != nil {
		return "", err
	}
	found := ""
	for _, id := range ids {
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

// Delete removes the records of a container, and its name.
func (s *Store) Delete(id, name string, remove bool) error {
	if err := os.RemoveAll(s.Dir(id, remove)); err != nil {
		return err
	}
	return s.Free(name, id)
}

func short(id string) string { return id[:min(12, len(id))] }

// NameOf searches the names for the one that id has reserved. Only the
// clean-up after a crash needs it.
func (s *Store) NameOf(id string) string {
	entries, err := os.ReadDir(filepath.Join(s.root, namesDir))
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
