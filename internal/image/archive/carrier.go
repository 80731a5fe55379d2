package archive

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/lib/fault"
)

// Carrier moves images between a store and archives.
type Carrier struct{}

// Bring loads an archive, or the directory at a path.
func (Carrier) Bring(ctx context.Context, s *store.Store, p *api.Place, r api.Reporter) error {
	platform, err := parse(p.Platform)
	if err != nil {
		return err
	}
	list, err := bring(ctx, s, p, LoadOptions{Platform: platform})
	if err != nil {
		return err
	}
	for i := range list {
		m := &list[i]
		r.Done(&api.Transferred{Ref: m.Image.Familiar(), ID: m.Image.ID, Names: m.Names, Fresh: true})
	}
	return nil
}

func bring(ctx context.Context, s *store.Store, p *api.Place, o LoadOptions) ([]Loaded, error) {
	if p.Path == "" {
		return Load(ctx, s, p.In, o)
	}
	f, err := os.Open(p.Path)
	if err != nil {
		return nil, fault.New(fault.KindOf(err), "open %s: %w", p.Path, cause(err))
	}
	defer func() { _ = f.Close() }() // read only
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		return LoadDir(ctx, s, p.Path, o)
	}
	return Load(ctx, s, f, o)
}

// cause is what the kernel said, without the path.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func parse(platform string) (store.Platform, error) {
	if platform == "" {
		return store.Platform{}, nil
	}
	return store.ParsePlatform(platform)
}

// Send saves images as one archive, or into a directory.
func (Carrier) Send(ctx context.Context, s *store.Store, from, p *api.Place, _ api.Reporter) error {
	platform, err := parse(from.Platform)
	if err != nil {
		return err
	}
	o := SaveOptions{OCI: p.OCI, Platform: platform}
	if p.Kind == api.InDirectory {
		return SaveDir(ctx, s, p.Path, from.Refs, o)
	}
	w := bufio.NewWriterSize(p.Out, 1<<20)
	if err := Save(ctx, s, w, from.Refs, o); err != nil {
		return err
	}
	return w.Flush()
}
