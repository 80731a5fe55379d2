package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/lib/testkit"
	"golang.org/x/sys/unix"
)

// layersOfAnImage are layers as builders make them: each entry's directories
// are described. They hide, replace and bring back what is below.
func layersOfAnImage(t testing.TB) [][]byte {
	t.Helper()
	f := func(name, content string, mode int64, uid int) tar.Header {
		return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content)), Uid: uid, Uname: content}
	}
	layers := [][]tar.Header{
		{
			dir("./"), dir("bin/"), f("bin/su", "su", 0o4755, 0), hard("bin/sudo", "bin/su"), link("sh", "bin/su"),
			dir("etc/"), f("etc/passwd", "root", 0o644, 0), f("etc/shadow", "x", 0o640, 42),
			dir("var/"), dir("var/cache/"), f("var/cache/a", "1", 0o644, 0), f("var/cache/b", "2", 0o644, 0), dir("var/cache/sub/"), f("var/cache/sub/c", "3", 0o600, 7),
			dir("opt/"), f("opt/was-file", "f", 0o644, 0), dir("opt/was-dir/"), f("opt/was-dir/x", "x", 0o644, 0), dir("gone/"), f("gone/x", "x", 0o644, 0),
		},
		{dir("var/"), dir("var/cache/"), file("var/cache/.wh.a"), f("var/cache/d", "4", 0o644, 70_000), dir("bin/"), file("bin/.wh.sudo")},
		{
			dir("opt/"), dir("opt/was-file/"), f("opt/was-file/now", "dir", 0o644, 0), f("opt/was-dir", "now a file", 0o644, 0), dir("./"), file(".wh.gone"),
			dir("var/"), dir("var/cache/"), file("var/cache/.wh..wh..opq"), f("var/cache/e", "5", 0o644, 0),
		},
		{dir("gone/"), f("gone/back", "again", 0o600, 3), dir("bin/"), hard2("bin/sudo", "bin/su", f), link("sh", "bin/sudo")},
		{dir("etc/"), file("etc/.wh.shadow"), dir("opt/"), file("opt/.wh.was-dir"), dir("./"), file(".wh.sh")},
	}
	var out [][]byte
	for i, list := range layers {
		var flat []tar.Header
		for _, h := range list {
			if h.Typeflag == 0 { // hard2
				flat = append(flat, f("bin/su", "su "+strconv.Itoa(i), 0o4755, 0), hard(h.Name, "bin/su"))
				continue
			}
			flat = append(flat, h)
		}
		out = append(out, tarWithContent(t, flat, int64(i)))
	}
	return out
}

// hard2 stands for a file and a hard link to it in one layer.
func hard2(name, target string, _ func(string, string, int64, int) tar.Header) tar.Header {
	return tar.Header{Name: name, Linkname: target}
}

// tarWithContent writes entries whose content stands in Uname.
func tarWithContent(t testing.TB, list []tar.Header, when int64) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i, h := range list {
		content := ""
		if h.Typeflag == tar.TypeReg && h.Uname != "" {
			content = h.Uname
		}
		h.Uname, h.Size = "", int64(len(content))
		h.Format, h.ModTime = tar.FormatPAX, time.Unix(1_600_000_000+when*1000+int64(i), 123_456_789)
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// byGNUTar applies a layer to a tree: what it whites out goes first, then GNU
// tar extracts the rest (image-spec, layer.md: "Applying Changesets").
func byGNUTar(t *testing.T, bin, root, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	tr := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := tr.Next()
		if err != nil {
			break
		}
		at, base := filepath.Split(filepath.Join(root, h.Name))
		switch {
		case base == whiteoutOpaque:
			list, err := os.ReadDir(at)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range list {
				err = errors.Join(err, os.RemoveAll(at+e.Name()))
			}
			if err != nil {
				t.Fatal(err)
			}
		case strings.HasPrefix(base, whiteoutPrefix):
			if err := os.RemoveAll(at + strings.TrimPrefix(base, whiteoutPrefix)); err != nil {
				t.Fatal(err)
			}
		}
		// tar does not replace a directory by a file.
		if st, err := os.Lstat(filepath.Join(root, h.Name)); err == nil && st.IsDir() && h.Typeflag != tar.TypeDir {
			if err := os.RemoveAll(filepath.Join(root, h.Name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	run(t, bin, "--xattrs", "--xattrs-include=*", "--numeric-owner", "-p", "--exclude=.wh.*", "-C", root, "-xf", file)
}

// TestOverlayAgainstGNUTar stacks unpacked layers with overlayfs and compares
// what a container would see with what GNU tar makes of them, file by file.
func TestOverlayAgainstGNUTar(t *testing.T) {
	testkit.Root(t, "owners and device nodes are set")
	bin, err := exec.LookPath("tar")
	if err != nil {
		t.Skip("needs GNU tar")
	}
	work := os.Getenv("TARE_TEST_OVERLAY")
	if work == "" {
		// overlayfs wants no overlay below it, and the mount a namespace.
		work := t.TempDir()
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestOverlayAgainstGNUTar$")
		cmd.Env = append(os.Environ(), "TARE_TEST_OVERLAY="+work)
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	must(unix.Mount("tmpfs", work, "tmpfs", 0, ""))
	must(os.Mkdir(work+"/gnu", 0o755))
	must(os.Mkdir(work+"/merged", 0o755))
	var lower []string
	for i, data := range layersOfAnImage(t) {
		byGNUTar(t, bin, work+"/gnu", work+"/layer.tar", data)
		dir := work + "/" + strconv.Itoa(i)
		must(os.Mkdir(dir, 0o755))
		res, err := Unpack(context.Background(), bytes.NewReader(data), openRoot(t, dir), Options{})
		must(err)
		if i > 0 && len(res.Implied) == 1 && res.Implied[0] == "." {
			st, err := os.Stat(strings.TrimSuffix(dir, strconv.Itoa(i)) + strconv.Itoa(i-1))
			must(err)
			must(os.Chtimes(dir, st.ModTime(), st.ModTime())) // package store does it
		}
		lower = append([]string{dir}, lower...)
	}
	must(unix.Mount("overlay", work+"/merged", "overlay", unix.MS_RDONLY, "lowerdir="+strings.Join(lower, ":")))
	compare(t, "through overlayfs", describe(t, work+"/merged"), describe(t, work+"/gnu"))
}

// TestHostAgainstGNUTar unpacks real directories of the machine.
func TestHostAgainstGNUTar(t *testing.T) {
	testkit.Root(t, "owners and device nodes are set")
	bin, err := exec.LookPath("tar")
	if err != nil {
		t.Skip("needs GNU tar")
	}
	work := t.TempDir()
	for _, d := range []string{"gnu", "tare"} {
		if err := os.Mkdir(work+"/"+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run(t, bin, "--xattrs", "--xattrs-include=*", "--format=pax", "--numeric-owner", "-C", "/", "-cf", work+"/t.tar", "etc")
	run(t, bin, "--xattrs", "--xattrs-include=*", "--numeric-owner", "-p", "-C", work+"/gnu", "-xf", work+"/t.tar")
	f, err := os.Open(work + "/t.tar")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := Unpack(context.Background(), f, openRoot(t, work+"/tare"), Options{}); err != nil {
		t.Fatal(err)
	}
	// What neither described has the time at which it was made.
	for _, d := range []string{"."} {
		for _, tree := range []string{"/gnu/", "/tare/"} {
			if err := os.Chtimes(work+tree+d, time.Unix(0, 0), time.Unix(0, 0)); err != nil {
				t.Fatal(err)
			}
		}
	}
	compare(t, "real directories", describe(t, work+"/tare"), describe(t, work+"/gnu"))
}
