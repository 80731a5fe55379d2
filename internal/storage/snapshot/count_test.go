package snapshot

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCount(t *testing.T) {
	if os.Geteuid() != 0 { // whiteouts are devices
		t.Skip("needs root")
	}
	root := t.TempDir()
	s := Open(root)
	write := func(paths ...string) {
		t.Helper()
		for _, p := range paths {
			p = filepath.Join(root, p)
			if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(p, []byte("abc"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	whiteout := func(p string) {
		t.Helper()
		p = filepath.Join(root, p)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mknod(p, unix.S_IFCHR, 0); err != nil {
			t.Fatal(err)
		}
	}
	lower := []string{root + "/top", root + "/bottom"}
	write("bottom/etc/passwd", "bottom/etc/group", "bottom/usr/a", "bottom/usr/b", "bottom/gone", "bottom/dir/x")
	write("top/etc/hosts")
	whiteout("top/gone")
	if n, err := s.Count("none", lower, 100); n != (Counts{}) || err != nil {
		t.Errorf("none: %+v, %v", n, err)
	}
	up := "overlay/c1/upper/"
	write(up+"etc/group", up+"etc/hosts", up+"new/file", up+"gone", up+"usr/c")
	whiteout(up + "etc/passwd")
	whiteout(up + "usr/never") // hides nothing
	write(up + "dir/y")
	if err := unix.Setxattr(filepath.Join(root, up, "dir"), "trusted.overlay.opaque", []byte("y"), 0); err != nil {
		t.Skipf("trusted attributes: %v", err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(root, up, "link")); err != nil {
		t.Fatal(err)
	}
	// changed: etc/group, etc/hosts; added: new, new/file, gone, usr/c, dir/y, link;
	// deleted: etc/passwd, dir's old contents
	want := Counts{Added: 6, Changed: 2, Deleted: 2, Bytes: 18}
	if n, err := s.Count("c1", lower, 100); n != want || err != nil {
		t.Errorf("got %+v, %v, want %+v", n, err, want)
	}
	if n, err := s.Count("c1", lower, 3); !n.Truncated || err != nil {
		t.Errorf("with a limit: %+v, %v", n, err)
	}
}
