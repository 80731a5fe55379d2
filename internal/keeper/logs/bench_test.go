package logs

import (
	"io"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// benchBytes is what a benchmark writes and reads: TARE_BENCH_BYTES, or
// 64 MB.
func benchBytes(b *testing.B) string {
	if v := os.Getenv("TARE_BENCH_BYTES"); v != "" {
		if _, err := strconv.ParseInt(v, 10, 64); err != nil {
			b.Fatal(err)
		}
		return v
	}
	return "64000000"
}

const yes = "yes 0123456789012345678901234567890123456789012345678901234567890"

// BenchmarkCapture measures output of a program through a pipe into the
// default driver.
func BenchmarkCapture(b *testing.B) {
	n := benchBytes(b)
	for _, bm := range []struct{ name, cmd, driver string }{
		{"blocks", "head -c " + n + " /dev/zero", Local},
		{"lines", yes + " | head -c " + n, Local},
		{"json", yes + " | head -c " + n, JSONFile},
		{"k8s", yes + " | head -c " + n, K8sFile},
	} {
		b.Run(bm.name, func(b *testing.B) {
			for range b.N {
				dir := b.TempDir()
				b.SetBytes(int64(capture(b, dir, bm.driver, bm.cmd)))
			}
		})
	}
}

func capture(b *testing.B, dir, driver, script string) int {
	w, err := Open(dir, config(driver))
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	r, pw, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command("sh", "-c", script)
	cmd.Stdout = pw
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	pw.Close()
	total := 0
	for fd := int(r.Fd()); ; {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(p, -1); err != nil && err != unix.EINTR {
			b.Fatal(err)
		}
		n, err := w.Take(Stdout, fd, 0, time.Now())
		if err != nil {
			b.Fatal(err)
		}
		if n == 0 {
			break
		}
		total += n
	}
	if err := cmd.Wait(); err != nil {
		b.Fatal(err)
	}
	return total
}

// BenchmarkReplay measures a log of two streams read through a pipe.
func BenchmarkReplay(b *testing.B) {
	size, err := strconv.Atoi(benchBytes(b))
	if err != nil {
		b.Fatal(err)
	}
	for _, driver := range fileDrivers {
		dir, c := b.TempDir(), config(driver)
		c.MaxSize = int64(size)
		w, err := Open(dir, c)
		if err != nil {
			b.Fatal(err)
		}
		line := []byte("0123456789012345678901234567890123456789012345678901234567890\n")
		for n := 0; n < size; {
			var chunk []byte
			for range 200 {
				chunk = append(chunk, line...)
			}
			w.Write(Stdout+byte(n/len(chunk)/16&1), chunk, time.Now())
			n += len(chunk)
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
		for _, stamps := range []bool{false, true} {
			name := driver
			if stamps {
				name += "-timestamps"
			}
			b.Run(name, func(b *testing.B) {
				for range b.N {
					r, pw, err := os.Pipe()
					if err != nil {
						b.Fatal(err)
					}
					done := make(chan int64)
					go func() {
						n, _ := io.Copy(io.Discard, r)
						done <- n
					}()
					o := all()
					o.Timestamps = stamps
					if err := Read(b.Context(), dir, c, o, pw, pw); err != nil {
						b.Fatal(err)
					}
					pw.Close()
					b.SetBytes(<-done)
					r.Close()
				}
			})
		}
	}
}
