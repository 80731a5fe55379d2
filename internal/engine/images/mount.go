package images

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/ground"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/storage/snapshot"
)

// Diff lists what the last layer of an image changes; or, with other, what in
// other differs from the image.
func (im *Room) Diff(ref, other string) ([]api.Change, error) {
	lease, err := im.ImageStore.Lease()
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	m, err := im.ImageStore.Resolve(ref, store.Platform{})
	if err != nil {
		return nil, err
	}
	var list []snapshot.Change
	if other == "" {
		list, err = snapshot.DiffLayer(m.Lower[0], m.Lower[1:], im.Overlay(), nil)
	} else {
		var second store.Image
		if second, err = im.ImageStore.Resolve(other, store.Platform{}); err == nil {
			list, err = im.compareImages(&m, &second)
		}
	}
	if err != nil {
		return nil, err
	}
	return ground.Changes(list), nil
}

func (im *Room) compareImages(a, b *store.Image) ([]snapshot.Change, error) {
	before, err := snapshot.OpenLayers(a.Lower, im.Overlay(), im.Root)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(before) }()
	now, err := snapshot.OpenLayers(b.Lower, im.Overlay(), im.Root)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(now) }()
	return snapshot.Compare(before, now)
}

func (im *Room) imageMounts() string { return im.RunRoot + "/images" }

// Mount mounts an image read-only and returns where; one that is mounted
// already is only told. It stays until Unmount, or a reboot.
func (im *Room) Mount(ref string) (string, error) {
	if im.Host.UserNS {
		return "", fault.New(fault.Unsupported, "mount image: a user's mounts are not seen outside of tare")
	}
	lease, err := im.ImageStore.Lease()
	if err != nil {
		return "", err
	}
	defer lease.Release()
	m, err := im.ImageStore.Resolve(ref, store.Platform{})
	if err != nil {
		return "", err
	}
	mounted, err := im.mountedImages()
	if err != nil {
		return "", err
	}
	path := im.imageMounts() + "/" + strings.TrimPrefix(m.ID, "sha256:")
	for _, have := range mounted {
		if have.ID == m.ID {
			return path, nil
		}
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", err
	}
	if err := snapshot.Attach(m.Lower, im.Overlay(), path); err != nil {
		_ = unix.Rmdir(path) // the first error counts
		return "", fmt.Errorf("mount image %s: %w", ref, err)
	}
	im.Note("mount", m.ID, m.Familiar())
	return path, nil
}

// Unmount ends what Mount began. With force it is also taken from those who
// have files of it open. The error is NotFound when it is not mounted.
func (im *Room) Unmount(ref string, force bool) (string, error) {
	m, err := im.ImageStore.Resolve(ref, store.Platform{})
	if err != nil {
		return "", err
	}
	path := im.imageMounts() + "/" + strings.TrimPrefix(m.ID, "sha256:")
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
	im.Note("unmount", m.ID, m.Familiar())
	return m.ID, unix.Rmdir(path)
}

// Mounted lists the images that are mounted.
func (im *Room) Mounted() ([]api.ImageMount, error) { return im.mountedImages() }

// mountedImages asks the kernel, which forgets with a reboot as it should. One
// failing access is all where none ever was.
func (im *Room) mountedImages() ([]api.ImageMount, error) {
	dir := im.imageMounts()
	if err := unix.Access(dir, unix.F_OK); errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only
	var list []api.ImageMount
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 {
			continue
		}
		if id, ok := strings.CutPrefix(fields[4], dir+"/"); ok && len(id) == 64 {
			list = append(list, api.ImageMount{ID: "sha256:" + id, Path: fields[4]})
		}
	}
	return list, lines.Err()
}
