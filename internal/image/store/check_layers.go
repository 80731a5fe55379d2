package store

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"github.com/tare-engine/tare/internal/storage/layer"
)

// layerCheck is an image whose layers are looked at.
type layerCheck struct {
	m             *Image
	chains, blobs []string
}

// layer checks one layer of an image, and makes it again if it can.
func (c *checker) layer(l *layerCheck, i int, diff string) error {
	key := l.m.Layers[i]
	why := c.compareLayer(l, i, diff)
	if why == nil {
		return nil
	}
	if err := c.ctx.Err(); err != nil {
		return err
	}
	if aside(why) {
		return why
	}
	p := c.problem("layer "+key, "%v", why)
	c.badLayers[key] = true
	if !c.o.Repair || l.blobs[i] == "" || c.badBlobs[l.blobs[i]] {
		return nil
	}
	if user := c.user(key); user != "" {
		p.Text += "; " + user + " stands on it: remove that, and check again"
		return nil
	}
	if err := c.remake(l, i, diff); err != nil {
		if aside(err) {
			return err
		}
		p.Text += "; making it again: " + err.Error()
		return nil
	}
	delete(c.badLayers, key)
	p.Repair = "unpacked again"
	return nil
}

// user returns who has a layer in its root, or "".
func (c *checker) user(key string) string {
	inUse := c.o.Users()
	for id, m := range c.images {
		if users := inUse(id); len(users) > 0 && slices.Contains(m.Layers, key) {
			return users[0]
		}
	}
	return ""
}

// compareLayer returns what is wrong with a layer.
func (c *checker) compareLayer(l *layerCheck, i int, diff string) error {
	s, key := c.s, l.m.Layers[i]
	if layerKey(l.chains[i]) != key {
		return fault.New(fault.Invalid, "it is not the one that the config names")
	}
	meta, err := readSmall(s.layerDir(key) + "/meta")
	if err != nil {
		return err
	}
	if metaField(meta, "chain") != l.chains[i] {
		return fault.New(fault.Invalid, "its meta file is damaged")
	}
	fd, err := openTree(s.layerDir(key) + "/fs")
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }() // read only
	pack := layer.PackOptions{Whiteouts: true, UserXattr: s.UserXattr}
	if l.blobs[i] == "" {
		// Made here: what counts is the tree.
		h := sha256.New()
		if err := layer.Pack(c.ctx, fd, h, pack); err != nil {
			return err
		}
		if metaField(meta, "blob") == "" && hexSum(h) != diff {
			return fault.New(fault.Invalid, "its files have changed")
		}
		return nil
	}
	if c.badBlobs[l.blobs[i]] || !s.HasBlob(l.blobs[i]) {
		return nil // nothing to compare with; the blob is told already
	}
	in, p, err := c.unpackAgain(l, i, diff)
	if err != nil {
		return err
	}
	fresh, err := openTree(in.stage.Path + "/" + p.staged + "/fs")
	if err == nil {
		err = errors.Join(layer.Compare(c.ctx, fresh, fd, pack), unix.Close(fresh))
	}
	return errors.Join(err, in.Close())
}

// unpackAgain unpacks a layer into a staging directory.
func (c *checker) unpackAgain(l *layerCheck, i int, diff string) (_ *Ingest, _ *position, err error) {
	in, err := c.s.Ingest(c.ctx)
	if err != nil {
		return nil, nil, err
	}
	p := &position{diff: diff, chain: l.chains[i], key: l.m.Layers[i], blob: l.blobs[i]}
	if p.blobLen, err = in.hold(p.blob); err == nil {
		err = in.unpackHeld(c.ctx, p)
	}
	if err == nil {
		p.size = p.layer.res.Bytes
		p.staged, p.layer.tree = p.layer.tree, ""
		var lower []string
		for _, key := range l.m.Layers[:i] {
			lower = append([]string{c.s.layerDir(key) + "/fs"}, lower...)
		}
		err = in.complete(in.stage.Path+"/"+p.staged, p, lower)
	}
	if err != nil {
		return nil, nil, errors.Join(err, in.Close())
	}
	return in, p, nil
}

// remake puts a fresh tree in the place of a damaged one.
func (c *checker) remake(l *layerCheck, i int, diff string) error {
	in, p, err := c.unpackAgain(l, i, diff)
	if err != nil {
		return err
	}
	if err = fsatomic.SyncFS(in.stage.Path); err == nil {
		err = c.exchange(in.stage.Path+"/"+p.staged, p.key)
	}
	if err == nil {
		err = fsatomic.SyncFS(c.s.root)
	}
	return errors.Join(err, in.Close()) // with the damaged tree
}

// exchange puts a fresh layer in the place of one that nobody can begin to use
// at that moment.
func (c *checker) exchange(fresh, key string) error {
	c.lease.Release()
	lease, err := c.s.lock(unix.LOCK_EX)
	if err != nil {
		return err
	}
	if user := c.user(key); user != "" {
		err = fault.New(fault.Conflict, "%s uses it", user)
	} else {
		dir := c.s.layerDir(key)
		err = unix.Renameat2(unix.AT_FDCWD, fresh, unix.AT_FDCWD, dir, unix.RENAME_EXCHANGE)
		if errors.Is(err, fs.ErrNotExist) {
			err = unix.Rename(fresh, dir) // it was missing
		}
	}
	lease.Release()
	again, lerr := c.s.Lease()
	if lerr == nil {
		c.lease = again
	}
	return errors.Join(err, lerr)
}

func openTree(path string) (int, error) {
	return unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}
