package store

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/storage/layer"
)

// Source is where Import takes a root file system from: exactly one is set.
type Source struct {
	Path   string    // a tar file, plain or gzip, or a directory
	Reader io.Reader // a tar stream, plain or gzip
}

// ImportOptions are the optional parts of an import.
type ImportOptions struct {
	Changes  []string // Dockerfile instructions: CMD, ENV, USER, ...
	Message  string   // comment in the history
	Platform Platform // zero: the host's
}

// Import makes an image of one layer from src and names it ref; an empty ref
// leaves it without a name. Of a directory, what other file systems have
// mounted in it is left out, and sockets are.
func (s *Store) Import(ctx context.Context, src Source, ref string, opt ImportOptions) (Image, error) {
	what := src.Path
	if src.Reader != nil {
		what = "stdin"
	}
	m := Image{Platform: opt.Platform, Created: time.Now()}
	if err := applyChanges(&m.Config, opt.Changes); err != nil {
		return Image{}, err
	}
	comment := opt.Message
	if comment == "" {
		comment = "imported from " + filepath.Base(what)
	}
	m, err := s.add(ctx, ref, m, comment, func(in *Ingest) ([]*Layer, error) { return in.importFrom(ctx, src) })
	if err != nil {
		return Image{}, fault.New(fault.KindOf(err), "import %s: %w", what, plainError(err))
	}
	return m, nil
}

// plainError leaves out the path that the reader of the message knows.
func plainError(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) && errors.Is(err, fs.ErrNotExist) {
		return pe.Err
	}
	return err
}

func (in *Ingest) importFrom(ctx context.Context, src Source) (_ []*Layer, err error) {
	if src.Reader != nil {
		return in.importStream(ctx, src.Reader)
	}
	f, err := os.Open(src.Path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.IsDir() {
		return in.importStream(ctx, f)
	}
	if err := in.refuseOwnStore(st); err != nil {
		return nil, err
	}
	return in.importPacked(ctx, func(ctx context.Context, w io.Writer) error {
		return layer.Pack(ctx, int(f.Fd()), w, layer.PackOptions{})
	})
}

func (in *Ingest) importStream(ctx context.Context, r io.Reader) ([]*Layer, error) {
	plain, err := layer.Decompress(r, in.s.Zstd)
	if err != nil {
		return nil, err
	}
	l, err := in.makeLayer(ctx, plain)
	return []*Layer{l}, errors.Join(err, plain.Close())
}

// importPacked makes a layer from the tar stream that pack writes.
func (in *Ingest) importPacked(ctx context.Context, pack func(context.Context, io.Writer) error) ([]*Layer, error) {
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.CloseWithError(pack(ctx, w))
	}()
	l, err := in.makeLayer(ctx, r)
	r.CloseWithError(err) // ends the packer, should it still write
	<-done
	return []*Layer{l}, err
}

// refuseOwnStore stops an import that would read what it writes, forever.
func (in *Ingest) refuseOwnStore(src os.FileInfo) error {
	dir, err := filepath.EvalSymlinks(in.stage.Path)
	for err == nil {
		st, serr := os.Stat(dir)
		if serr != nil {
			return serr
		}
		if os.SameFile(st, src) {
			return fault.New(fault.Invalid, "the directory contains the image store %s", in.s.root)
		}
		if dir == "/" {
			return nil
		}
		dir = filepath.Dir(dir)
	}
	return err
}
