package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/image"
	"github.com/tare-engine/tare/snapshot"
)

// Diff lists what the last layer of an image changes; or, with other, what in
// other differs from the image.
func (is *Images) Diff(_ context.Context, ref, other string) ([]Change, error) {
	e := is.e
	lease, err := e.images.Lease()
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	m, err := e.images.Resolve(ref, image.Platform{})
	if err != nil {
		return nil, err
	}
	var list []snapshot.Change
	if other == "" {
		list, err = snapshot.DiffLayer(m.Lower[0], m.Lower[1:], e.overlay(), nil)
	} else {
		var second image.Image
		if second, err = e.images.Resolve(other, image.Platform{}); err == nil {
			list, err = e.compareImages(&m, &second)
		}
	}
	if err != nil {
		return nil, err
	}
	out := make([]Change, len(list))
	for i, c := range list {
		out[i] = Change{string(rune(c.Kind)), c.Path}
	}
	return out, nil
}

func (e *Engine) compareImages(a, b *image.Image) ([]snapshot.Change, error) {
	before, err := snapshot.OpenLayers(a.Lower, e.overlay(), e.opt.Root)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(before) }()
	now, err := snapshot.OpenLayers(b.Lower, e.overlay(), e.opt.Root)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(now) }()
	return snapshot.Compare(before, now)
}

// ImageMount is an image that is mounted for people to look at.
type ImageMount struct {
	ID   string // of the image
	Path string // where it is
}

func (e *Engine) imageMounts() string { return e.opt.RunRoot + "/images" }

// Mount mounts an image read-only and returns where; one that is mounted
// already is only told. It stays until Unmount, or a reboot.
func (is *Images) Mount(_ context.Context, ref string) (string, error) {
	e := is.e
	if e.host.UserNS {
		return "", fault.New(fault.Unsupported, "mount image: a user's mounts are not seen outside of tare")
	}
	lease, err := e.images.Lease()
	if err != nil {
		return "", err
	}
	defer lease.Release()
	m, err := e.images.Resolve(ref, image.Platform{})
	if err != nil {
		return "", err
	}
	mounted, err := e.mountedImages()
	if err != nil {
		return "", err
	}
	path := e.imageMounts() + "/" + strings.TrimPrefix(m.ID, "sha256:")
	for _, have := range mounted {
		if have.ID == m.ID {
			return path, nil
		}
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", err
	}
	if err := snapshot.Attach(m.Lower, e.overlay(), path); err != nil {
		_ = unix.Rmdir(path) // the first error counts
		return "", fmt.Errorf("mount image %s: %w", ref, err)
	}
	is.Note("mount", m.ID, m.Familiar())
	return path, nil
}

// Unmount ends what Mount began. With force it is also taken from those who
// have files of it open. The error is NotFound when it is not mounted.
func (is *Images) Unmount(_ context.Context, ref string, force bool) (string, error) {
	e := is.e
	m, err := e.images.Resolve(ref, image.Platform{})
	if err != nil {
		return "", err
	}
	path := e.imageMounts() + "/" + strings.TrimPrefix(m.ID, "sha256:")
	flags := unix.UMOUNT_NOFOLLOW
	if force {
		flags |= unix.MNT_DETACH
	}
	switch err := unix.Unmount(path, flags); {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
		return "", fault.New(fault.NotFound, "unmount image %s: it is not mounted", ref)
	case errors.Is(err, unix.EBUSY):
		return "", fault.WithHint(fault.New(fault.Conflict, "unmount image %s: files of it are in use", ref), "force it")
	case err != nil:
		return "", fmt.Errorf("unmount image %s: %w", ref, err)
	}
	is.Note("unmount", m.ID, m.Familiar())
	return m.ID, unix.Rmdir(path)
}

// Mounted lists the images that are mounted.
func (is *Images) Mounted(context.Context) ([]ImageMount, error) { return is.e.mountedImages() }

// mountedImages asks the kernel, which forgets with a reboot as it should. One
// failing access is all where none ever was.
func (e *Engine) mountedImages() ([]ImageMount, error) {
	dir := e.imageMounts()
	if err := unix.Access(dir, unix.F_OK); errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only
	var list []ImageMount
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 {
			continue
		}
		if id, ok := strings.CutPrefix(fields[4], dir+"/"); ok && len(id) == 64 {
			list = append(list, ImageMount{"sha256:" + id, fields[4]})
		}
	}
	return list, lines.Err()
}
