package store

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/image/reference"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
)

// List returns all images, one for each name and one for each image without a
// name, newest first. One with a damaged record is left out, with a warning.
func (s *Store) List() ([]Image, error) {
	list, err := s.named()
	if err != nil {
		return nil, err
	}
	named := make(map[string]bool, len(list))
	for _, m := range list {
		named[m.ID] = true
	}
	all, err := s.readable("images")
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if !named[m.ID] {
			list = append(list, m)
		}
	}
	slices.SortStableFunc(list, func(a, b Image) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.Name, b.Name))
	})
	return list, nil
}

// Tag gives the image that ref resolves to a further name.
func (s *Store) Tag(ref, name string) (Image, error) {
	r, err := reference.Parse(name)
	if err != nil {
		return Image{}, err
	}
	if r.Digest != "" {
		return Image{}, fault.New(fault.Invalid, "name %s: a digest cannot be chosen", name)
	}
	lease, err := s.Lease()
	if err != nil {
		return Image{}, err
	}
	defer lease.Release()
	m, err := s.Resolve(ref, Platform{})
	if err != nil {
		return Image{}, err
	}
	m.Name = r.Tagged().String()
	if err := fsatomic.WriteFile(s.namePath(m.Name, m.Platform), encodeRecord(&m), 0o600, fsatomic.Durable); err != nil {
		return Image{}, fmt.Errorf("tag %s: %w", name, err)
	}
	return m, nil
}

// usage is what the images of the store refer to.
type usage struct{ layers, blobs map[string]bool }

func (s *Store) usage() (usage, error) {
	u := usage{map[string]bool{}, map[string]bool{}}
	for _, dir := range []string{"images", "names"} {
		list, err := s.records(dir)
		if err != nil {
			return u, err
		}
		for _, m := range list {
			for _, key := range m.Layers {
				u.layers[key] = true
			}
			for _, digest := range m.blobs {
				u.blobs[digest] = true
			}
		}
	}
	return u, nil
}

// collect removes the layers and blobs that no image refers to. It does not
// wait: whoever holds a lease may be the caller, and the next removal collects
// as well.
func (s *Store) collect() error {
	lease, err := s.lock(unix.LOCK_EX | unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil
	}
	if err != nil {
		return err
	}
	trash, err := s.detach()
	lease.Release()
	return emptyTrash(trash, err)
}

// detach moves what no image refers to into a staging directory, so that the
// slow part of the removal needs no lock. The store is locked.
func (s *Store) detach() (*fsatomic.Staging, error) {
	u, err := s.usage()
	if err != nil {
		return nil, err // what cannot be read may refer to anything
	}
	layers, err := s.entries("layers")
	if err != nil {
		return nil, err
	}
	var trash *fsatomic.Staging
	for _, key := range layers {
		if u.layers[key] {
			continue
		}
		if trash == nil {
			if trash, err = s.stage(); err != nil {
				return nil, err
			}
		}
		if err := unix.Rename(s.layerDir(key), trash.Path+"/"+key); err != nil {
			return trash, fmt.Errorf("remove layer %s: %w", key, err)
		}
	}
	blobs, err := s.entries("blobs/sha256")
	if err != nil {
		return trash, err
	}
	for _, hex := range blobs {
		if !u.blobs["sha256:"+hex] {
			if err := unix.Unlink(s.blobPath("sha256:" + hex)); err != nil {
				return trash, fmt.Errorf("remove blob %s: %w", hex, err)
			}
		}
	}
	return trash, nil
}

func emptyTrash(trash *fsatomic.Staging, err error) error {
	if trash == nil {
		return err
	}
	if derr := trash.Discard(); err == nil {
		err = derr
	}
	return err
}
