package container

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/testkit"
	"golang.org/x/sys/unix"
)

func cwd(dir string) edit { return func(c *Config) { c.Spec.Process.Cwd = dir } }

func TestCwd(t *testing.T) {
	testkit.Containers(t)
	v := volume(t)
	for dir, want := range map[string]string{
		"/": "/", "/etc": "/etc", "/new/dir": "/new/dir", "/etc/../bin": "/bin", "/link": "/end", "/tmp/x": "/tmp/x", "/proc/1": "/proc/1", "/v": "/v",
	} {
		out := sh(t, "pwd -P; stat -c %a:%u .", cwd(dir), bind(v, "/v"), func(c *Config) {
			must(t, os.Symlink("../../end", c.Root.Bind+"/link"))
			must(t, os.Mkdir(c.Root.Bind+"/end", 0o755))
		})
		if got, _, _ := strings.Cut(out, "\n"); got != want {
			t.Errorf("%s: in %q", dir, got)
		}
	}
	// Made in the image's own tree although the root is read-only.
	if out := sh(t, "pwd", cwd("/work/dir"), func(c *Config) { c.Spec.Root.Readonly = true }); out != "/work/dir\n" {
		t.Errorf("read-only root: in %q", out)
	}
	// A relative program is found from there.
	if out, _, err := output(t, newConfig(t, []string{"./busybox", "pwd"}, cwd("/bin"))); err != nil || out != "/bin\n" {
		t.Errorf("./busybox: %q, %v", out, err)
	}
}

// TestCwdRefused: no descriptor of the host's becomes the working directory
// (CVE-2024-21626).
func TestCwdRefused(t *testing.T) {
	testkit.Containers(t)
	for dir, want := range map[string]string{
		"/proc/self/fd/3": "too many levels", "/proc/self/fd/7": "too many levels", "/proc/self/fd/8/..": "", "/proc/self/cwd": "too many levels",
		"/link": "too many levels", "/proc/1/root/etc": "too many levels", "/bin/sh": "not a directory", "/dangling": "no such file",
	} {
		_, _, err := output(t, newConfig(t, shell("pwd; ls; true"), cwd(dir), func(c *Config) {
			must(t, os.Symlink("/proc/self/fd/3/", c.Root.Bind+"/link"))
			must(t, os.Symlink("nowhere", c.Root.Bind+"/dangling"))
		}))
		if want == "" {
			continue // "/proc/self/fd", a name of the container's own
		}
		if err == nil || !strings.HasPrefix(err.Error(), "working directory "+dir+": "+want) {
			t.Errorf("%s: error %v, want %s", dir, err, want)
		}
	}
}

// TestDescriptors: the program has 0, 1 and 2 and nothing else, whatever the
// engine has open.
func TestDescriptors(t *testing.T) {
	testkit.Containers(t)
	dir, err := os.Open(t.TempDir())
	must(t, err)
	defer dir.Close()
	inherited, err := unix.FcntlInt(dir.Fd(), unix.F_DUPFD, 50) // not close-on-exec
	must(t, err)
	defer unix.Close(inherited)
	if out := sh(t, "ls /proc/$$/fd; true"); out != "0\n1\n2\n" {
		t.Errorf("descriptors %q", out)
	}
	// A standard descriptor that was given without close-on-exec is not left twice.
	r, w, err := os.Pipe()
	must(t, err)
	given, err := unix.FcntlInt(w.Fd(), unix.F_DUPFD, 60)
	must(t, err)
	c, err := Make(newConfig(t, shell("ls /proc/$$/fd; true"), func(c *Config) { c.Stdout, c.Stderr = given, given }), nil)
	must(t, err)
	must(t, c.Start())
	must(t, errors.Join(w.Close(), unix.Close(given)))
	b, err := io.ReadAll(r)
	must(t, errors.Join(err, r.Close()))
	finish(t, c)
	if string(b) != "0\n1\n2\n" {
		t.Errorf("descriptors %q of a given one", b)
	}
}

// TestStdinIsOwnNull: without a standard input the program reads the
// container's own /dev/null.
func TestStdinIsOwnNull(t *testing.T) {
	testkit.Containers(t)
	var own unix.Stat_t
	must(t, unix.Stat("/dev/null", &own))
	out := sh(t, "cat; stat -L -c '%t:%T %i %d' /dev/null /proc/self/fd/0; chmod 000 /proc/self/fd/0")
	lines := strings.Split(out, "\n")
	if len(lines) < 2 || lines[0] != lines[1] || !strings.HasPrefix(lines[0], "1:3 ") {
		t.Errorf("got %q", out)
	}
	var after unix.Stat_t
	must(t, unix.Stat("/dev/null", &after))
	if after.Mode != own.Mode {
		t.Errorf("the host's /dev/null has mode %o", after.Mode)
	}
}

func TestPipes(t *testing.T) {
	s := start(t, newConfig(t, shell("cat; echo end >&2")))
	go func() {
		_, _ = s.in.Write(bytes.Repeat([]byte("x"), 1<<20))
		_ = s.in.Close()
	}()
	b, err := io.ReadAll(s.out)
	must(t, err)
	if len(b) != 1<<20+4 || !bytes.HasSuffix(b, []byte("end\n")) {
		t.Errorf("%d bytes", len(b))
	}
}

func terminal(c *Config) { c.Spec.Process.Terminal = true }

// dialogue runs a container with a terminal and returns all that it shows.
func dialogue(t *testing.T, cfg Config, input string) (string, int) {
	t.Helper()
	c, err := Make(cfg, nil)
	must(t, err)
	must(t, c.Start())
	_, err = c.Console.WriteString(input)
	must(t, err)
	var b bytes.Buffer
	_, err = io.Copy(&b, c.Console)
	// EIO is a terminal's end: nobody holds the other side any more.
	if err != nil && !errors.Is(err, unix.EIO) {
		t.Error(err)
	}
	return strings.ReplaceAll(b.String(), "\r\n", "\n"), finish(t, c)
}

func TestTerminal(t *testing.T) {
	testkit.Containers(t)
	cfg := newConfig(t, shell(`tty; stty size; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo terminal
		stat -c '%t:%T %a' /dev/console; stat -c '%F' /dev/tty; echo direct >/dev/tty; echo console >/dev/console; ls /dev/pts | sort
		ls -1 /proc/$$/fd; cut -d' ' -f5,6,7,8 /proc/$$/stat; exit 5`),
		terminal, func(c *Config) { c.Spec.Process.ConsoleSize = &specs.Box{Height: 33, Width: 111} })
	out, code := dialogue(t, cfg, "")
	want := "/dev/pts/0\n33 111\nterminal\n88:0 620\ncharacter special file\ndirect\nconsole\n0\nptmx\n0\n1\n2\n"
	if !strings.HasPrefix(out, want) || code != 5 {
		t.Errorf("code %d, got\n%swant\n%s", code, out, want)
	}
	// process group, session, terminal, foreground group
	if f := strings.Fields(out[min(len(want), len(out)):]); len(f) != 4 || f[0] != "1" || f[1] != "1" || f[2] != "34816" {
		t.Errorf("session: %q", f)
	}
}

func TestTerminalOwner(t *testing.T) {
	out, _ := dialogue(t, newConfig(t, shell("stat -c %u:%g $(tty); echo x >/dev/console; echo y >$(tty)"), terminal,
		func(c *Config) { c.Spec.Process.User.UID = 1000 }), "")
	if out != "1000:5\nx\ny\n" {
		t.Errorf("got %q", out)
	}
}

// TestTerminalUserNS: the pty belongs to the container's ids.
func TestTerminalUserNS(t *testing.T) {
	out, _ := dialogue(t, newConfig(t, shell("stat -c %u:%g $(tty); tty"), terminal, withUserNS), "")
	if out != "0:5\n/dev/pts/0\n" {
		t.Errorf("got %q", out)
	}
}

// TestTerminalInput: end of file, interrupt and a lot of data.
func TestTerminalInput(t *testing.T) {
	out, code := dialogue(t, newConfig(t, shell("stty -echo; read a; echo got $a; cat; echo end"), terminal), "hello\nmore\n\x04")
	if !strings.HasSuffix(out, "got hello\nmore\nend\n") || code != 0 {
		t.Errorf("code %d, got %q", code, out)
	}
	// The child is the foreground job: the interrupt is its, not the shell's,
	// which as process 1 would not take it.
	c, err := Make(newConfig(t, shell("set -m; sh -c 'echo ready; read x'; true"), terminal), nil)
	must(t, err)
	must(t, c.Start())
	r := bufio.NewReader(c.Console)
	if l, err := r.ReadString('\n'); err != nil || l != "ready\r\n" {
		t.Fatalf("says %q, %v", l, err)
	}
	_, err = c.Console.WriteString("\x03")
	must(t, err)
	rest, _ := io.ReadAll(r) // ends with EIO
	if code := finish(t, c); code != 130 || string(rest) != "^C" {
		t.Errorf("interrupt: code %d, got %q", code, rest)
	}
	out, _ = dialogue(t, newConfig(t, shell("yes 0123456789abcde | head -n 20000"), terminal), "")
	if want := strings.Repeat("0123456789abcde\n", 20000); out != want {
		t.Errorf("%d bytes of %d", len(out), len(want))
	}
}

// TestTerminalHangup: with the engine's side gone the session gets SIGHUP.
func TestTerminalHangup(t *testing.T) {
	c, err := Make(newConfig(t, shell("trap 'exit 9' HUP; echo ready; while :; do read x || exit 8; done"), terminal), nil)
	must(t, err)
	must(t, c.Start())
	b := make([]byte, 16)
	n, err := c.Console.Read(b)
	must(t, err)
	if !bytes.HasPrefix(b[:n], []byte("ready")) {
		t.Fatalf("says %q", b[:n])
	}
	must(t, c.Console.Close())
	c.Console = nil
	if code := finish(t, c); code != 9 && code != 8 { // the read ends too
		t.Errorf("exit code %d", code)
	}
}

// TestTerminalNeedsDevpts: an image's own ptmx is not asked.
func TestTerminalNeedsDevpts(t *testing.T) {
	cfg := newConfig(t, shell("true"), terminal, func(c *Config) {
		c.Spec.Mounts = c.Spec.Mounts[:1]
		must(t, os.Mkdir(c.Root.Bind+"/dev/pts", 0o755))
		must(t, os.WriteFile(path.Join(c.Root.Bind, "/dev/pts/ptmx"), nil, 0o644))
	})
	noTraces(t, func() {
		if _, _, err := output(t, cfg); err == nil || !strings.HasPrefix(err.Error(), "open a terminal: ") {
			t.Errorf("error %v", err)
		}
	})
}
