// Package layer turns tar streams into directory trees and back.
//
// Unpack treats its input as hostile: every path is resolved by the kernel
// below the root's fd (openat2 with RESOLVE_IN_ROOT, so that a symbolic link
// of the layer can lead nowhere else), whatever an entry replaces is removed
// without following links, and bytes, entries and depth are bounded.
//
// Whiteouts (image-spec, layer.md) become what overlayfs wants: ".wh.NAME" a
// character device 0:0 at NAME, ".wh..wh..opq" the opaque xattr on its
// directory. A whiteout hides what lower layers have, never what the same
// layer has, whichever entry comes first. No other name that begins with ".wh." is
// ever in a tree, or packed: a container's own file of such a name would hide
// another one in the image that is made of it.
package layer

import "github.com/tare-engine/tare/internal/lib/fault"

// Limits bound what a layer may hold. A zero field means the default.
type Limits struct {
	Bytes   int64 // of file content, holes included
	Entries int64
	Depth   int // components of a path
}

// DefaultLimits are far above any sane image.
func DefaultLimits() Limits { return Limits{Bytes: 1 << 40, Entries: 10_000_000, Depth: 512} }

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	if l.Bytes == 0 {
		l.Bytes = d.Bytes
	}
	if l.Entries == 0 {
		l.Entries = d.Entries
	}
	if l.Depth == 0 {
		l.Depth = d.Depth
	}
	return l
}

// Names with a meaning in layers and in overlayfs.
const (
	whiteoutPrefix = ".wh."
	whiteoutMeta   = ".wh..wh."
	whiteoutOpaque = ".wh..wh..opq"
	aufsLinks      = ".wh..wh.plnk" // a directory: files that entries are links to

	trustedOverlay = "trusted.overlay."
	userOverlay    = "user.overlay."
)

// OpaqueXattr is the name of the extended attribute that hides what lower
// layers have in a directory; its value is "y". user is for mounts with
// userxattr, in a user namespace.
func OpaqueXattr(user bool) string {
	if user {
		return userOverlay + "opaque"
	}
	return trustedOverlay + "opaque"
}

func invalid(name, why string) error {
	return fault.New(fault.Invalid, "unpack %q: %s", name, why)
}
