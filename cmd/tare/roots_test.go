package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/test/verify/rig"
)

// TestRootsPrivate: whatever the mode of the roots (a disk's mount point has 0755),
// nobody else reaches anything below them: a set-user-id file that a container
// leaves in a volume is nobody's on the host (CVE-2021-41091).
func TestRootsPrivate(t *testing.T) {
	t.Parallel()
	r := rig.Test(t)
	for _, dir := range []string{r.Root, r.RunRoot} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(r.Root+"/volumes", 0o711); err != nil { // by an older tare
		t.Fatal(err)
	}
	r.Must(t, "run", "-d", "--name", "box", "-v", "/vol", "tare/base", "sh", "-c", "cp /bin/tare-base /vol/su; chmod 4755 /vol/su; sleep 1000")
	r.Must(t, "exec", "box", "true")
	for _, root := range []string{r.Root, r.RunRoot} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || path == root {
				return err
			}
			fi, err := d.Info()
			if err != nil {
				return err
			}
			if fi.Mode().Perm()&0o077 != 0 {
				t.Errorf("%v %s", fi.Mode(), path)
			}
			if d.IsDir() {
				return fs.SkipDir // nobody else gets further
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	r.Must(t, "rm", "-f", "-v", "box")
}

// TestRootsOfOthers: a root in which others may write is refused.
func TestRootsOfOthers(t *testing.T) {
	t.Parallel()
	r := rig.Test(t)
	for _, dir := range []string{r.Root, r.RunRoot} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o1777); err != nil {
			t.Fatal(err)
		}
		if res := r.Run(t, "ps"); res.Code != 1 || !strings.Contains(res.Err, dir+": others may write to it") {
			t.Errorf("%+v", res)
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Chown(dir, 4242, 0); err != nil {
			t.Fatal(err)
		}
		if res := r.Run(t, "ps"); res.Code != 1 || !strings.Contains(res.Err, dir+": it belongs to user 4242") {
			t.Errorf("%+v", res)
		}
		if err := unix.Chown(dir, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
}
