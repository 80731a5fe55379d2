package verify

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/tare-engine/tare/test/verify/rig"
)

// debian returns a tar file of Debian's smallest root, made by mmdebstrap from
// the machine's mirror, which takes a minute, and kept below .cache.
func debian(t *testing.T) string {
	t.Helper()
	repo, err := rig.Repository()
	if err != nil {
		t.Fatal(err)
	}
	cached := repo + "/.cache/debian/bookworm-" + runtime.GOARCH + ".tar"
	if _, err := os.Stat(cached); err == nil {
		return cached
	}
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		t.Skip("needs mmdebstrap")
	}
	if err := os.MkdirAll(filepath.Dir(cached), 0o755); err != nil {
		t.Skipf("nowhere to keep a Debian root: %v", err)
	}
	temp := filepath.Join(t.TempDir(), "root.tar")
	// Its mounts stay in a namespace of its own.
	cmd := exec.Command("unshare", "-m", "--propagation", "private",
		"mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "bookworm", temp)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("mmdebstrap cannot make a Debian root here: %v\n%s", err, lastLines(out, 3))
	}
	// The temporary directory may be on another file system.
	next := cached + ".new"
	if out, err := exec.Command("cp", temp, next).CombinedOutput(); err != nil {
		t.Skipf("keep the Debian root: %v\n%s", err, out)
	}
	if err := os.Rename(next, cached); err != nil {
		t.Fatal(err)
	}
	return cached
}

func lastLines(b []byte, n int) []byte {
	all := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return bytes.Join(all[max(0, len(all)-n):], []byte("\n"))
}

// TestDebian runs a real distribution's root: bash, perl, apt and dpkg.
func TestDebian(t *testing.T) {
	t.Parallel()
	root := debian(t)
	r := rig.Test(t)
	r.Must(t, "import", root, "debian:bookworm")
	for _, tt := range []struct {
		cmd, want string
		flags     []string
	}{
		{cmd: "shopt -q extglob; echo ${BASH_VERSION%%.*} <(:)", want: "5 /dev/fd/"},
		{cmd: `perl -e 'print join ",", map { $_ * $_ } 1..5'`, want: "1,4,9,16,25"},
		{cmd: "apt-get --version | head -n 1", want: "apt 2."},
		{cmd: "apt-get -s remove tzdata", want: "Remv tzdata"},
		// Every file is as its package made it.
		{cmd: "dpkg --verify && dpkg -l dpkg | tail -n 1", want: "ii  dpkg "},
		{cmd: "DEBIAN_FRONTEND=noninteractive dpkg --purge tzdata", want: "Removing tzdata"},
		{cmd: "useradd -m -u 1234 tester && su tester -c 'cd && pwd && id -u'", want: "/home/tester\n1234"},
		{cmd: "id -un; umask; getent hosts localhost", want: "root\n0022\n", flags: []string{"--hostname", "box"}},
		{cmd: "id -un; pwd; cat /proc/self/loginuid >/dev/null; echo $HOME", want: "games\n/\n/usr/games", flags: []string{"-u", "games"}},
		{cmd: "mount -t tmpfs none /mnt || echo refused", want: "refused"},
		{cmd: "stat -c '%U %a' /usr/bin/su /tmp; touch /tmp/x; chown games /tmp/x; stat -c %U /tmp/x", want: "root 4755\nroot 1777\ngames", flags: []string{"--userns", "private"}},
		{cmd: "touch /x 2>&1 || touch /tmp/x && ls /tmp", want: "x", flags: []string{"--read-only", "--tmpfs", "/tmp"}},
	} {
		args := append(append([]string{"run", "--rm"}, tt.flags...), "debian:bookworm", "bash", "-c", tt.cmd)
		res := r.Run(t, args...)
		if strings.Contains(res.Err, "tare: ") && strings.Contains(res.Err, "needs Linux") || strings.Contains(res.Err, "/etc/subuid") {
			t.Logf("skipped %v: %s", tt.flags, res.Err)
			continue
		}
		if res.Code != 0 || !strings.Contains(res.Out, tt.want) {
			t.Errorf("%v %s: %+v, want %q", tt.flags, tt.cmd, res, tt.want)
		}
	}
	// What one container does, another does not see.
	if out := r.Must(t, "run", "--rm", "debian:bookworm", "bash", "-c", "dpkg -l tzdata | tail -n 1; id tester 2>&1"+" || true"); !strings.Contains(out, "ii  tzdata") || !strings.Contains(out, "no such user") {
		t.Errorf("the image has changed: %s", out)
	}
	r.Must(t, "rmi", "debian:bookworm")
}
