package container

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain runs the tests in a mount namespace of their own: what other
// programs mount meanwhile, such as the tests of another package, is not
// taken for something that was left behind.
func TestMain(m *testing.M) {
	const inside = "TARE_RUNTIME_TEST_INSIDE"
	if os.Getuid() != 0 || os.Getenv(inside) != "" {
		os.Exit(m.Run())
	}
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Args[0] = os.Args[0]
	c.Env = append(os.Environ(), inside+"=1")
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	err := c.Run()
	var ee *exec.ExitError
	switch {
	case errors.As(err, &ee):
		os.Exit(max(1, ee.ExitCode()))
	case err != nil:
		os.Exit(m.Run()) // no such right here
	}
}
