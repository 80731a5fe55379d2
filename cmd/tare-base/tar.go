package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// runTar is tar's c, x and t, with gzip.
func runTar(p *proc, args []string) {
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		args[0] = "-" + args[0]
	}
	o, names := p.getopt(args, "cxtvzf:C:pOko create=c extract=x list=t verbose=v gzip=z file=f directory=C to-stdout=O")
	file := o.get('f', "-")
	if d := o.get('C', ""); d != "" {
		if file != "-" {
			abs, err := filepath.Abs(file)
			if err != nil {
				p.fatalf(2, "%s", reason(err))
			}
			file = abs
		}
		if err := os.Chdir(d); err != nil {
			p.fatalf(2, "%s: cannot change to it: %s", d, reason(err))
		}
	}
	var err error
	switch {
	case o.has('c'):
		err = tarCreate(p, o, file, names)
	case o.has('x') || o.has('t'):
		err = tarRead(p, o, file, names)
	default:
		p.fatalf(2, "one of -c, -x, -t must be given")
	}
	if err != nil {
		p.failf("%s", reason(err))
		p.code = 2
	}
}

func tarCreate(p *proc, o options, file string, names []string) (err error) {
	out := io.Writer(p.out)
	if file != "-" {
		f, err := os.Create(file)
		if err != nil {
			return err
		}
		defer f.Close()
		out = f
	}
	if o.has('z') {
		z := gzip.NewWriter(out)
		defer func() { err = errors.Join(err, z.Close()) }()
		out = z
	}
	w := tar.NewWriter(out)
	defer func() { err = errors.Join(err, w.Close()) }()
	seen := map[[2]uint64]string{}
	for _, n := range names {
		walk(n, -1, func(e entry) bool {
			if e.err == nil {
				e.err = tarAdd(w, e, seen)
			}
			if e.err != nil {
				p.report(e.path, e.err)
				return false
			}
			if o.has('v') {
				p.failf("%s", e.path)
				p.code = 0
			}
			return true
		})
	}
	return nil
}

func tarAdd(w *tar.Writer, e entry, seen map[[2]uint64]string) error {
	st := statOf(e.info)
	if st.Mode&syscall.S_IFMT == syscall.S_IFSOCK {
		return nil
	}
	to := ""
	if e.info.Mode()&fs.ModeSymlink != 0 {
		var err error
		if to, err = os.Readlink(e.path); err != nil {
			return err
		}
	}
	h, err := tar.FileInfoHeader(e.info, to)
	if err != nil {
		return err
	}
	h.Name = strings.TrimLeft(e.path, "/")
	if e.info.IsDir() {
		h.Name = strings.TrimSuffix(h.Name, "/") + "/"
	}
	h.Uname, h.Gname = idName("/etc/passwd", h.Uid), idName("/etc/group", h.Gid)
	if key := [2]uint64{st.Dev, st.Ino}; st.Nlink > 1 && e.info.Mode().IsRegular() {
		if first, ok := seen[key]; ok {
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
		} else {
			seen[key] = h.Name
		}
	}
	if err := w.WriteHeader(h); err != nil || h.Typeflag != tar.TypeReg {
		return err
	}
	f, err := os.Open(e.path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.CopyN(w, f, h.Size)
	return err
}

func tarRead(p *proc, o options, file string, names []string) error {
	in := p.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	if o.has('z') || strings.HasSuffix(file, "gz") {
		z, err := gzip.NewReader(in)
		if err != nil {
			return err
		}
		in = z
	}
	// Every path below one directory: ".." and links do not lead out of it.
	root, err := os.OpenRoot(".")
	if err != nil {
		return err
	}
	r := tar.NewReader(in)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(names) > 0 && !tarWanted(names, h.Name) {
			continue
		}
		if o.has('v') && o.has('t') {
			p.printf("%s %d/%d %10d %s ", modeString(tarMode(h)), h.Uid, h.Gid, h.Size, h.ModTime.Format("2006-01-02 15:04"))
		}
		if o.has('v') || o.has('t') {
			p.println(h.Name)
		}
		switch {
		case o.has('t'):
		case o.has('O'):
			if _, err := io.Copy(p.out, r); err != nil {
				return err
			}
		default:
			if err := tarExtract(root, h, r); err != nil {
				p.report(h.Name, err)
				p.code = 2
			}
		}
	}
}

func tarWanted(names []string, name string) bool {
	name = strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
	for _, n := range names {
		n = strings.TrimSuffix(strings.TrimPrefix(n, "./"), "/")
		if name == n || strings.HasPrefix(name, n+"/") {
			return true
		}
	}
	return false
}

func tarMode(h *tar.Header) uint32 {
	m := uint32(h.Mode) & 0o7777
	switch h.Typeflag {
	case tar.TypeDir:
		return m | syscall.S_IFDIR
	case tar.TypeSymlink:
		return m | syscall.S_IFLNK
	case tar.TypeChar:
		return m | syscall.S_IFCHR
	case tar.TypeBlock:
		return m | syscall.S_IFBLK
	case tar.TypeFifo:
		return m | syscall.S_IFIFO
	}
	return m | syscall.S_IFREG
}

func tarExtract(root *os.Root, h *tar.Header, r io.Reader) error {
	name := strings.TrimLeft(filepath.Clean("/"+h.Name), "/")
	if name == "" {
		return nil
	}
	if dir := filepath.Dir(name); dir != "." {
		if err := root.MkdirAll(dir, 0o777); err != nil {
			return err
		}
	}
	perm := fs.FileMode(h.Mode).Perm()
	switch h.Typeflag {
	case tar.TypeDir:
		if err := root.Mkdir(name, perm); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	case tar.TypeReg:
		_ = root.Remove(name)
		f, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_EXCL, perm)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	case tar.TypeSymlink:
		_ = root.Remove(name)
		return root.Symlink(h.Linkname, name)
	case tar.TypeLink:
		_ = root.Remove(name)
		return root.Link(strings.TrimLeft(filepath.Clean("/"+h.Linkname), "/"), name)
	default:
		return errors.New("skipped: not a file, directory or link")
	}
	if os.Geteuid() == 0 {
		if err := root.Lchown(name, h.Uid, h.Gid); err != nil {
			return err
		}
	}
	// after the chown, which takes set-id bits away
	mode := perm
	for _, s := range []struct {
		bit  int64
		mode fs.FileMode
	}{{0o4000, fs.ModeSetuid}, {0o2000, fs.ModeSetgid}, {0o1000, fs.ModeSticky}} {
		if h.Mode&s.bit != 0 {
			mode |= s.mode
		}
	}
	if err := root.Chmod(name, mode); err != nil {
		return err
	}
	return root.Chtimes(name, h.ModTime, h.ModTime)
}
