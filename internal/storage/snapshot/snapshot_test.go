package snapshot

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/testkit"
)

func list(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestPrepare(t *testing.T) {
	testkit.Root(t, "sets owners")
	root := filepath.Join(t.TempDir(), "data")
	s := Open(root)
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	for i, p := range []Parent{{Mode: 0o755}, {Mode: 0o755}, {Mode: 0o1777, UID: 3_000_000_000, GID: 7}, {Mode: 0o6755, GID: 7}, {Mode: 0o700}, {Mode: 0o2700, GID: 8}} {
		if i%2 == 1 {
			if err := s.Tidy("a"); err != nil {
				t.Fatal(err)
			}
		}
		snap, err := s.Prepare("c", p, true)
		if err != nil {
			t.Fatal(err)
		}
		var st unix.Stat_t
		if err := unix.Lstat(snap.Upper, &st); err != nil {
			t.Fatal(err)
		}
		if st.Mode&0o7777 != p.Mode || st.Uid != p.UID || st.Gid != p.GID {
			t.Errorf("upper is %o %d:%d, want %+v", st.Mode, st.Uid, st.Gid, p)
		}
		if _, err := s.Prepare("c", p, true); !errors.Is(err, fs.ErrExist) || fault.KindOf(err) != fault.Exists {
			t.Errorf("second: %v, want EEXIST", err)
		}
		if got, err := s.Get("c", p, true); err != nil || got.Upper != snap.Upper {
			t.Errorf("Get: %+v, %v", got, err)
		}
		if got := list(t, root+"/overlay"); strings.TrimPrefix(got, ".spare ") != "c" {
			t.Errorf("overlay holds %q", got)
		}
		if err := os.MkdirAll(snap.Upper+"/a/b", 0o700); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := s.Remove("c"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Get("c", p, true); fault.KindOf(err) != fault.NotFound {
			t.Errorf("Get after Remove: %v", err)
		}
	}
	for _, id := range []string{"", ".", "..", "a/b", ".new-x"} {
		if _, err := s.Prepare(id, Parent{}, true); fault.KindOf(err) != fault.Invalid {
			t.Errorf("Prepare(%q): %v", id, err)
		}
		if err := s.Remove(id); fault.KindOf(err) != fault.Invalid {
			t.Errorf("Remove(%q): %v", id, err)
		}
	}
}

// TestTidy: what a run leaves is at most one spare and one old directory.
func TestTidy(t *testing.T) {
	root := t.TempDir()
	s := Open(root)
	for _, tt := range []struct {
		do   string
		want string
	}{
		{"tidy", ".spare"},
		{"tidy", ".spare"},
		{"prepare a", "a"},
		{"prepare b", "a b"},
		{"remove a", ".old b"},
		{"remove b", ".old"},
		{"prepare c", ".old c"},
		{"tidy", ".spare c"},
		{"fill c", ".spare c"},
		{"remove c", ".spare"},
		{"prepare d", "d"},
		{"remove d", ".old"},
		{"tidy", ".spare"},
	} {
		var err error
		verb, id, _ := strings.Cut(tt.do, " ")
		switch verb {
		case "tidy":
			err = s.Tidy("a")
		case "prepare":
			_, err = s.Prepare(id, Parent{Mode: 0o755}, true)
		case "fill":
			err = os.Mkdir(root+"/overlay/"+id+"/upper/x", 0o700)
		case "remove":
			err = s.Remove(id)
		}
		if got := list(t, root+"/overlay"); err != nil || got != tt.want {
			t.Fatalf("%s: %v, have %q, want %q", tt.do, err, got, tt.want)
		}
	}
}

func TestRecover(t *testing.T) {
	root := t.TempDir()
	s := Open(root)
	if err := s.Recover(func(string) bool { return false }); err != nil {
		t.Errorf("empty store: %v", err)
	}
	for _, name := range []string{"keep", ".new-keep2", "dead", ".new-dead", ".old", ".spare"} {
		if err := os.MkdirAll(root+"/overlay/"+name+"/upper/x", 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Recover(func(id string) bool { return strings.HasPrefix(id, "keep") }); err != nil {
		t.Fatal(err)
	}
	if got := list(t, root+"/overlay"); got != ".new-keep2 .spare keep" {
		t.Errorf("left %q", got)
	}
}

// makeLookupLayers makes three layers, top first.
func makeLookupLayers(t *testing.T, root string) []string {
	t.Helper()
	testkit.Root(t, "makes whiteouts")
	var dirs []string
	for i, tree := range [][]string{
		{"etc/top=1", "etc/hidden!", "gone!", "opaque/", "opaque/a=1", "file=1", "d/", "linked/", "was-dir=1"},
		{"etc/passwd=2", "etc/hidden=2", "gone/x=2", "opaque/b=2", "file/x=2", "d=2", "l@etc/passwd", "was-dir/x=2", "dev#", "fifo|", "etc/l@passwd", "deep!"},
		{
			"etc/passwd=3", "etc/group=3", "opaque/c=3", "d/x=3", "linked=3", "linkdir@etc", "deep/x=3",
			"out@../../../etc/passwd", "sub/far@/etc/./", "far@sub/far", "round@round", "dangling@/nowhere", "hop@linkdir/../sub/../l",
		},
	} {
		dir := filepath.Join(root, "layers", string(rune('a'+i)))
		for _, e := range tree {
			k := strings.IndexAny(e, "=!@#|")
			name, rest := e, ""
			if k > 0 {
				name, rest = e[:k], e[k:]
			}
			path := dir + "/" + name
			err := os.MkdirAll(filepath.Dir(path), 0o755)
			switch {
			case rest == "":
				err = errors.Join(err, os.MkdirAll(path, 0o755))
			case rest == "!":
				err = errors.Join(err, unix.Mknod(path, unix.S_IFCHR, 0))
			case rest == "#":
				err = errors.Join(err, unix.Mknod(path, unix.S_IFCHR, int(unix.Mkdev(1, 5))))
			case rest == "|":
				err = errors.Join(err, unix.Mkfifo(path, 0o600))
			case rest[0] == '@':
				err = errors.Join(err, os.Symlink(rest[1:], path))
			default:
				err = errors.Join(err, os.WriteFile(path, []byte(rest[1:]), 0o644))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		dirs = append(dirs, dir)
	}
	if err := unix.Setxattr(dirs[0]+"/opaque", "trusted.overlay.opaque", []byte("y"), 0); err != nil {
		t.Fatal(err)
	}
	return dirs
}

// lookupPaths are the same with and without a mount.
var lookupPaths = []string{
	"etc/top", "etc/passwd", "etc/group", "etc/hidden", "etc/none", "gone", "gone/x", "opaque/a", "opaque/b", "opaque/c",
	"file", "file/x", "d", "d/x", "linked", "was-dir", "was-dir/x", "deep/x", "deep", "etc", "none/x",
	"l", "etc/l", "linkdir/passwd", "linkdir/../etc/group", "linkdir/l", "out", "far/group", "round", "dangling", "etc/../gone/x", "hop", "../etc/top",
	"far/../passwd", "file/../file",
}

func readInLayers(layers []string, path string) ([]byte, error) {
	f, err := OpenInLayers(layers, path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(f)
	return data, errors.Join(err, f.Close())
}

func TestOpenInLayers(t *testing.T) {
	dirs := makeLookupLayers(t, t.TempDir())
	for _, tt := range []struct {
		path, want string
		kind       fault.Kind
	}{
		{"etc/top", "1", 0},
		{"/etc/passwd", "2", 0},
		{"etc//group", "3", 0},
		{"etc/hidden", "", fault.NotFound},
		{"gone/x", "", fault.NotFound},
		{"opaque/a", "1", 0},
		{"opaque/b", "", fault.NotFound},
		{"file", "1", 0},
		{"file/x", "", fault.Invalid},
		{"d", "", fault.Invalid},
		{"dev", "", fault.Invalid},
		{"fifo", "", fault.Invalid},
		{"etc", "", fault.Invalid},
		{"/", "", fault.Invalid},
		{"etc/../etc/passwd", "2", 0},
		{"../../etc/passwd", "2", 0},
	} {
		got, err := readInLayers(dirs, tt.path)
		if string(got) != tt.want || (err == nil) != (tt.kind == 0) || err != nil && fault.KindOf(err) != tt.kind {
			t.Errorf("%s: %q, %v (%v), want %q, %v", tt.path, got, err, fault.KindOf(err), tt.want, tt.kind)
		}
	}
}
