package verify

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/test/verify/rig"
)

// TestLayers: an image of 70 layers, more than mount(2) has room for. Each
// replaces a file, adds one, and every other one removes what the one below
// has added or hides a directory.
func TestLayers(t *testing.T) {
	t.Parallel()
	r := rig.Test(t)
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skip("needs /bin/busybox (busybox-static)")
	}
	const n = 70
	layers := []io.Reader{layer(t, "bin/sh", string(busybox), "etc/passwd", "user:x:1000:1000::/home/user:/bin/sh\n", "old/file", "")}
	var want []string
	for i := 1; i < n; i++ {
		entries := []string{"top", fmt.Sprint(i), fmt.Sprintf("own/%02d", i), fmt.Sprintf("of %d", i)}
		switch {
		case i == n-1:
			entries = append(entries, "old/.wh..wh..opq", "", "old/new", "")
			want = append(want, fmt.Sprintf("%02d", i))
		case i%2 == 0: // without the one below
			entries = append(entries, fmt.Sprintf("own/.wh.%02d", i-1), "")
			want = append(want, fmt.Sprintf("%02d", i))
		}
		layers = append(layers, layer(t, entries...))
	}
	_, err = store.Open(r.Root).AddImage(context.Background(), "many:70", store.Platform{}, api.ImageDefaults{
		Env: []string{"PATH=/bin", "LAYERS=70"}, Entrypoint: []string{"sh", "-c"}, WorkingDir: "/own", User: "user",
	}, layers...)
	if err != nil {
		t.Fatal(err)
	}
	out := r.Must(t, "run", "--rm", "many:70", "id -u; pwd; echo $LAYERS $HOME; cat /top; echo; cat 02; echo; ls /own | tr '\\n' ' '; echo; ls /old")
	wanted := fmt.Sprintf("1000\n/own\n70 /home/user\n%d\nof 2\n%s \nnew\n", n-1, strings.Join(want, " "))
	if out != wanted {
		t.Errorf("inside:\n%s\nwant:\n%s", out, wanted)
	}
	out = r.Must(t, "run", "--rm", "-u", "0", "many:70", "echo changed >/top; rm 02; mkdir /old/dir; cat /top; ls | wc -l")
	if want := fmt.Sprintf("changed\n%d\n", len(want)-1); out != want {
		t.Errorf("changed: %q, want %q", out, want)
	}
	if out := r.Must(t, "run", "--rm", "many:70", "cat /top"); out != fmt.Sprint(n-1) {
		t.Errorf("/top is %q after another container has changed it", out)
	}
	r.Must(t, "rmi", "many:70")
}

// layer makes a tar of files and their contents.
func layer(t *testing.T, files ...string) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		h := tar.Header{Name: files[i], Mode: 0o755, Size: int64(len(files[i+1])), Typeflag: tar.TypeReg}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}
