package container

import (
	"os"
	"testing"

	"github.com/tare-engine/tare/internal/lib/testkit"
)

// TestDanglingTarget: the link of an image that leads nowhere, as
// systemd-resolved's, is covered by what is mounted there, and stays.
func TestDanglingTarget(t *testing.T) {
	testkit.Containers(t)
	v := volume(t)
	var root string
	const target = "../run/systemd/resolve/stub-resolv.conf"
	out := sh(t, "cat /etc/resolv.conf /etc/volume; test -L /etc/resolv.conf || echo file",
		bind(v+"/resolv.conf", "/etc/resolv.conf"), bind(v+"/file", "/etc/volume"), func(c *Config) {
			root = c.Root.Bind
			must(t, os.MkdirAll(root+"/etc", 0o755))
			must(t, os.Symlink(target, root+"/etc/resolv.conf"))
			must(t, os.Symlink("/nowhere", root+"/etc/volume"))
			c.Files = []File{{v + "/resolv.conf", []byte("nameserver ::1\n")}}
		})
	if want := "nameserver ::1\n" + read(t, v+"/file") + "file\n"; out != want {
		t.Errorf("got %q, want %q", out, want)
	}
	if link, err := os.Readlink(root + "/etc/resolv.conf"); err != nil || link != target {
		t.Errorf("the image's link is %q, %v", link, err)
	}
}
