package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/image/reference"
	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/storage/layer"
)

// LoadOptions are the optional parts of a load.
type LoadOptions struct {
	Platform store.Platform // of an archive with several; zero: all of them
}

// Loaded is an image that was in an archive.
type Loaded struct {
	Image store.Image
	Names []string // familiar forms; empty for one that has none
}

// Load reads an archive, which may be compressed, and adds all its images to
// the store.
func Load(ctx context.Context, s *store.Store, r io.Reader, o LoadOptions) ([]Loaded, error) {
	return load(ctx, s, o, func(l *loader) error { return l.archive(r) })
}

// LoadDir reads an OCI image layout or an unpacked archive.
func LoadDir(ctx context.Context, s *store.Store, dir string, o LoadOptions) ([]Loaded, error) {
	return load(ctx, s, o, func(l *loader) error { return l.directory(dir) })
}

func load(ctx context.Context, s *store.Store, o LoadOptions, read func(*loader) error) (_ []Loaded, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	in, err := s.Ingest(ctx)
	if err != nil {
		return nil, err
	}
	l := &loader{
		ctx: ctx, cancel: cancel, s: s, in: in, o: o, buf: make([]byte, 256<<10),
		small: map[string][]byte{}, layers: map[string]*store.Layer{}, links: map[string]string{},
	}
	err = read(l)
	l.wg.Wait()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause // the layer that failed, not what noticed it
	}
	var list []Loaded
	if err == nil {
		list, err = l.commit()
	}
	return list, errors.Join(err, in.Close())
}

type loader struct {
	ctx    context.Context //nolint:containedctx // lives for one call
	cancel context.CancelCauseFunc
	s      *store.Store
	in     *store.Ingest
	o      LoadOptions
	buf    []byte
	wg     sync.WaitGroup // layers that are being unpacked

	small  map[string][]byte       // files that are no layers, by name
	held   int64                   // bytes of them and of all names
	layers map[string]*store.Layer // by name
	links  map[string]string       // names that stand for others
}

// maxSmall bounds all that is kept in memory of an archive.
const maxSmall = 64 << 20

// entryCost is what an entry takes besides its name and its content.
const entryCost = 256

func (l *loader) archive(r io.Reader) error {
	plain, err := layer.Decompress(r, l.s.Zstd)
	if err != nil {
		return err
	}
	tr := tar.NewReader(bufio.NewReaderSize(plain, len(l.buf)))
	seen := false
	for {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) && !seen {
			return fault.New(fault.Invalid, "read archive: it is no tar archive")
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return cut(err)
		}
		seen = true
		if err := l.hold(entryCost + len(hdr.Name) + len(hdr.Linkname)); err != nil {
			return err
		}
		name := path.Clean(hdr.Name)
		switch hdr.Typeflag {
		case tar.TypeReg:
			err = l.file(name, hdr.Size, tr)
		case tar.TypeSymlink:
			l.links[name] = path.Join(path.Dir(name), hdr.Linkname)
		case tar.TypeLink:
			l.links[name] = path.Clean(hdr.Linkname)
		}
		if err != nil {
			return cut(err)
		}
	}
	return plain.Close()
}

// hold counts n bytes that stay in memory.
func (l *loader) hold(n int) error {
	if l.held += int64(n); l.held > maxSmall {
		return fault.New(fault.Invalid, "read archive: more than %d bytes of metadata", maxSmall)
	}
	return nil
}

// cut says what the end of the archive in the middle of something means.
func cut(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fault.New(fault.Invalid, "read archive: it is cut short")
	}
	return err
}

func (l *loader) directory(dir string) error {
	return filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.OpenFile(p, os.O_RDONLY|unix.O_NOFOLLOW, 0)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // read only
		st, err := f.Stat()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		return l.file(name, st.Size(), f)
	})
}

// file takes a file of the archive for what it looks like.
func (l *loader) file(name string, size int64, r io.Reader) error {
	if err := context.Cause(l.ctx); err != nil {
		return err
	}
	digest := ""
	if hex, ok := strings.CutPrefix(name, blobDir); ok && reference.ValidDigest("sha256:"+hex) {
		digest = "sha256:" + hex
	}
	head := make([]byte, min(size, 512))
	if _, err := io.ReadFull(r, head); err != nil {
		return err
	}
	r = io.MultiReader(bytes.NewReader(head), r)
	switch {
	case isJSON(head):
		return l.json(name, digest, size, r)
	case digest != "" || isLayer(head):
		return l.layer(name, digest, size, r)
	}
	return nil // VERSION and the like
}

func isJSON(head []byte) bool {
	head = bytes.TrimLeft(head, " \t\r\n")
	return len(head) > 0 && (head[0] == '{' || head[0] == '[')
}

// isLayer knows a tar archive, compressed or not; an empty one is all zeroes.
func isLayer(head []byte) bool {
	if layer.Detect(head) != layer.Plain {
		return true
	}
	return len(head) == 512 && (string(head[257:262]) == "ustar" || !bytes.ContainsFunc(head, func(r rune) bool { return r != 0 }))
}

func (l *loader) json(name, digest string, size int64, r io.Reader) error {
	if size > maxSmall {
		size = maxSmall + 1
	}
	if err := l.hold(int(size)); err != nil {
		return err
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if digest != "" {
		if _, err := l.in.Blob(digest, data); err != nil {
			return err
		}
	}
	l.small[name] = data
	return nil
}

// layer hands a layer to the ingest. It is unpacked while it is read, and
// while the next ones are.
func (l *loader) layer(name, digest string, size int64, r io.Reader) error {
	lay, err := l.in.Layer(store.LayerSpec{Descriptor: store.Descriptor{Digest: digest, Size: size}})
	if err != nil {
		return err
	}
	l.layers[name] = lay
	if len(lay.Missing()) > 0 {
		// What is there from another time comes again.
		_, err = io.CopyBuffer(struct{ io.Writer }{lay}, struct{ io.Reader }{r}, l.buf)
		err = cut(err)
	}
	l.wg.Go(func() {
		if ferr := lay.Finish(err); ferr != nil {
			l.cancel(ferr)
		}
	})
	return err
}
