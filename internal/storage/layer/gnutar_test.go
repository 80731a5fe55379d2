package layer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/lib/testkit"
	"golang.org/x/sys/unix"
)

// makeTree fills dir with one of everything that a layer can hold.
func makeTree(t testing.TB, dir string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	long := strings.Repeat("long-name-", 20)
	must(os.MkdirAll(at("usr/bin"), 0o755))
	must(os.MkdirAll(at(long+"/"+long), 0o755))
	must(os.WriteFile(at("usr/bin/su"), []byte("su"), 0o755))
	must(os.Chmod(at("usr/bin/su"), os.ModeSetuid|0o4755))
	must(os.WriteFile(at("usr/bin/ping"), bytes.Repeat([]byte("ping"), 50_000), 0o755))
	must(os.WriteFile(at("empty"), nil, 0o600))
	must(os.WriteFile(at(long+"/"+long+"/f\xff\n é"), []byte("odd"), 0o644))
	must(os.Link(at("usr/bin/su"), at("usr/bin/sudo")))
	must(os.Link(at("usr/bin/su"), at("a-first")))
	must(os.Symlink("usr/bin", at("bin")))
	must(os.Symlink("/"+long+"/"+long, at("absolute")))
	must(unix.Mknod(at("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	must(unix.Mknod(at("loop"), unix.S_IFBLK|0o660, int(unix.Mkdev(7, 300))))
	must(unix.Mkfifo(at("fifo"), 0o640))
	must(os.Mkdir(at("tmp"), 0o777))
	must(os.Chmod(at("tmp"), os.ModeSticky|0o777))
	must(os.Mkdir(at("setgid"), 0o755))
	must(os.Lchown(at("setgid"), 0, 70_000))
	must(os.Chmod(at("setgid"), os.ModeSetgid|0o775))
	must(os.WriteFile(at("setgid/root-owned"), []byte("x"), 0o644))
	must(os.Lchown(at("setgid/root-owned"), 0, 0))
	must(os.MkdirAll(at("setgid/plain/below"), 0o755))
	must(os.Chmod(at("setgid/plain"), 0o755))
	must(os.Lchown(at("setgid/plain/below"), 0, 0))
	must(os.Chmod(at("setgid/plain/below"), 0o700))
	must(os.Lchown(at("empty"), 4_000_000_000, 65_536))
	must(os.Lchown(at("bin"), 1000, 1000))
	must(unix.Setxattr(at("usr/bin"), "user.note", []byte("a\x00b"), 0))
	must(unix.Setxattr(at("usr/bin/ping"), "security.capability",
		[]byte("\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 0))
	sparse, err := os.Create(at("sparse"))
	must(err)
	must(sparse.Truncate(5 << 20))
	_, err = sparse.WriteAt([]byte("data"), 3<<20+7)
	must(err)
	must(sparse.Close())
	for i, name := range []string{"usr/bin/ping", "empty", "bin", "fifo", "null", "usr/bin", "setgid", "."} {
		ts := []unix.Timespec{unix.NsecToTimespec(int64(i)), {Sec: 1_000_000_000 - int64(i)*100_000_000, Nsec: int64(i) * 111_111_111}}
		must(unix.UtimesNanoAt(unix.AT_FDCWD, at(name), ts, unix.AT_SYMLINK_NOFOLLOW))
	}
}

func compare(t *testing.T, what string, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		g, w := "nothing", "nothing"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Fatalf("%s:\ngot  %s\nwant %s", what, g, w)
		}
	}
}

func TestAgainstGNUTar(t *testing.T) {
	testkit.Root(t, "owners and device nodes are set")
	bin, err := exec.LookPath("tar")
	if err != nil {
		t.Skip("needs GNU tar")
	}
	tree := t.TempDir()
	makeTree(t, tree)
	for _, format := range []string{"--format=pax", "--format=gnu", "--format=pax --sparse", "--format=gnu --sparse", "--format=pax --sparse --sparse-version=0.1"} {
		t.Run(format, func(t *testing.T) {
			work := t.TempDir()
			args := append(strings.Fields(format), "--sort=name", "--numeric-owner", "-C", tree, "-cf", work+"/t.tar", ".")
			if strings.Contains(format, "pax") {
				args = append([]string{"--xattrs", "--xattrs-include=*"}, args...)
			}
			run(t, bin, args...)
			for _, d := range []string{"gnu", "tare"} {
				if err := os.Mkdir(work+"/"+d, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			run(t, bin, "--xattrs", "--xattrs-include=*", "--numeric-owner", "-p", "-C", work+"/gnu", "-xf", work+"/t.tar")
			f, err := os.Open(work + "/t.tar")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := Unpack(context.Background(), f, openRoot(t, work+"/tare"), Options{}); err != nil {
				t.Fatal(err)
			}
			compare(t, "against GNU tar", describe(t, work+"/tare"), describe(t, work+"/gnu"))
			if format == "--format=pax" {
				compare(t, "against the source", describe(t, work+"/tare"), describe(t, tree))
			}
		})
	}
}

func run(t *testing.T, bin string, args ...string) {
	t.Helper()
	cmd := exec.Command(bin, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", bin, args, err, out)
	}
}

// TestPackRoundTrip: packing what was unpacked gives the same bytes, whatever
// order they were made in.
func TestPackRoundTrip(t *testing.T) {
	testkit.Root(t, "owners and device nodes are set")
	tree := t.TempDir()
	makeTree(t, tree)
	var first, second bytes.Buffer
	if err := Pack(context.Background(), openRoot(t, tree), &first, PackOptions{}); err != nil {
		t.Fatal(err)
	}
	copied := t.TempDir()
	res, err := Unpack(context.Background(), bytes.NewReader(first.Bytes()), openRoot(t, copied), Options{Digest: true})
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "copied", describe(t, copied), describe(t, tree))
	if err := Pack(context.Background(), openRoot(t, copied), &second, PackOptions{Whiteouts: true}); err != nil {
		t.Fatal(err)
	}
	if sha256.Sum256(first.Bytes()) != sha256.Sum256(second.Bytes()) {
		t.Error("packed again, it differs")
	}
	if len(res.Implied) != 0 {
		t.Errorf("implied %v", res.Implied)
	}
}

func TestPackWhiteouts(t *testing.T) {
	testkit.Root(t, "owners and device nodes are set")
	root, _, err := unpack(t, archive(t, dir("./"), dir("d"), file("d/.wh..wh..opq"), file("d/x"), file(".wh.gone"), file(".wh..wh..opq")), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Link(root+"/gone", root+"/lost"); err != nil { // as overlayfs makes its marks
		t.Fatal(err)
	}
	if err := os.WriteFile(root+"/.wh.d", nil, 0o600); err != nil { // a container's own: it would hide d
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := Pack(context.Background(), openRoot(t, root), &buf, PackOptions{Whiteouts: true}); err != nil {
		t.Fatal(err)
	}
	again, _, err := unpack(t, buf.Bytes(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := shape(t, again), "./opaque d/opaque d/x gone! lost!"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func FuzzUnpack(f *testing.F) {
	testkit.Root(f, "owners and device nodes are set")
	f.Add(archive(f, dir("a"), file("a/b"), link("l", ".."), hard("h", "a/b"), file("l/x")))
	f.Add(archive(f, file("../x"), file("a/.wh.b"), file("a/.wh..wh..opq")))
	f.Add(archive(f, link("a", "/"), link("a/b", "../.."), file("a/b/outside")))
	f.Fuzz(func(t *testing.T, data []byte) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		base := t.TempDir()
		if err := os.WriteFile(base+"/outside", []byte("outside"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(base+"/root", 0o700); err != nil {
			t.Fatal(err)
		}
		_, err := Unpack(ctx, bytes.NewReader(data), openRoot(t, base+"/root"), Options{Limits: Limits{Bytes: 1 << 20, Entries: 1000}})
		if ctx.Err() != nil {
			t.Fatalf("took too long: %v", err)
		}
		list, err := os.ReadDir(base)
		if err != nil || len(list) != 2 {
			t.Fatalf("outside of the root: %v, %v", list, err)
		}
		if got, err := os.ReadFile(base + "/outside"); err != nil || string(got) != "outside" {
			t.Fatalf("outside of the root: %q, %v", got, err)
		}
	})
}
