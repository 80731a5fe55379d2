// Package store is the store of images and their unpacked layers.
//
// # On disk
//
// Everything lies below one data root, all of it on one file system:
//
//	blobs/sha256/HEX     content by digest: configs, manifests, layers as received
//	layers/KEY/fs        the tree of one layer, ready to be an overlay lower
//	layers/KEY/meta      chain id, diff id and size of it
//	images/HEX           the record of an image, by its id (digest of its config)
//	names/NAME@PLATFORM  the record again, found by name
//	staging/.new-*       work in progress; garbage if nobody holds its flock
//	partial/HEX          a blob that is being fetched, or was; flock by who does
//	partial/HEX.got      a byte for each MiB of it that is there
//	partial/HEX.lock     flock by who ingests the image with that manifest
//	lock                 flock: shared to add and to use, exclusive to remove
//
// KEY is a short form of the layer's chain id, so that option strings for 128
// layers fit the one page that mount(2) takes; meta holds the whole chain id
// and is checked before a layer is shared.
//
// A record (record.go) holds all that a container needs of an image, so that
// resolving a name opens one file. Records never change; names are replaced by
// rename.
//
// # Crashes
//
// New things are staged, synced once with syncfs, and renamed into place from
// the bottom up: blobs, layers, image, name. Removal goes from the top down.
// A crash leaves either garbage in staging, which Recover removes, or a layer
// that no image names, which the next Remove sweeps. Blobs that were fetched
// but not committed stay in partial for the next try, and are hashed before
// they are believed.
//
// # Locks
//
// The order is name, then container (both held by the engine), then lock.
// An import works without a lock until it commits. Work in staging is locked
// by a flock on its own directory. Whoever has the flock of a manifest may wait
// for those of its blobs, and who has one of a blob waits for nothing; so each
// [Ingest.Layer] is called from the goroutine that then fetches it.
package store

import (
	"runtime"
	"strings"
	"time"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/image/reference"
	"github.com/tare-engine/tare/internal/storage/layer"
)

// Store is an image store. The zero value is not usable; see [Open].
type Store struct {
	// Limits bound what is added; zero fields are the defaults.
	Limits Limits
	// Zstd decompresses; the hot programs do not carry it (internal/storage/layer/unzstd).
	// With nil, such layers are refused.
	Zstd layer.Decoder
	// Gzip compresses layers that have no blob yet; the hot programs do not
	// carry it (internal/storage/layer/deflate). With nil, they cannot be given away.
	Gzip layer.Encoder
	// UserXattr is for a store of a user namespace: see layer.Options.
	UserXattr bool
	// Warn gets a line for a damaged record that is left out; may be nil.
	Warn func(string)

	root string
}

// Open returns the store below the data root, an absolute path. It does no
// I/O; directories appear when the first image is added.
func Open(root string) *Store { return &Store{root: root} }

// Platform is what an image was built for. The zero value means the host's.
type Platform struct {
	OS, Arch, Variant string
}

// HostPlatform is the platform that this binary runs on.
func HostPlatform() Platform { return Platform{OS: "linux", Arch: runtime.GOARCH} }

// String returns os/arch[/variant].
func (p Platform) String() string {
	s := p.OS + "/" + p.Arch
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// Image is all that the engine needs to know of a local image.
type Image struct {
	ID       string // "sha256:HEX", the digest of the config blob
	Name     string // canonical name:tag it was found by; "" when found by id
	Manifest string // "sha256:HEX" of the manifest; "" for imported images
	Index    string // "sha256:HEX" of the index that named the manifest, or ""
	Platform Platform
	Created  time.Time
	Size     int64  // bytes of regular files in all layers
	Build    string // identity of the binary in tare/base, else ""
	Config   api.ImageDefaults
	Root     RootAttr          // of the top layer's root directory
	Layers   []string          // keys, bottom first
	Lower    []string          // absolute directories, top first, as overlay wants them
	Unmade   map[string]string // of PlanBase: its small files by path, since it is not in the store

	blobs []string // "sha256:HEX" of all blobs that belong to it
}

// Familiar returns Name as a user would type it, or "" if there is none.
func (m *Image) Familiar() string {
	r, err := reference.Parse(m.Name)
	if err != nil {
		return m.Name
	}
	return r.Familiar()
}

// RootAttr is the mode (07777) and the owner of a root directory.
type RootAttr struct {
	Mode     uint32
	UID, GID uint32
}

// ShortID returns the first twelve hex digits of the id.
func (m *Image) ShortID() string {
	id := strings.TrimPrefix(m.ID, "sha256:")
	return id[:min(12, len(id))]
}
