package store

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tare-engine/tare/internal/api"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// BaseName is the name of the built-in image.
const BaseName = "tare/base"

// baseBinary is the multi-call binary inside of the image.
const baseBinary = "bin/tare-base"

// EnsureBase returns the built-in image, and builds it first from the static
// multi-call binary at path when the store has none or one of another binary
// (told by size and time: one stat). applets is called only then, and returns
// the names to link to the binary. An image that a user gave the name is left
// alone, and so is one whose binary is gone. The image of an older binary
// loses its name, but stays, since containers may use it.
func (s *Store) EnsureBase(ctx context.Context, path string, applets Applets) (Image, error) {
	next, write, err := s.base(ctx, path, applets)
	if err != nil || write == nil {
		return next, err
	}
	next, err = s.add(ctx, BaseName, next, "built in", func(in *Ingest) ([]*Layer, error) {
		return in.importPacked(ctx, func(_ context.Context, w io.Writer) error { return write(w) })
	})
	if err != nil {
		return Image{}, fault.New(fault.KindOf(err), "build %s: %w", BaseName, err)
	}
	return next, nil
}

// PlanBase returns the image that EnsureBase would, and makes nothing. Where it
// is not in the store it has no id, and its layer no key: both are of the tree,
// once that is there.
func (s *Store) PlanBase(ctx context.Context, path string, applets Applets) (Image, error) {
	next, write, err := s.base(ctx, path, applets)
	if err != nil || write == nil {
		return next, err
	}
	next.Layers = []string{"unmade"}
	s.setLower(&next)
	next.Unmade = make(map[string]string)
	for _, f := range baseFiles() {
		switch {
		case f.name == "./":
			next.Root = RootAttr{Mode: uint32(f.mode)}
		case f.content != "" && !strings.HasPrefix(f.content, "->"):
			next.Unmade[f.name] = f.content
		}
	}
	return next, nil
}

// Applets returns the names that the binary at a path answers to.
type Applets func(ctx context.Context, path string) ([]string, error)

// base finds the built-in image, or says what it is to be, and how its one
// layer is written as a tar stream; write is nil where it is there.
func (s *Store) base(ctx context.Context, path string, applets Applets) (m Image, write func(io.Writer) error, err error) {
	m, err = s.Resolve(BaseName, Platform{})
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return Image{}, nil, err
	}
	have := err == nil
	if have && m.Build == "" {
		return m, nil, nil
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		if have {
			return m, nil, nil
		}
		if errors.Is(err, fs.ErrNotExist) {
			return Image{}, nil, fault.WithHint(fault.New(fault.NotFound, "build %s: %s is missing", BaseName, path), "it belongs beside the tare binary")
		}
		return Image{}, nil, fmt.Errorf("build %s: %w", BaseName, err)
	}
	build := strconv.FormatInt(st.Size, 10) + "-" + strconv.FormatInt(st.Mtim.Nano(), 10)
	if have && m.Build == build {
		return m, nil, nil
	}
	list, err := applets(ctx, path)
	if err != nil {
		return Image{}, nil, fault.New(fault.KindOf(err), "build %s: %w", BaseName, err)
	}
	when := time.Unix(st.Mtim.Unix())
	next := Image{Created: when, Build: build, Config: api.ImageDefaults{
		Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		Cmd: []string{"/bin/sh"},
	}}
	return next, func(w io.Writer) error { return writeBase(w, path, list, when) }, nil
}

// baseFiles is the tree of the image around the binary: mode, name, and the
// content of a file, or the target after "->". A name that ends in a slash is
// a directory.
func baseFiles() []baseFile {
	return []baseFile{
		{0o755, "./", ""},
		{0o755, "bin/", ""},
		{0o755, "dev/", ""},
		{0o755, "etc/", ""},
		{0o644, "etc/group", "root:x:0:\nadm:x:4:\ntty:x:5:\ndisk:x:6:\nmail:x:8:\nutmp:x:43:\nusers:x:100:\nnogroup:x:65534:\n"},
		{0o644, "etc/hostname", ""},
		{0o644, "etc/hosts", ""},
		{0o644, "etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"},
		{0o644, "etc/os-release", "NAME=tare\nID=tare\nPRETTY_NAME=\"tare base\"\n"},
		{0o644, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"},
		{0o644, "etc/resolv.conf", ""},
		{0o644, "etc/shells", "/bin/sh\n"},
		{0o755, "etc/ssl/", ""},
		{0o755, "etc/ssl/certs/", ""},
		{0o755, "home/", ""},
		{0o755, "mnt/", ""},
		{0o755, "opt/", ""},
		{0o555, "proc/", ""},
		{0o700, "root/", ""},
		{0o755, "run/", ""},
		{0o777, "sbin", "->bin"},
		{0o755, "srv/", ""},
		{0o555, "sys/", ""},
		{0o1777, "tmp/", ""},
		{0o755, "usr/", ""},
		{0o777, "usr/bin", "->../bin"},
		{0o755, "usr/lib/", ""},
		{0o755, "usr/local/", ""},
		{0o755, "usr/local/bin/", ""},
		{0o755, "usr/local/sbin/", ""},
		{0o777, "usr/sbin", "->../bin"},
		{0o755, "usr/share/", ""},
		{0o755, "var/", ""},
		{0o755, "var/cache/", ""},
		{0o755, "var/lib/", ""},
		{0o755, "var/log/", ""},
		{0o777, "var/run", "->../run"},
		{0o755, "var/spool/", ""},
		{0o1777, "var/tmp/", ""},
	}
}

type baseFile struct {
	mode          int64
	name, content string
}

// writeBase writes the tree of the built-in image as a tar stream. All times
// are those of the binary, so that the same binary gives the same layer.
func writeBase(w io.Writer, path string, applets []string, when time.Time) (err error) {
	tw := tar.NewWriter(w)
	files := baseFiles()
	for _, name := range applets {
		if name == "" || strings.ContainsAny(name, "/\x00") || name == "." || name == ".." {
			return fault.New(fault.Invalid, "%q is no name for an applet", name)
		}
		if "bin/"+name != baseBinary {
			files = append(files, baseFile{0o777, "bin/" + name, "->tare-base"})
		}
	}
	if !slices.Contains(applets, "sh") {
		return fault.New(fault.Invalid, "%s has no applet sh", path)
	}
	for _, f := range files {
		hdr := &tar.Header{Name: f.name, Mode: f.mode, ModTime: when, Format: tar.FormatPAX}
		target, isLink := strings.CutPrefix(f.content, "->")
		switch {
		case strings.HasSuffix(f.name, "/"):
			hdr.Typeflag = tar.TypeDir
		case isLink:
			hdr.Typeflag, hdr.Linkname = tar.TypeSymlink, target
		default:
			hdr.Typeflag, hdr.Size = tar.TypeReg, int64(len(f.content))
		}
		if err := tw.WriteHeader(hdr); err != nil {
			return err
		}
		if hdr.Typeflag == tar.TypeReg {
			if _, err := io.WriteString(tw, f.content); err != nil {
				return err
			}
		}
	}
	bin, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bin.Close()) }()
	st, err := bin.Stat()
	if err != nil {
		return err
	}
	err = tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: baseBinary, Mode: 0o755, Size: st.Size(), ModTime: when, Format: tar.FormatPAX})
	if err == nil {
		_, err = io.Copy(tw, bin)
	}
	return errors.Join(err, tw.Close())
}
