package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func runCp(p *proc, args []string) {
	o, names := p.getopt(args, "arRfpPdLnivuTt: archive=a recursive=r force=f no-dereference=P dereference=L no-clobber=n verbose=v preserve=p update=u no-target-directory=T")
	if len(names) < 2 {
		p.fatalf(1, "missing file operand")
	}
	c := &copier{
		p: p, recursive: o.has('r') || o.has('R') || o.has('a'), keep: o.has('p') || o.has('a'),
		links: (o.has('P') || o.has('d') || o.has('a') || o.has('r') || o.has('R')) && !o.has('L'),
		force: o.has('f'), noClobber: o.has('n'), update: o.has('u'), verbose: o.has('v'),
	}
	dst := names[len(names)-1]
	fi, err := os.Stat(dst)
	isDir := err == nil && fi.IsDir() && !o.has('T')
	if len(names) > 2 && !isDir {
		p.fatalf(1, "target '%s' is not a directory", dst)
	}
	for _, src := range names[:len(names)-1] {
		to := dst
		if isDir && !strings.HasSuffix(src, "/.") && src != "." {
			to = filepath.Join(dst, filepath.Base(src))
		}
		c.copy(src, to)
	}
}

type copier struct {
	p                        *proc
	recursive, keep, links   bool
	force, noClobber, update bool
	verbose                  bool
}

func (c *copier) copy(src, dst string) {
	stat := os.Stat
	if c.links {
		stat = os.Lstat
	}
	fi, err := stat(src)
	if err != nil {
		c.p.failf("cannot stat '%s': %s", src, reason(err))
		return
	}
	st := statOf(fi)
	old, err := os.Lstat(dst)
	if err == nil {
		switch {
		case os.SameFile(fi, old):
			c.p.failf("'%s' and '%s' are the same file", src, dst)
			return
		case c.noClobber && !fi.IsDir(), c.update && !fi.IsDir() && !fi.ModTime().After(old.ModTime()):
			return
		case old.IsDir() && !fi.IsDir():
			c.p.failf("cannot overwrite directory '%s' with non-directory", dst)
			return
		}
	}
	if c.verbose {
		c.p.printf("'%s' -> '%s'\n", src, dst)
	}
	switch mode := fi.Mode(); {
	case mode.IsDir():
		c.copyDir(src, dst, fi)
		return
	case mode&fs.ModeSymlink != 0:
		var to string
		if to, err = os.Readlink(src); err == nil {
			_ = os.Remove(dst)
			err = os.Symlink(to, dst)
		}
	case mode.IsRegular() || !c.recursive:
		err = c.copyFile(src, dst, fi)
	case mode&fs.ModeSocket != 0:
		c.p.failf("cannot copy socket '%s'", src)
		return
	default:
		_ = os.Remove(dst)
		err = syscall.Mknod(dst, st.Mode, int(st.Rdev))
	}
	if err != nil {
		c.p.failf("cannot create '%s': %s", dst, reason(err))
		return
	}
	c.attributes(dst, st)
}

func (c *copier) copyDir(src, dst string, fi fs.FileInfo) {
	if !c.recursive {
		c.p.failf("-r not specified; omitting directory '%s'", src)
		return
	}
	err := os.Mkdir(dst, fi.Mode().Perm()|0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		c.p.failf("cannot create directory '%s': %s", dst, reason(err))
		return
	}
	list, err := os.ReadDir(src)
	if err != nil {
		c.p.failf("cannot read directory '%s': %s", src, reason(err))
	}
	self, _ := os.Stat(dst)
	for _, d := range list {
		from := filepath.Join(src, d.Name())
		if in, err := os.Lstat(from); err == nil && os.SameFile(in, self) {
			c.p.failf("cannot copy a directory, '%s', into itself, '%s'", src, dst)
			continue
		}
		c.copy(from, filepath.Join(dst, d.Name()))
	}
	c.attributes(dst, statOf(fi))
}

func (c *copier) copyFile(src, dst string, fi fs.FileInfo) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	const flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	out, err := os.OpenFile(dst, flags, fi.Mode().Perm())
	if err != nil && c.force {
		_ = os.Remove(dst)
		out, err = os.OpenFile(dst, flags, fi.Mode().Perm())
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// attributes gives dst owner, mode and times of the source with -p.
func (c *copier) attributes(dst string, st *syscall.Stat_t) {
	if !c.keep {
		return
	}
	if err := os.Lchown(dst, int(st.Uid), int(st.Gid)); err != nil && os.Geteuid() == 0 {
		c.p.failf("preserving ownership of '%s': %s", dst, reason(err))
	}
	if st.Mode&syscall.S_IFMT != syscall.S_IFLNK {
		if err := syscall.Chmod(dst, st.Mode&0o7777); err != nil {
			c.p.failf("preserving permissions of '%s': %s", dst, reason(err))
		}
	}
	times := []unix.Timespec{{Sec: st.Atim.Sec, Nsec: st.Atim.Nsec}, {Sec: st.Mtim.Sec, Nsec: st.Mtim.Nsec}}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, dst, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		c.p.failf("preserving times of '%s': %s", dst, reason(err))
	}
}
