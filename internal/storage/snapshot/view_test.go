package snapshot

import (
	"os"
	"strings"
	"testing"

	"github.com/tare-engine/tare/internal/lib/testkit"
	"golang.org/x/sys/unix"
)

// TestOpenMerged: on every kind of kernel, with and without a writable layer;
// nothing is mounted afterwards that the test could see.
func TestOpenMerged(t *testing.T) {
	testkit.Root(t, "mounts an overlay")
	root := t.TempDir()
	for dir, file := range map[string]string{"l1": "low", "l2": "both", "overlay/c1/upper": "both", "target": ""} {
		if err := os.MkdirAll(root+"/"+dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if file != "" {
			if err := os.WriteFile(root+"/"+dir+"/"+file, []byte(dir), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	var now unix.Utsname
	if err := unix.Uname(&now); err != nil {
		t.Fatal(err)
	}
	s := Open(root)
	lower := []string{root + "/l2", root + "/l1"}
	for name, f := range map[string]Features{"old": {}, "6.8": FeaturesOf(6, 8), "6.18": FeaturesOf(6, 18)} {
		for id, want := range map[string]string{"c1": "overlay/c1/upper", "c2": "l2"} {
			fd, err := s.OpenMerged(id, lower, f, root+"/target")
			if err != nil {
				if name != "old" {
					t.Skipf("%s: %v (kernel %s)", name, err, unix.ByteSliceToString(now.Release[:]))
				}
				t.Fatalf("%s: %v", name, err)
			}
			var b [100]byte
			for file, want := range map[string]string{"both": want, "low": "l1"} {
				in, err := unix.Openat(fd, file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
				if err != nil {
					t.Fatalf("%s %s %s: %v", name, id, file, err)
				}
				n, err := unix.Read(in, b[:])
				if err != nil || string(b[:n]) != want {
					t.Errorf("%s %s %s: %q, %v", name, id, file, b[:max(n, 0)], err)
				}
				_ = unix.Close(in)
			}
			_ = unix.Close(fd)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), root) {
		t.Errorf("a mount is left: %v", err)
	}
}
