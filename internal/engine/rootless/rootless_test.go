package rootless

import (
	"os"
	"testing"
)

// TestOwn: a run directory that another user made, or may write, is refused.
func TestOwn(t *testing.T) {
	dir, uid := t.TempDir()+"/run", os.Getuid()
	for range 2 {
		if err := own(dir, uid); err != nil {
			t.Fatal(err)
		}
	}
	if err := own(dir, uid+1); err == nil {
		t.Error("another user's directory is taken")
	}
	if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // that is the point
		t.Fatal(err)
	}
	if err := own(dir, uid); err == nil {
		t.Error("a directory that everybody writes is taken")
	}
	link := dir + "-link"
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	if err := own(link, uid); err == nil {
		t.Error("a link is taken")
	}
}
