package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"github.com/tare-engine/tare/internal/storage/layer"
	"github.com/tare-engine/tare/internal/storage/snapshot"
)

// keyLen is the length of a layer's key: 100 bits of its chain id.
const keyLen = 20

// chainID identifies a layer together with all below it (image-spec,
// config.md). parent is "" for the bottom layer.
func chainID(parent, diff string) string {
	if parent == "" {
		return diff
	}
	return digestOf([]byte(parent + " " + diff))
}

// layerKey is the first 100 bits of the chain id in lower-case base 32.
func layerKey(chain string) string {
	sum, err := hex.DecodeString(strings.TrimPrefix(chain, "sha256:"))
	if err != nil || len(sum) != sha256.Size {
		return "" // not reached: chain ids are made here
	}
	var key [keyLen]byte
	for i := range key {
		bit := 5 * i
		v := uint(sum[bit/8])<<8 | uint(sum[bit/8+1])
		key[i] = "abcdefghijklmnopqrstuvwxyz234567"[v>>(11-bit%8)&31]
	}
	return string(key[:])
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func hexSum(h hash.Hash) string { return "sha256:" + hex.EncodeToString(h.Sum(nil)) }

func layerMeta(p *position) []byte {
	return []byte("tare-layer 1\nchain " + p.chain + "\ndiff " + p.diff + "\nblob " + p.blob + "\nsize " + strconv.FormatInt(p.size, 10) + "\nend\n")
}

// metaField returns the value of a line of a layer's meta, "" when it has none
// or is not whole.
func metaField(meta, key string) string {
	if !strings.HasPrefix(meta, "tare-layer 1\n") || !strings.HasSuffix(meta, "\nend\n") {
		return ""
	}
	for line := range strings.Lines(meta) {
		if k, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " "); k == key {
			return v
		}
	}
	return ""
}

// makeTree fills a layer in staging from a stream, and computes its diff id
// from the tree.
func (in *Ingest) makeTree(ctx context.Context, l *Layer, plain io.Reader) error {
	return withTree(in.stage.Path+"/"+l.tree, func(fd int) error {
		res, err := layer.Unpack(ctx, plain, fd, in.unpackOptions(-1))
		if err != nil {
			return err
		}
		if res.Size == 0 { // an archive without entries has its end mark: an image from scratch
			return fault.New(fault.Invalid, "the archive is empty")
		}
		if err := settleImplied(fd, res.Implied, nil); err != nil {
			return err
		}
		res.Implied = nil
		h := sha256.New()
		err = layer.Pack(ctx, fd, h, layer.PackOptions{Whiteouts: true, UserXattr: in.s.UserXattr})
		l.res, l.diff = res, hexSum(h)
		return err
	})
}

// withTree makes the tree of a layer in dir, which it makes too, and calls f
// with its fd.
func withTree(dir string, f func(fd int) error) error {
	if err := errors.Join(unix.Mkdir(dir, 0o700), unix.Mkdir(dir+"/fs", 0o755)); err != nil {
		return err
	}
	fd, err := unix.Open(dir+"/fs", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	err = unix.Fchmod(fd, 0o755) // whatever the umask is
	if err == nil {
		err = f(fd)
	}
	return errors.Join(err, unix.Close(fd))
}

// beneath refuses to leave the tree or to follow a link.
const beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS

// settleImplied gives the directories that a layer needed but did not describe
// the attributes that they have below, or a fixed time: what depends on the
// clock would make the same archive a new layer each time.
func settleImplied(root int, names, lower []string) error {
	for i := len(names) - 1; i >= 0; i-- { // children first
		fd, err := openBeneath(root, names[i])
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			continue // reached through a link, or replaced
		}
		if err != nil {
			return err
		}
		if err := errors.Join(settle(fd, names[i], lower), unix.Close(fd)); err != nil {
			return fmt.Errorf("settle %q: %w", names[i], err)
		}
	}
	return nil
}

// settle gives a directory the attributes of the one that the layers below have
// there, also by way of a link, which the directory replaces (containerd and Docker
// make one there too); without any it gets a fixed time.
func settle(fd int, name string, lower []string) error {
	st, err := snapshot.StatDirInLayers(lower, name)
	switch {
	case err == nil:
		err = errors.Join(unix.Fchown(fd, int(st.Uid), int(st.Gid)), unix.Fchmod(fd, st.Mode&0o7777))
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR), fault.KindOf(err) == fault.Invalid:
		st, err = unix.Stat_t{}, nil
	}
	if err != nil {
		return err
	}
	return layer.SetTimes(fd, st.Mtim)
}

func openBeneath(root int, name string) (int, error) {
	return fsatomic.OpenIn(root, name, unix.O_RDONLY|unix.O_DIRECTORY, beneath)
}
