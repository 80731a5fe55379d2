package snapshot

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"github.com/tare-engine/tare/internal/lib/testkit"
	"golang.org/x/sys/unix"
)

// privateMounts gives the test a mount namespace of its own, in a thread that
// ends with the test.
func privateMounts(t testing.TB) {
	t.Helper()
	testkit.Root(t, "mounts an overlay")
	runtime.LockOSThread() // never unlocked: the thread is not to be used again
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		t.Skipf("needs a mount namespace: %v", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
}

// execute mounts m at target, the way that the plan says.
func execute(m Mount, target string) (err error) {
	if m.Base != "" {
		if err := os.Chdir(m.Base); err != nil {
			return err
		}
		return unix.Mount("overlay", target, "overlay", 0, m.Options)
	}
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fs)
	for _, c := range m.Config {
		switch c.Cmd {
		case SetFlag:
			err = unix.FsconfigSetFlag(fs, c.Key)
		case SetString:
			err = unix.FsconfigSetString(fs, c.Key, c.Value)
		case SetFD:
			var fd int
			if fd, err = unix.Open(c.Open, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
				err = unix.FsconfigSetFd(fs, c.Key, fd)
				_ = unix.Close(fd)
			}
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", c.Cmd, c.Key, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return err
	}
	mnt, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(mnt)
	return unix.MoveMount(mnt, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// makeLayers makes n layers, top first; each has a file of its own, its number
// in "top", and hides one file of the layer below.
func makeLayers(t testing.TB, root string, n int) []string {
	t.Helper()
	var list []string
	for i := n; i > 0; i-- {
		dir := fmt.Sprintf("%s/layers/%020d/fs", root, i)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, data := range map[string]string{fmt.Sprint("own", i): "x", "top": fmt.Sprint(i), fmt.Sprint("gone", i): "x"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if i > 1 {
			if err := unix.Mknod(fmt.Sprintf("%s/gone%d", dir, i-1), unix.S_IFCHR, 0); err != nil {
				t.Fatal(err)
			}
		}
		list = append(list, dir)
	}
	return list
}

func TestMountManyLayers(t *testing.T) {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		t.Fatal(err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(uts.Release[:]), "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 70, 128} {
		for name, f := range map[string]Features{"fd": {LayerFD: true}, "path": {AppendLow: true}, "legacy": {}} {
			t.Run(fmt.Sprintf("%s/%d", name, n), func(t *testing.T) {
				if have := FeaturesOf(major, minor); f.LayerFD && !have.LayerFD || f.AppendLow && !have.AppendLow {
					t.Skip("needs a newer kernel")
				}
				root := t.TempDir()
				dirs := makeLayers(t, root, n)
				privateMounts(t)
				store := Open(root)
				snap, err := store.Prepare(strings.Repeat("c", 64), Parent{Lower: dirs, Mode: 0o755}, true)
				if err != nil {
					t.Fatal(err)
				}
				m, err := MountPlan(snap, f)
				if err != nil {
					t.Fatal(err)
				}
				target := t.TempDir()
				if err := execute(m, target); err != nil {
					t.Fatal(err)
				}
				if got, err := os.ReadFile(target + "/top"); err != nil || string(got) != fmt.Sprint(n) {
					t.Errorf("top is %q, %v, want %d", got, err, n)
				}
				names, err := filepath.Glob(target + "/*[0-9]")
				if err != nil || len(names) != n+1 {
					t.Errorf("%d files, %v, want one of each layer and one not hidden", len(names), err)
				}
				if err := os.WriteFile(target+"/new", nil, 0o600); err != nil {
					t.Error(err)
				}
				if _, err := os.Lstat(snap.Upper + "/new"); err != nil {
					t.Error(err)
				}
				if err := unix.Unmount(target, 0); err != nil {
					t.Fatal(err)
				}
				if err := store.Remove(snap.ID); err != nil {
					t.Fatal(err)
				}
				if left := list(t, root+"/overlay"); left != "" {
					t.Errorf("left %s", left)
				}
			})
		}
	}
}

// TestLookupIsOverlay compares the lookup without a mount with what a mounted
// overlay shows.
func TestLookupIsOverlay(t *testing.T) {
	root := t.TempDir()
	list := makeLookupLayers(t, root)
	privateMounts(t)
	snap, err := Open(root).Prepare("c", Parent{Lower: list, Mode: 0o755}, true)
	if err != nil {
		t.Fatal(err)
	}
	m, err := MountPlan(snap, Features{LayerFD: true})
	if err != nil {
		t.Fatal(err)
	}
	target := t.TempDir()
	if err := execute(m, target); err != nil {
		t.Skipf("needs Linux 6.13: %v", err)
	}
	for _, path := range lookupPaths {
		want, werr := readInRoot(target, path)
		got, gerr := readInLayers(append([]string{snap.Upper}, list...), path)
		if (werr == nil) != (gerr == nil) || string(got) != string(want) {
			t.Errorf("%s: %q, %v; overlay: %q, %v", path, got, gerr, want, werr)
		}
	}
	if err := unix.Unmount(target, 0); err != nil {
		t.Fatal(err)
	}
}

// readInRoot reads what the kernel finds at a path, with root as the root.
func readInRoot(root, path string) ([]byte, error) {
	dir, err := os.Open(root)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	fd, err := fsatomic.OpenIn(int(dir.Fd()), path, unix.O_RDONLY, unix.RESOLVE_IN_ROOT)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	return io.ReadAll(f)
}

// BenchmarkCycle is what a --rm container pays on the file system of TMPDIR.
func BenchmarkCycle(b *testing.B) {
	store := Open(b.TempDir())
	p := Parent{Lower: layers(1), Mode: 0o755}
	for b.Loop() {
		b.StopTimer()
		if err := store.Tidy("a"); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if _, err := store.Prepare("c", p, true); err != nil {
			b.Fatal(err)
		}
		if err := store.Remove("c"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMountCycle adds the kernel's part.
func BenchmarkMountCycle(b *testing.B) {
	root := b.TempDir()
	p := Parent{Lower: makeLayers(b, root, 1), Mode: 0o755}
	privateMounts(b)
	store := Open(root)
	target := b.TempDir()
	for b.Loop() {
		snap, err := store.Prepare("c", p, true)
		if err != nil {
			b.Fatal(err)
		}
		m, err := MountPlan(snap, FeaturesOf(6, 18))
		if err != nil {
			b.Fatal(err)
		}
		if err := execute(m, target); err != nil {
			b.Fatal(err)
		}
		if err := unix.Unmount(target, 0); err != nil {
			b.Fatal(err)
		}
		if err := store.Remove("c"); err != nil {
			b.Fatal(err)
		}
	}
}
