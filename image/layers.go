package image

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

	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/layer"
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

// newLayer is a layer in staging.
type newLayer struct {
	name    string // of its directory in staging
	diff    string
	chain   string
	key     string
	size    int64 // of file content
	blob    string
	blobLen int64
	media   string
	implied []string
}

func layerMeta(l *newLayer) []byte {
	return []byte("tare-layer 1\nchain " + l.chain + "\ndiff " + l.diff + "\nsize " + strconv.FormatInt(l.size, 10) + "\nend\n")
}

// unpackLayer unpacks a layer as it is received, and keeps the blob, so that
// the image can be given on bit for bit.
func (a *addition) unpackLayer(ctx context.Context, r io.Reader) error {
	l := newLayer{name: "layer" + strconv.Itoa(len(a.layers))}
	blob, err := a.newBlob()
	if err != nil {
		return err
	}
	tee := io.TeeReader(r, blob)
	plain, err := layer.Decompress(tee)
	if err == nil {
		err = a.withTree(l.name, func(fd int) error {
			res, err := layer.Unpack(ctx, plain, fd, layer.Options{Digest: true})
			l.diff, l.size, l.implied = res.DiffID, res.Bytes, res.Implied
			return err
		})
	}
	if err == nil {
		_, err = io.Copy(io.Discard, tee) // what follows the compressed stream belongs to the blob
	}
	l.blob, l.blobLen, err = blob.finish(err)
	if err != nil {
		return err
	}
	l.media = mediaLayer
	if l.blob != l.diff {
		l.media = mediaLayerGzip
	}
	a.layers = append(a.layers, l)
	return nil
}

// makeLayer makes a layer from a stream that nobody needs again: what counts
// is the tree. Its diff id is that of the tree packed by [layer.Pack], which a
// push or a save can repeat, so that no second copy is kept.
func (a *addition) makeLayer(ctx context.Context, plain io.Reader) error {
	l := newLayer{name: "layer" + strconv.Itoa(len(a.layers))}
	err := a.withTree(l.name, func(fd int) error {
		res, err := layer.Unpack(ctx, plain, fd, layer.Options{})
		if err != nil {
			return err
		}
		if res.Entries == 0 {
			return fault.New(fault.Invalid, "the archive is empty")
		}
		l.size = res.Bytes
		if err := settleImplied(fd, res.Implied, nil); err != nil {
			return err
		}
		h := sha256.New()
		err = layer.Pack(ctx, fd, h, layer.PackOptions{Whiteouts: true})
		l.diff = hexSum(h)
		return err
	})
	if err == nil {
		a.layers = append(a.layers, l)
	}
	return err
}

// withTree makes the tree of a layer in staging and calls f with its fd.
func (a *addition) withTree(name string, f func(fd int) error) error {
	path := a.stage.Path + "/" + name
	if err := errors.Join(unix.Mkdir(path, 0o700), unix.Mkdir(path+"/fs", 0o755)); err != nil {
		return err
	}
	fd, err := unix.Open(path+"/fs", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	err = unix.Fchmod(fd, 0o755) // whatever the umask is
	if err == nil {
		err = f(fd)
	}
	return errors.Join(err, unix.Close(fd))
}

// chainLayers computes the chain ids, now that all layers are there, and
// writes what each layer says of itself.
func (a *addition) chainLayers() error {
	parent := ""
	var lower []string // trees in staging, top first
	for i := range a.layers {
		l := &a.layers[i]
		l.chain = chainID(parent, l.diff)
		l.key = layerKey(l.chain)
		parent = l.chain
		dir := a.stage.Path + "/" + l.name
		if len(l.implied) > 0 {
			fd, err := unix.Open(dir+"/fs", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
			if err != nil {
				return err
			}
			if err := errors.Join(settleImplied(fd, l.implied, lower), unix.Close(fd)); err != nil {
				return err
			}
		}
		lower = append([]string{dir + "/fs"}, lower...)
		if err := writeStaged(dir+"/meta", layerMeta(l)); err != nil {
			return err
		}
	}
	return nil
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

func settle(fd int, name string, lower []string) error {
	var st unix.Stat_t
	for _, l := range lower {
		base, err := unix.Open(l, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		below, err := openBeneath(base, name)
		_ = unix.Close(base)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			break // something else hides it
		}
		err = unix.Fstat(below, &st)
		_ = unix.Close(below)
		if err != nil {
			return err
		}
		if err := errors.Join(unix.Fchown(fd, int(st.Uid), int(st.Gid)), unix.Fchmod(fd, st.Mode&0o7777)); err != nil {
			return err
		}
		break
	}
	return layer.SetTimes(fd, st.Mtim)
}

func openBeneath(root int, name string) (int, error) {
	return eintr(func() (int, error) {
		return unix.Openat2(root, name, &unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: beneath})
	})
}

// commitLayers moves the layers into place. One that is there already was made
// by another image or another process, and is shared.
func (a *addition) commitLayers() error {
	for i := range a.layers {
		l := &a.layers[i]
		err := a.stage.Commit(l.name, a.s.layerDir(l.key))
		if errors.Is(err, fs.ErrExist) {
			meta, rerr := readSmall(a.s.layerDir(l.key) + "/meta")
			if rerr != nil {
				return fmt.Errorf("share layer %s: %w", l.key, rerr)
			}
			if !strings.Contains(meta, "\nchain "+l.chain+"\n") {
				return fault.New(fault.Conflict, "share layer %s: another layer has that key", l.key)
			}
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}
