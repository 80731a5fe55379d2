package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/testkit"
)

func dir(name string) tar.Header { return tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755} }

func file(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644} }

func link(name, to string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to, Mode: 0o777}
}

func hard(name, to string) tar.Header {
	return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: to}
}

// archive makes a tar stream; regular files contain their name.
func archive(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, h := range headers {
		data := ""
		if h.Typeflag == tar.TypeReg && h.Size == 0 {
			data = h.Name
			h.Size = int64(len(data))
		}
		if h.ModTime.IsZero() {
			h.ModTime = time.Unix(1_600_000_000, 0)
		}
		if err := tw.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write([]byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Flush(); err != nil && headers[len(headers)-1].Size == 0 {
		t.Fatal(err)
	}
	return append(buf.Bytes(), make([]byte, 1024)...)
}

func unpack(t testing.TB, data []byte, o Options) (string, Result, error) {
	t.Helper()
	base := t.TempDir()
	root := filepath.Join(base, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(base, "outside"), []byte("outside"), 0o644); err != nil {
		t.Fatal(err)
	}
	before := describe(t, base)
	res, err := Unpack(context.Background(), bytes.NewReader(data), openRoot(t, root), o)
	after := describe(t, base)
	if before[1] != after[1] || !strings.HasPrefix(after[2], "root ") {
		t.Errorf("changed outside of the root:\n%s\n%s", before, after)
	}
	return root, res, err
}

func TestUnpackShape(t *testing.T) {
	testkit.Root(t, "owners and device nodes are set")
	for _, tt := range []struct {
		name    string
		entries []tar.Header
		want    string
		implied string
	}{
		{"plain", []tar.Header{dir("./"), dir("a/"), file("a/b"), link("l", "a/b")}, "a/ a/b l@", ""},
		{"absolute names", []tar.Header{dir("/"), file("/a"), file("///b")}, "a b", ""},
		{"dots inside", []tar.Header{dir("."), file("x/../a"), file("./b/./c")}, "a b/ b/c", "b"},
		{"missing parents", []tar.Header{file("a/b/c"), dir("a/b")}, "a/ a/b/ a/b/c", ". a"},
		{"last file wins", []tar.Header{file("a"), file("a")}, "a", "."},
		{"file to directory", []tar.Header{file("a"), dir("a"), file("a/b")}, "a/ a/b", "."},
		{"directory to file", []tar.Header{dir("a"), file("a/b/c"), file("a")}, "a", "."},
		{"directory to file, back", []tar.Header{dir("a"), file("a/b/c"), file("a"), dir("a"), file("a/b/d")}, "a/ a/b/ a/b/d", ". a/b"},
		{"directory twice", []tar.Header{dir("a"), file("a/b"), dir("a")}, "a/ a/b", "."},
		{"link to directory", []tar.Header{dir("d"), link("l", "d"), file("l/f")}, "d/ d/f l@", "."},
		{"link to directory, replaced", []tar.Header{dir("d"), file("d/f"), link("l", "d"), dir("l"), file("l/g")}, "d/ d/f l/ l/g", "."},
		{"directory to link", []tar.Header{dir("d"), dir("a"), file("a/x"), link("a", "d"), file("a/y")}, "a@ d/ d/y", "."},
		{"absolute link stays inside", []tar.Header{dir("etc"), link("l", "/etc"), file("l/f")}, "etc/ etc/f l@", "."},
		{"link above the root stays inside", []tar.Header{dir("etc"), link("l", "../../../etc"), file("l/f")}, "etc/ etc/f l@", "."},
		{"link cut by its target", []tar.Header{dir("d"), dir("d/s"), link("l", "d"), dir("l/s"), file("d")}, "d l@", "."},
		{"file over dangling link", []tar.Header{link("l", "../outside"), file("l")}, "l", "."},
		{"hard link", []tar.Header{file("a"), hard("b", "a"), hard("c", "/a"), hard("a", "a")}, "a b c", "."},
		{"hard link to a symbolic link", []tar.Header{link("l", "../outside"), hard("m", "l")}, "l@ m@", "."},
		{"hard link through a link", []tar.Header{file("d/f"), link("l", "d"), hard("x", "l/f")}, "d/ d/f l@ x", ". d"},
		{"hard link over a whiteout", []tar.Header{file("f"), file(".wh.x"), hard("x", "f")}, "f x", "."},
		{"whiteout after its hard link", []tar.Header{file("f"), hard("x", "f"), file(".wh.f")}, "f x", "."},
		{"only whiteouts", []tar.Header{file("a/b/.wh.c"), file("a/.wh.d"), file("e/.wh..wh..opq")}, "a/ a/b/ a/b/c! a/d! e/opaque", ". a a/b e"},
		{"hard link over a directory", []tar.Header{file("f"), file("d/x"), hard("d", "f")}, "d f", "."},
		{"fifo and device", []tar.Header{
			{Typeflag: tar.TypeFifo, Name: "p", Mode: 0o600}, {Typeflag: tar.TypeChar, Name: "null", Mode: 0o666, Devmajor: 1, Devminor: 3},
		}, "null# p|", "."},

		{"whiteout", []tar.Header{dir("d"), file("d/.wh.x"), file(".wh.y")}, "d/ d/x! y!", "."},
		{"whiteout after the file", []tar.Header{file("x"), file(".wh.x")}, "x", "."},
		{"whiteout before the file", []tar.Header{file(".wh.x"), file("x")}, "x", "."},
		{"whiteout after the directory", []tar.Header{file("x/y"), file(".wh.x")}, "x/opaque x/y", ". x"},
		{"whiteout before the directory", []tar.Header{file(".wh.x"), dir("x"), file("x/y")}, "x/opaque x/y", "."},
		{"whiteout before an implied directory", []tar.Header{file(".wh.x"), file("x/y/z")}, "x/opaque x/y/ x/y/z", ". x/y"},
		{"whiteout twice", []tar.Header{file(".wh.x"), file(".wh.x")}, "x!", "."},
		{"whiteout of a link", []tar.Header{link("x", "/"), file(".wh.x")}, "x@", "."},
		{"opaque", []tar.Header{dir("d"), file("d/.wh..wh..opq"), file("d/x")}, "d/opaque d/x", "."},
		{"opaque last", []tar.Header{dir("d"), file("d/x"), file("d/.wh..wh..opq")}, "d/opaque d/x", "."},
		{"opaque root", []tar.Header{file(".wh..wh..opq")}, "./opaque", "."},
		{"opaque through a link", []tar.Header{dir("d"), link("l", "d"), file("l/.wh..wh..opq")}, "d/opaque l@", "."},
		{"aufs bookkeeping", []tar.Header{dir(".wh..wh.plnk"), file(".wh..wh.aufs")}, "", "."},
		{"aufs links", []tar.Header{
			dir(".wh..wh.plnk"), file(".wh..wh.plnk/1.2"), file(".wh..wh.aufs"), dir("d"), hard("d/p", ".wh..wh.plnk/1.2"),
		}, "d/ d/p", "."},
		{"reserved names", []tar.Header{file(".wh.a/b"), file("c/.wh..wh.orph/x"), dir(".wh..wh.plnk/s"), link(".wh..wh.plnk/l", "/"), file("c/d")}, "c/ c/d", ". c"},
		{"forged mark", []tar.Header{{
			Typeflag: tar.TypeDir, Name: "d", Mode: 0o755, PAXRecords: map[string]string{"SCHILY.xattr.trusted.overlay.opaque": "y"},
		}}, "d/", "."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root, res, err := unpack(t, archive(t, tt.entries...), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got := shape(t, root); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if got := strings.Join(res.Implied, " "); got != tt.implied {
				t.Errorf("implied %q, want %q", got, tt.implied)
			}
		})
	}
}

func TestUnpackRefuses(t *testing.T) {
	testkit.Root(t, "owners and device nodes are set")
	whole := archive(t, dir("a"), file("a/b"))
	huge := file("huge")
	huge.Size = 1 << 50
	badID := file("f")
	badID.Uid = 1<<32 - 1
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"climbing name", archive(t, file("../x")), `unpack "../x": the name leaves the layer`},
		{"climbing inside", archive(t, file("a/../../x")), `unpack "a/../../x": the name leaves the layer`},
		{"root as a file", archive(t, link("./", "/etc")), `unpack "./": the root is not a directory`},
		{"below a file", archive(t, file("a"), file("a/b")), `unpack "a/b": not a directory`},
		{"below a dangling link", archive(t, link("l", "../outside/x"), file("l/f")), `unpack "l/f": not a directory`},
		{"link loop", archive(t, link("l", "l"), file("l/f")), `unpack "l/f": too many levels of symbolic links`},
		{"hard link outside", archive(t, hard("x", "../outside")), `unpack "x": its link target leaves the layer`},
		{"hard link through a link", archive(t, link("l", ".."), hard("x", "l/outside")), `unpack "x": its link target l/outside does not exist`},
		{"hard link to a whiteout", archive(t, file(".wh.y"), hard("x", "y")), `unpack "x": its link target y does not exist`},
		{"hard link to nothing", archive(t, hard("x", "y")), `unpack "x": its link target y does not exist`},
		{"hard link to a directory", archive(t, dir("d"), hard("x", "d")), `unpack "x": its link target d cannot be linked`},
		{"whiteout of nothing", archive(t, file("d/.wh.")), `unpack "d/.wh.": the whiteout names nothing`},
		{"whiteout of the parent", archive(t, file("d/.wh...")), `unpack "d/.wh...": the whiteout names nothing`},
		{"device number", archive(t, tar.Header{Typeflag: tar.TypeChar, Name: "c", Devmajor: 1 << 12}), `unpack "c": device number out of range`},
		{"owner", archive(t, badID), `unpack "f": owner out of range`},
		{"odd type", archive(t, tar.Header{Typeflag: 'V', Name: "v"}), `unpack "v": entries of type 'V' are not supported`},
		{"bytes", archive(t, huge), `unpack "huge": the layer has more than 1048576 bytes`},
		{"entries", archive(t, many(101)...), `unpack layer: more than 100 entries`},
		{"depth", archive(t, file(strings.Repeat("d/", 20)+"f")), `unpack "` + strings.Repeat("d/", 20) + `f"…: deeper than 20 directories`},
		{"long name", archive(t, file(strings.Repeat("x", 300))), `unpack "` + strings.Repeat("x", 300) + `": file name too long`},
		{"cut short", whole[:len(whole)-1024-512], `unpack "a/b": unexpected EOF`},
		{"no tar", bytes.Repeat([]byte("no tar "), 300), `unpack layer: no valid tar archive`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := unpack(t, tt.data, Options{Limits: Limits{Bytes: 1 << 20, Entries: 100, Depth: 20}})
			if err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			if fault.KindOf(err) != fault.Invalid {
				t.Errorf("kind %v, want invalid", fault.KindOf(err))
			}
		})
	}
}

// TestUnpackBounds: what counts is what comes out of a stream, not what its
// headers say.
func TestUnpackBounds(t *testing.T) {
	testkit.Root(t, "owners and device nodes are set")
	// Go's writer refuses such a header.
	pax := archive(t, file("f"))[:512]
	copy(pax[124:], fmt.Sprintf("%011o", 2<<20))
	pax[156] = 'x'
	copy(pax[148:], "        ")
	check := 0
	for _, b := range pax {
		check += int(b)
	}
	copy(pax[148:], fmt.Sprintf("%06o\x00 ", check))
	pax = append(pax, bytes.Repeat([]byte("20 path=aaaaaaaaaaa\n"), 2<<20/20+1)...)
	padded := append(archive(t, file("f")), make([]byte, 1<<20)...)
	full := errors.New("enough")
	for _, tt := range []struct {
		name string
		data []byte
		o    Options
		want string
	}{
		{"stream", padded, Options{MaxStream: 100_000}, "unpack layer: it decompresses to more than 100000 bytes, far too much for its size"},
		{"PAX header", pax, Options{}, "unpack layer: no valid tar archive"},
		{"charge", archive(t, file("f")), Options{Charge: func(int64) error { return full }}, `unpack "f": enough`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := unpack(t, tt.data, tt.o)
			if err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

// TestUnpackUserXattr: the store of a user namespace has other marks and no
// devices.
func TestUnpackUserXattr(t *testing.T) {
	testkit.Root(t, "owners and device nodes are set")
	char := tar.Header{Typeflag: tar.TypeChar, Name: "null", Mode: 0o666, Devmajor: 1, Devminor: 3}
	fifo := tar.Header{Typeflag: tar.TypeFifo, Name: "p", Mode: 0o600}
	root, res, err := unpack(t, archive(t, dir("d"), file("d/.wh..wh..opq"), file(".wh.x"), char, fifo), Options{UserXattr: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := shape(t, root); got != "d/ p| x!" || res.Devices != 1 {
		t.Errorf("got %s, %d devices left out", got, res.Devices)
	}
	v := make([]byte, 1)
	if n, err := unix.Lgetxattr(root+"/d", "user.overlay.opaque", v); err != nil || string(v[:n]) != "y" {
		t.Errorf("mark %q, %v", v, err)
	}
	var out bytes.Buffer
	if err := Pack(context.Background(), openRoot(t, root), &out, PackOptions{Whiteouts: true, UserXattr: true}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(out.Bytes(), []byte("d/.wh..wh..opq")) || bytes.Contains(out.Bytes(), []byte("user.overlay")) {
		t.Error("packed without the mark")
	}
}

func many(n int) []tar.Header {
	list := make([]tar.Header, n)
	for i := range list {
		list[i] = file(fmt.Sprint(i))
	}
	return list
}

func TestUnpackAttributes(t *testing.T) {
	testkit.Root(t, "owners and device nodes are set")
	when := time.Unix(1_234_567_890, 123_456_789)
	caps := "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	set := func(h tar.Header) tar.Header {
		h.Mode, h.Uid, h.Gid, h.ModTime = h.Mode|0o6000, 3_000_000_000, 70_000, when
		h.Format = tar.FormatPAX
		h.PAXRecords = map[string]string{"SCHILY.xattr.security.selinux": "u:r:t:s0", "SCHILY.xattr.trusted.x": "1"}
		return h
	}
	f, d, root := set(file("f")), set(dir("d")), set(dir("."))
	f.PAXRecords["SCHILY.xattr.security.capability"] = caps
	dev := set(tar.Header{Typeflag: tar.TypeBlock, Name: "b", Mode: 0o600, Devmajor: 4000, Devminor: 1_000_000})
	dir, res, err := unpack(t, archive(t, root, f, d, set(link("l", "f")), dev, file("d/late")), Options{})
	if err != nil {
		t.Fatal(err)
	}
	const tail = " 3000000000:70000"
	const at = " 1234567890.123456789"
	sum := fmt.Sprintf(" 1 %x", sha256.Sum256([]byte("f")))
	for i, want := range []string{
		". 46755" + tail + at + ` trusted.x="1"`,
		"b 66600" + tail + " dev 4000:1000000" + at + ` trusted.x="1"`,
		"d 46755" + tail + at + ` trusted.x="1"`,
		"d/late ",
		"f 106644" + tail + sum + at + fmt.Sprintf(" security.capability=%q", caps) + ` trusted.x="1"`,
		"l 120777" + tail + " ->f" + at + ` trusted.x="1"`,
	} {
		if got := describe(t, dir)[i]; !strings.HasPrefix(got, want) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	if res.Skipped != 0 {
		t.Errorf("%d attributes skipped", res.Skipped)
	}
}

func TestUnpackSparse(t *testing.T) {
	testkit.Root(t, "owners and device nodes are set")
	const size = 64 << 20
	h := file("sparse")
	h.Size = size
	data := archive(t, h)
	data = data[:512]
	body := make([]byte, size)
	copy(body[size/2:], "middle")
	data = append(append(data, body...), make([]byte, 1024)...)
	root, _, err := unpack(t, data, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(root, "sparse"), &st); err != nil {
		t.Fatal(err)
	}
	if st.Size != size || st.Blocks*512 > 256<<10 {
		t.Errorf("size %d, %d bytes on disk", st.Size, st.Blocks*512)
	}
	got, err := os.ReadFile(filepath.Join(root, "sparse"))
	if err != nil || !bytes.Equal(got, body) {
		t.Errorf("content differs (%v)", err)
	}
}

func TestUnpackDigest(t *testing.T) {
	testkit.Root(t, "owners and device nodes are set")
	data := append(archive(t, file("a")), "what follows counts"...)
	_, res, err := unpack(t, data, Options{Digest: true})
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("sha256:%x", sha256.Sum256(data)); res.DiffID != want || res.Size != int64(len(data)) {
		t.Errorf("got %s, %d bytes", res.DiffID, res.Size)
	}
}

func TestUnpackCanceled(t *testing.T) {
	testkit.Root(t, "owners and device nodes are set")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := Unpack(ctx, bytes.NewReader(archive(t, many(50)...)), openRoot(t, t.TempDir()), Options{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
}

func TestDecompress(t *testing.T) {
	plain := archive(t, file("a"))
	var gz bytes.Buffer
	z := gzip.NewWriter(&gz)
	if _, err := z.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		in   []byte
		want string // of the error
	}{
		{"plain", plain, ""},
		{"gzip", gz.Bytes(), ""},
		{"cut gzip", gz.Bytes()[:gz.Len()-6], "decompress layer: it is cut short"},
		{"zstd", []byte("\x28\xb5\x2f\xfd...."), "decompress layer: zstd is not supported"},
		{"xz", []byte("\xfd7zXZ\x00..."), "decompress layer: xz is not supported"},
		{"short", []byte("x"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := Decompress(bytes.NewReader(tt.in), nil)
			var out bytes.Buffer
			if err == nil {
				_, err = out.ReadFrom(r)
			}
			if tt.want != "" {
				if err == nil || err.Error() != tt.want {
					t.Errorf("got %v, want %s", err, tt.want)
				}
				return
			}
			if err != nil || len(tt.in) > 1 && !bytes.Equal(out.Bytes(), plain) {
				t.Errorf("content differs (%v)", err)
			}
		})
	}
}
