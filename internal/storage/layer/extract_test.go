package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
)

func extract(t testing.TB, root string, o ExtractOptions, stream []byte) error {
	t.Helper()
	fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	_, err = Extract(context.Background(), bytes.NewReader(stream), fd, o)
	return err
}

// TestExtract: what is there is added to, replaced but never written through,
// and nothing of one kind takes the place of another.
func TestExtract(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(root string) error
		dir     string
		entries []tar.Header
		path    string // that then holds
		text    string
		err     string
	}{
		{"into a directory", nil, "d", []tar.Header{dir("a"), file("a/f")}, "d/a/f", "a/f", ""},
		{"missing directories", nil, "d", []tar.Header{file("x/y/f")}, "d/x/y/f", "x/y/f", ""},
		{"over a file", func(r string) error { return os.WriteFile(r+"/d/f", []byte("old"), 0o600) }, "d", []tar.Header{file("f")}, "d/f", "f", ""},
		{"over a link", func(r string) error { return os.Symlink("../kept", r+"/d/f") }, "d", []tar.Header{file("f")}, "kept", "kept", ""},
		{"a whiteout is a file", nil, "d", []tar.Header{file(".wh.f")}, "d/.wh.f", ".wh.f", ""},
		{"through a link of the tree", func(r string) error { return os.Symlink("/d", r+"/to") }, "to", []tar.Header{file("f")}, "d/f", "f", ""},
		{"a link that leads out", func(r string) error { return os.Symlink("../../../../d", r+"/out") }, "out", []tar.Header{file("f")}, "d/f", "f", ""},
		{"a directory over a file", func(r string) error { return os.WriteFile(r+"/d/f", nil, 0o600) }, "d", []tar.Header{dir("f")}, "", "", "cannot overwrite non-directory"},
		{"a directory over a link", func(r string) error { return os.Symlink("/", r+"/d/f") }, "d", []tar.Header{dir("f"), file("f/x")}, "", "", "cannot overwrite non-directory"},
		{"a file over a directory", func(r string) error { return os.Mkdir(r+"/d/f", 0o700) }, "d", []tar.Header{file("f")}, "", "", "cannot overwrite directory"},
		{"a name that climbs", nil, "d", []tar.Header{file("../f")}, "", "", "leads out"},
		{"a link and then below it", nil, "d", []tar.Header{link("l", "/"), file("l/kept")}, "kept", "l/kept", ""},
		{"a hard link that climbs", nil, "d", []tar.Header{{Typeflag: tar.TypeLink, Name: "h", Linkname: "../kept"}}, "", "", "leads out"},
	} {
		root := filepath.Join(t.TempDir(), "root")
		for _, d := range []string{root, root + "/d"} {
			if err := os.Mkdir(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(root+"/kept", []byte("kept"), 0o644); err != nil {
			t.Fatal(err)
		}
		if tt.prepare != nil {
			if err := tt.prepare(root); err != nil {
				t.Fatal(err)
			}
		}
		err := extract(t, root, ExtractOptions{Dir: tt.dir}, archive(t, tt.entries...))
		if tt.err != "" {
			if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: %v, want %s", tt.name, err, tt.err)
			}
			continue
		}
		b, rerr := os.ReadFile(filepath.Join(root, tt.path))
		if err != nil || rerr != nil || string(b) != tt.text {
			t.Errorf("%s: %v; %s holds %q, %v", tt.name, err, tt.path, b, rerr)
		}
	}
}

// TestExtractPlain: another's set-id bits are not to be had by copying.
func TestExtractPlain(t *testing.T) {
	h := file("f")
	h.Mode = 0o6755
	for _, plain := range []bool{false, true} {
		root := t.TempDir()
		if err := extract(t, root, ExtractOptions{Dir: ".", Plain: plain}, archive(t, h)); err != nil {
			t.Fatal(err)
		}
		fi, err := os.Stat(root + "/f")
		if err != nil || (fi.Mode()&os.ModeSetuid != 0) == plain {
			t.Errorf("plain %v: %v, %v", plain, fi.Mode(), err)
		}
	}
}

// TestPackAs: one file of any kind, under another name.
func TestPackAs(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(root+"/d/e", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root+"/d/e/f", []byte("text"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", root+"/l"); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"d": "n/ n/e/ n/e/f", "d/e/f": "n", "l": "n"} {
		fd, err := unix.Open(root+"/"+path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := PackAs(context.Background(), fd, "n", &b, PackOptions{}); err != nil {
			t.Fatal(err)
		}
		_ = unix.Close(fd)
		var names []string
		for r := tar.NewReader(&b); ; {
			h, err := r.Next()
			if err != nil {
				break
			}
			names = append(names, h.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
