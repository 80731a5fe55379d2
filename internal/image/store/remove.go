package store

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
)

// RemoveOptions say how Remove treats an image that is in use.
type RemoveOptions struct {
	// Force removes an image with several names by id, and the names of one
	// that containers use; such an image itself stays.
	Force bool
	// InUse returns who uses an image id, "container web"; it is called with the
	// store locked. nil means that there are none.
	InUse func(imageID string) []string
}

// Removed says what Remove took away, in order.
type Removed struct {
	ID       string   // of the image, whether it was deleted or not
	Untagged []string // names, familiar form
	Deleted  []string // ids of images
	Bytes    int64    // given back, by the sizes of the images; shared layers count
}

// Remove removes a name, and the image with its layers when that was the last
// one; ref may be an id. The error is Conflict when containers use the image,
// or when an id has several names.
func (s *Store) Remove(ref string, opt RemoveOptions) (Removed, error) {
	lease, err := s.lock(unix.LOCK_EX)
	if errors.Is(err, fs.ErrNotExist) {
		_, err = s.Resolve(ref, Platform{}) // says why
	}
	if err != nil {
		return Removed{}, err
	}
	removed, trash, err := s.remove(ref, opt)
	lease.Release()
	return removed, emptyTrash(trash, err)
}

func (s *Store) remove(ref string, opt RemoveOptions) (Removed, *fsatomic.Staging, error) {
	var out Removed
	m, err := s.Resolve(ref, Platform{})
	if err != nil {
		return out, nil, err
	}
	out.ID = m.ID
	all, err := s.named()
	if err != nil {
		return out, nil, err
	}
	mine := slices.DeleteFunc(all, func(n Image) bool { return n.ID != m.ID })
	untag := mine
	if m.Name != "" {
		untag = []Image{m}
	} else if len(mine) > 1 && !opt.Force {
		return out, nil, fault.WithHint(fault.New(fault.Conflict, "remove image %s: it has several names (%s)", ref, names(mine)), "force it, or remove the names")
	}
	last := len(untag) == len(mine)

	var users []string
	if last && opt.InUse != nil {
		users = opt.InUse(m.ID)
	}
	if len(users) > 0 && (!opt.Force || len(untag) == 0) {
		return out, nil, fault.WithHint(fault.New(fault.Conflict, "remove image %s: %s uses it", ref, users[0]), "remove that first")
	}

	for _, n := range untag {
		if err := unix.Unlink(s.namePath(n.Name, n.Platform)); err != nil {
			return out, nil, fmt.Errorf("remove image %s: %w", ref, err)
		}
		out.Untagged = append(out.Untagged, n.Familiar())
	}
	if !last || len(users) > 0 {
		return out, nil, nil
	}
	if err := unix.Unlink(s.root + "/images/" + strings.TrimPrefix(m.ID, "sha256:")); err != nil {
		return out, nil, fmt.Errorf("remove image %s: %w", ref, err)
	}
	out.Deleted, out.Bytes = []string{m.ID}, m.Size
	trash, err := s.detach()
	return out, trash, err
}

func names(list []Image) string {
	var s []string
	for _, m := range list {
		s = append(s, m.Familiar())
	}
	return strings.Join(s, ", ")
}
