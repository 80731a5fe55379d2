package plan

import (
	"fmt"
	"io"
	"testing"

	"golang.org/x/sys/unix"
)

// typical builds a plan of the size that a container with Docker's defaults
// has.
func typical() *Plan {
	p := New()
	p.Begin("host")
	fs := p.Fsopen(OnHost, "overlay")
	p.FsString(OnHost, fs, "source", "overlay")
	p.FsCreate(OnHost, fs)
	root := p.Fsmount(OnHost, "root", fs, 0)
	for i := range 8 {
		p.Begin("mounts")
		p.Note(names[i])
		fs := p.Fsopen(InChild, "tmpfs")
		p.FsString(InChild, fs, "mode", "755")
		p.FsString(InChild, fs, "size", "65536k")
		p.FsCreate(InChild, fs)
		m := p.Fsmount(InChild, "tmpfs", fs, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
		t := p.Openat2(InChild, "dir", root.Arg(), "some/directory", unix.O_PATH, 0, InRoot, OK(unix.ENOENT))
		p.Mkdirat(InChild, root.Arg(), "some", 0o755, When(IfErr, t), OK(unix.EEXIST))
		p.OpenInto(InChild, t, root.Arg(), "some/directory", unix.O_PATH, InRoot, When(IfErr, t))
		p.MoveMount(InChild, m.Arg(), t.Arg())
		p.MountSetattr(InChild, t.Arg(), true, Attrs{Set: unix.MOUNT_ATTR_RDONLY})
	}
	p.Begin("caps")
	for n := range 27 {
		p.Note(names[n%8])
		p.Prctl(InChild, unix.PR_CAPBSET_DROP, uint64(n), 0)
	}
	for _, n := range names {
		t := p.Openat2(InChild, "x", root.Arg(), n, unix.O_PATH, 0, InRoot, OK(unix.ENOENT, unix.ENOTDIR))
		p.MoveMount(InChild, root.Arg(), t.Arg(), When(IfOK, t))
	}
	p.Program(make([]unix.SockFilter, 400))
	p.Exec([]string{"/usr/local/sbin/true", "/usr/local/bin/true", "/bin/true"}, []string{"true"}, []string{"PATH=/bin", "HOME=/root"})
	return p
}

var names = func() (l [8]string) {
	for i := range l {
		l[i] = fmt.Sprintf("/proc/some/name%d", i)
	}
	return l
}()

func BenchmarkBuild(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		typical()
	}
}

func BenchmarkFormat(b *testing.B) {
	p := typical()
	for b.Loop() {
		if err := p.Format(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
