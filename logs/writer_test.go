package logs

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkCapture measures a gigabyte from a pipe into the default driver.
func BenchmarkCapture(b *testing.B) {
	for _, bm := range []struct{ name, cmd string }{
		{"blocks", "head -c 1000000000 /dev/zero"},
		{"dd64k", "dd if=/dev/zero bs=64k count=15258 2>/dev/null"},
		{"lines", "yes 0123456789012345678901234567890123456789012345678901234567890 | head -c 1000000000"},
	} {
		b.Run(bm.name, func(b *testing.B) {
			for range b.N {
				w, err := Open(b.TempDir(), &Config{Driver: Local, MaxSize: DefaultMaxSize, MaxFile: DefaultMaxFile})
				if err != nil {
					b.Fatal(err)
				}
				r, pw, _ := os.Pipe()
				fd := int(r.Fd())
				_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, PipeSize)
				cmd := exec.Command("sh", "-c", bm.cmd)
				cmd.Stdout = pw
				if err := cmd.Start(); err != nil {
					b.Fatal(err)
				}
				pw.Close()
				total := 0
				for {
					p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
					unix.Poll(p, -1)
					n, err := w.Take(Stdout, fd, time.Now())
					if err != nil {
						b.Fatal(err)
					}
					if n == 0 {
						break
					}
					total += n
				}
				b.SetBytes(int64(total))
				w.Close()
				cmd.Wait()
			}
		})
	}
}
