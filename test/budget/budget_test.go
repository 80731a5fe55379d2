// Package budget holds what tare may cost: tests of figures that hardly vary
// from run to run, which are page faults, system calls and bytes. Time varies
// and is the benchmarks' (make bench).
package budget

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/tare-engine/tare/test/verify/rig"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }

// build builds Go packages or a file with the Makefile's flags.
func build(t *testing.T, out string, what ...string) {
	t.Helper()
	cmd := exec.Command("go", append([]string{"build", "-trimpath", "-ldflags=-s -w", "-o", out}, what...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, b)
	}
}

// programs returns the directory with tare and tare-oci.
func programs(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv(rig.BinEnv); dir != "" {
		return dir
	}
	dir := t.TempDir() // without root, the rig builds nothing
	build(t, dir+"/", "../../cmd/tare", "../../cmd/tare-oci")
	return dir
}

// emptyProgram builds a Go program that does nothing: what Go itself costs.
func emptyProgram(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/empty.go", []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	build(t, dir+"/empty", dir+"/empty.go")
	return dir + "/empty"
}

// fewProcessors keeps the rest of this test, and what it starts, to two
// processors: Go has a cache and more threads for each that it sees.
func fewProcessors(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	var all, two unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	for cpu := 0; two.Count() < min(2, all.Count()); cpu++ {
		if all.IsSet(cpu) {
			two.Set(cpu)
		}
	}
	if err := unix.SchedSetaffinity(0, &two); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.SchedSetaffinity(0, &all); err != nil {
			t.Error(err)
		}
		runtime.UnlockOSThread()
	})
}

// image is the name of the image that imported makes.
const image = "budget"

// imported returns a rig with an image of the machine's static busybox.
func imported(t *testing.T) *rig.Rig {
	t.Helper()
	r := rig.Test(t)
	b, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skip("needs /bin/busybox (busybox-static)")
	}
	tree := t.TempDir()
	for _, d := range []string{"bin", "proc", "sys", "dev", "etc", "tmp", "root"} {
		if err := os.Mkdir(filepath.Join(tree, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(tree+"/bin/busybox", b, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{"true", "sleep", "sh"} {
		if err := os.Symlink("busybox", tree+"/bin/"+a); err != nil {
			t.Fatal(err)
		}
	}
	r.Must(t, "import", tree, image)
	// What only the first start does: cgroup parent, filter, spare layer.
	for range 2 {
		r.Must(t, "run", "--rm", image, "/bin/true")
	}
	return r
}
