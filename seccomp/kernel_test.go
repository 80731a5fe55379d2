package seccomp

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestKernel loads the default profile's program into one thread, which then
// ends, and makes every call there that the program refuses: the kernel
// accepts it and reads it as Eval does.
func TestKernel(t *testing.T) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skipf("no numbers for %s here", runtime.GOARCH)
	}
	prog, _, err := Compile(Default(Host{Caps: capSets["default"], Kernel: Version{6, 18}}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		// Never unlocked: the thread goes with the goroutine, and its
		// filter with it.
		runtime.LockOSThread()
		n, err := refusedCalls(prog)
		if err == nil {
			t.Logf("%d calls were refused as expected", n)
		}
		done <- err
	}()
	err = <-done
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EACCES) {
		t.Skipf("cannot load a filter here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func refusedCalls(prog []unix.SockFilter) (n int, err error) {
	native, _ := nativeColumn(runtime.GOARCH)
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, err
	}
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	if _, _, no := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&fprog))); no != 0 {
		return 0, no
	}
	for nr := range uint32(700) {
		want := Eval(prog, Data{Nr: nr, Arch: arches[native].audit})
		if want&unix.SECCOMP_RET_ACTION_FULL != unix.SECCOMP_RET_ERRNO {
			continue
		}
		if name := nameOf(native, nr); name == "uretprobe" || name == "uprobe" {
			continue // the kernel's own; it asks no filter since Linux 6.14
		}
		n++
		if _, _, no := unix.RawSyscall6(uintptr(nr), 0, 0, 0, 0, 0, 0); uint32(no) != want&unix.SECCOMP_RET_DATA {
			return n, fmt.Errorf("call %d (%s): errno %d, want %s", nr, nameOf(native, nr), no, ActionName(want))
		}
	}
	return n, nil
}

// TestCost bounds what stands for time in a fresh process, where each page
// that is touched first costs a fault: allocations and the program's length.
func TestCost(t *testing.T) {
	p := Default(Host{GOARCH: "amd64", Caps: capSets["default"], Kernel: Version{6, 18}})
	prog, _, err := Compile(p, Options{GOARCH: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	if len(prog) > 400 {
		t.Errorf("%d instructions", len(prog))
	}
	allocs := testing.AllocsPerRun(10, func() {
		if _, _, err := Compile(p, Options{GOARCH: "amd64"}); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 40 {
		t.Errorf("%v allocations", allocs)
	}
}
