// Package snapshot gives a container its root file system: the layers of an
// image below, a private writable layer above, as plain data for whoever does
// the mount.
//
// On disk, below the data root that the image store uses too:
//
//	overlay/ID/upper    the writable layer
//	overlay/ID/work     what overlay needs beside it
//	overlay/.new-ID     one being made; garbage after a crash
//
// Nothing here is synced to disk: a container's layer that is lost with the
// machine's power is lost with the container's memory as well.
package snapshot

import (
	"os"

	"github.com/tare-engine/tare/fault"
)

// Store makes and removes snapshots below a data root.
type Store struct {
	root string
}

// Open returns the store below the data root, an absolute path, without I/O.
func Open(root string) *Store { return &Store{root: root} }

// Parent is what a snapshot stands on.
type Parent struct {
	Lower    []string // absolute layer directories, top first
	Mode     uint32   // of the top layer's root, 07777
	UID, GID uint32
}

// Snapshot is a root file system that can be mounted. Either Dir is set, and
// is the root as it stands, or the rest describes an overlay.
type Snapshot struct {
	ID       string
	Dir      string   // a directory used directly
	Lower    []string // absolute, top first
	Upper    string   // absolute; "" for a view
	Work     string
	Volatile bool // the overlay may skip every sync: the container is --rm
	ReadOnly bool
}

// Prepare makes the writable layer of container id on top of p. The error is
// Exists when the id has one.
func (s *Store) Prepare(id string, p Parent, volatile bool) (Snapshot, error) {
	return Snapshot{}, fault.New(fault.Unsupported, "prepare %s: not built yet", id)
}

// Get returns the snapshot of id that Prepare made, for a container that
// starts again.
func (s *Store) Get(id string, p Parent, volatile bool) (Snapshot, error) {
	return Snapshot{}, fault.New(fault.Unsupported, "open snapshot %s: not built yet", id)
}

// View returns a read-only root of p. It makes nothing on disk.
func View(p Parent) (Snapshot, error) {
	return Snapshot{}, fault.New(fault.Unsupported, "view: not built yet")
}

// Dir returns a snapshot that is the directory itself (--rootfs).
func Dir(path string) (Snapshot, error) {
	return Snapshot{}, fault.New(fault.Unsupported, "open rootfs %s: not built yet", path)
}

// Remove removes the writable layer of id; it is no error if there is none.
// The overlay must be unmounted.
func (s *Store) Remove(id string) error { return nil }

// Recover removes staged leftovers and every snapshot that inUse denies.
func (s *Store) Recover(inUse func(id string) bool) error { return nil }

// OpenInLayers opens the regular file at path (slash separated, relative to
// the root) as an overlay of the layers, top first, would show it, without a
// mount. Whiteouts and opaque directories are honoured; a symbolic link in any
// component is refused (Invalid). NotFound wraps ENOENT.
func OpenInLayers(layers []string, path string) (*os.File, error) {
	return nil, fault.New(fault.Unsupported, "open %s: not built yet", path)
}
