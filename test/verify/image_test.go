package verify

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tare-engine/tare/test/verify/rig"
)

// TestImage: nothing that is written, changed or removed inside reaches the
// image, whoever does it.
func TestImage(t *testing.T) {
	t.Parallel()
	r := rig.Test(t)
	tree := "find / -xdev | sort; cat /etc/passwd; ls -l /bin"
	r.Must(t, "run", "--rm", "tare/base", "true") // brings the image in
	before := digest(t, r.Root+"/layers")
	inside := r.Must(t, "run", "--rm", "tare/base", "sh", "-c", tree)

	spoil := "echo x >/new; echo x >>/etc/passwd; chmod 4777 /etc/group; chown 7 /etc; mv /etc/os-release /moved;" +
		" rm -rf /bin/cat /usr/share /var; mkdir -p /usr/share/new; ln -s /proc /link; mknod /device c 1 3; truncate -s 0 /etc/hosts; test -e /new"
	for _, flags := range [][]string{{"--rm"}, {"--rm", "--privileged"}, {"--name", "kept"}, {"--rm", "-u", "1000", "--cap-add", "ALL"}} {
		args := append(append([]string{"run"}, flags...), "tare/base", "sh", "-c", spoil)
		if res := r.Run(t, args...); res.Code != 0 && !strings.Contains(strings.Join(flags, " "), "-u") {
			t.Errorf("%v: exit code %d\n%s", flags, res.Code, res.Err)
		}
		if digest(t, r.Root+"/layers") != before {
			t.Fatalf("%v: the image's files have changed", flags)
		}
	}
	if again := r.Must(t, "run", "--rm", "tare/base", "sh", "-c", tree); again != inside {
		t.Errorf("another container of the image sees\n%s\nwas\n%s", again, inside)
	}
	r.Must(t, "rm", "kept")
	if digest(t, r.Root+"/layers") != before {
		t.Error("removing the container has changed the image's files")
	}
}

// digest sums up names, kinds, modes, owners, times and contents below dir.
func digest(t *testing.T, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st syscall.Stat_t
		if err := syscall.Lstat(path, &st); err != nil {
			return err
		}
		fmt.Fprintln(h, path, st.Mode, st.Uid, st.Gid, st.Rdev, st.Size, st.Mtim)
		switch st.Mode & syscall.S_IFMT {
		case syscall.S_IFLNK:
			target, err := os.Readlink(path)
			fmt.Fprintln(h, target)
			return err
		case syscall.S_IFREG:
			b, err := os.ReadFile(path)
			h.Write(b)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(h.Sum(nil))
}
