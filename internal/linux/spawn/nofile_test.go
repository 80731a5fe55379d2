package spawn

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/tare-engine/tare/internal/linux/plan"
	"github.com/tare-engine/tare/internal/linux/spawn/nofile"
	"golang.org/x/sys/unix"
)

// nofileHelper is an engine that starts a program which prints its limits.
func nofileHelper() error {
	var now unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &now); err != nil {
		return err
	}
	fmt.Println("raised", now.Cur > 1024)
	p := plan.New()
	p.Begin("rlimits")
	p.Rlimit(plan.InChild, unix.RLIMIT_NOFILE, nofile.Soft, nofile.Hard)
	sh(p, "echo program $(ulimit -Sn) $(ulimit -Hn)")
	r, err := New(p)
	if err != nil {
		return err
	}
	defer r.Close()
	child, err := r.Clone(Options{})
	if err != nil {
		return err
	}
	defer child.Release()
	if err := r.WaitExec(); err != nil {
		return err
	}
	_, err = child.Wait()
	return err
}

// Go raises the soft limit when it starts; the program sees the one that the
// engine was started with.
func TestSoftNofileLimit(t *testing.T) {
	needClone3(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", `ulimit -Sn 1024 && ulimit -Hn 4096 && exec "$0"`, self)
	cmd.Env = append(os.Environ(), "TARE_SPAWN_HELPER=nofile")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if want := "raised true\nprogram 1024 4096\n"; string(out) != want {
		t.Errorf("got %q, want %q", out, want)
	}
}
