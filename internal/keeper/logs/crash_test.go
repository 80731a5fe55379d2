package logs

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestTorn cuts the files of a log off at every length that a crash may leave:
// what is read is a prefix, and the next writer goes on.
func TestTorn(t *testing.T) {
	output := []piece{{Stdout, "one\n", 0}, {Stderr, "twotwo\n", 1}, {Stdout, "three\n", 2}}
	const whole = "one\ntwotwo\nthree\n"
	for _, driver := range fileDrivers {
		orig := t.TempDir()
		c := config(driver)
		w, err := Open(orig, c)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range output {
			w.Write(o.stream, []byte(o.text), t0)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(orig)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			b, err := os.ReadFile(filepath.Join(orig, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			for cut := range len(b) + 1 {
				for _, zeros := range []int{0, 30} {
					dir := t.TempDir()
					if err := os.CopyFS(dir, os.DirFS(orig)); err != nil {
						t.Fatal(err)
					}
					torn := append(bytes.Clone(b[:cut]), make([]byte, zeros)...)
					if err := os.WriteFile(filepath.Join(dir, e.Name()), torn, 0o600); err != nil {
						t.Fatal(err)
					}
					if zeros > 0 && strings.HasSuffix(e.Name(), ".raw") {
						continue // no file system shows bytes that it has not
					}
					name := fmt.Sprintf("%s %s cut at %d and %d zeros", driver, e.Name(), cut, zeros)
					_, _, before := read(t, dir, c, all())
					if !strings.HasPrefix(whole, before) {
						t.Fatalf("%s: got %q", name, before)
					}
					fill(t, dir, c, []piece{{Stderr, "next\n", 9}})
					_, _, after := read(t, dir, c, all())
					if after != before+"next\n" {
						t.Fatalf("%s: got %q after %q", name, after, before)
					}
				}
			}
		}
	}
}

// TestUntaken: an entry is written before its bytes are, so a writer that is
// killed between leaves them in the pipe, and the next one takes them.
func TestUntaken(t *testing.T) {
	dir, c := t.TempDir(), config(Local)
	w, err := Open(dir, c)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(Stdout, []byte("one\n"), t0)
	if _, _, err := w.sink.(*local).begin(Stderr, 1000, t0); err != nil {
		t.Fatal(err)
	}
	if _, _, got := read(t, dir, c, all()); got != "one\n" {
		t.Errorf("got %q", got)
	}
	fill(t, dir, c, []piece{{Stdout, "two\n", 1}})
	if a, b, _ := read(t, dir, c, all()); a != "one\ntwo\n" || b != "" {
		t.Errorf("got %q and %q", a, b)
	}
}

// TestFull: output for which there is no room is dropped and marked.
func TestFull(t *testing.T) {
	full, err := unix.Open("/dev/full", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("needs /dev/full: %v", err)
	}
	defer unix.Close(full)
	big := bytes.Repeat([]byte("0123456789abcde\n"), 8<<10) // 128 KiB: is spliced
	for _, driver := range fileDrivers {
		t.Run(driver, func(t *testing.T) {
			dir, c := t.TempDir(), config(driver)
			w, err := Open(dir, c)
			if err != nil {
				t.Fatal(err)
			}
			w.Write(Stdout, []byte("one\n"), t0)
			var fd *int
			switch s := w.sink.(type) {
			case *local:
				fd = &s.raw
			case *lines:
				fd = &s.fd
			}
			good := *fd
			*fd = full
			w.Write(Stdout, []byte("two\n"), t0)
			take(t, w, big)
			w.Write(Stderr, []byte("three\n"), t0)
			*fd = good
			lost := uint64(len("two\nthree\n") + len(big))
			if n, err := w.Lost(); n != lost || err == nil {
				t.Errorf("lost %d (%v), want %d", n, err, lost)
			}
			w.Write(Stdout, []byte("four\n"), t0)
			if err := w.End(t0); err != nil {
				t.Fatal(err)
			}
			var gap uint64
			o := all()
			o.Lost = func(n uint64, _ time.Time) { gap += n }
			_, _, got := read(t, dir, c, o)
			want := "one\nfour\n"
			if driver != Local {
				want = "one\n" + string(gapText(nil, lost)) + "\nfour\n"
				gap = 2 * lost
			}
			if got != want || gap != 2*lost { // read has read twice
				t.Errorf("got %q and a gap of %d, want %q and %d", got, gap, want, 2*lost)
			}
			take(t, w, big)
			if _, _, got := read(t, dir, c, all()); got != want+string(big) {
				t.Errorf("after the gap: got %d bytes", len(got))
			}
		})
	}
}

// take gives bytes to a writer through a pipe.
func take(t testing.TB, w *Writer, b []byte) {
	t.Helper()
	r, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := unix.FcntlInt(pw.Fd(), unix.F_SETPIPE_SZ, len(b)); err != nil {
		t.Fatal(err)
	}
	if _, err := pw.Write(b); err != nil {
		t.Fatal(err)
	}
	pw.Close()
	total := 0
	for {
		n, err := w.Take(Stdout, int(r.Fd()), 0, t0)
		if err != nil {
			t.Fatal(err)
		}
		if total += n; n == 0 {
			break
		}
	}
	if total != len(b) {
		t.Fatalf("took %d of %d bytes", total, len(b))
	}
}

// TestKilled: a writer that is killed at any moment loses nothing of what the
// container has written, in small pieces or in large ones.
func TestKilled(t *testing.T) {
	c := Config{Driver: Local}
	if dir := os.Getenv("TARE_TEST_TAKE"); dir != "" {
		w, err := Open(dir, &c)
		if err != nil {
			t.Fatal(err)
		}
		for {
			_, _ = unix.Poll([]unix.PollFd{{Fd: 3, Events: unix.POLLIN}}, -1)
			if n, err := w.Take(Stdout, 3, 0, time.Now()); n == 0 || err != nil {
				t.Fatal(n, err)
			}
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var wrote bytes.Buffer
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		defer w.Close()
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			line := fmt.Sprintf("%07d\n", i)
			if i%5000 == 0 {
				line = strings.Repeat(line, 10_000)
			}
			wrote.WriteString(line)
			if _, err := w.WriteString(line); err != nil {
				done <- err
				return
			}
		}
	}()
	dir := t.TempDir()
	for i := range 40 {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), "TARE_TEST_TAKE="+dir)
		cmd.ExtraFiles = []*os.File{r}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(20+i) * time.Millisecond) // any moment will do
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	close(stop)
	last, err := Open(dir, &c)
	if err != nil {
		t.Fatal(err)
	}
	for {
		n, err := last.Take(Stdout, int(r.Fd()), 0, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
	if err := last.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got, _, _ := read(t, dir, &c, all()); got != wrote.String() {
		i := 0
		for want := wrote.String(); i < min(len(got), len(want)) && got[i] == want[i]; i++ {
		}
		t.Errorf("%d bytes of %d, the same up to byte %d", len(got), wrote.Len(), i)
	}
}
