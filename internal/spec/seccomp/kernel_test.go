package seccomp

import (
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
	native, _ := nativeColumn(runtime.GOARCH)
	type result struct {
		load  error
		n     int
		wrong []string
	}
	done := make(chan result)
	go func() {
		// Never unlocked: the thread goes with the goroutine, and its
		// filter with it.
		runtime.LockOSThread()
		var r result
		if r.load = load(prog); r.load == nil {
			r.n, r.wrong = refusedCalls(prog, native)
		}
		done <- r
	}()
	r := <-done
	if r.load == unix.EINVAL { //nolint:errorlint // a bare errno
		t.Fatal("the kernel refuses the program")
	}
	if r.load != nil {
		t.Skipf("cannot load a filter here: %v", r.load)
	}
	t.Logf("%d calls made", r.n)
	for _, w := range r.wrong {
		t.Error(w)
	}
}

func load(prog []unix.SockFilter) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	if _, _, no := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&fprog))); no != 0 {
		return no
	}
	return nil
}

// refusedCalls makes each call whose verdict for zero arguments is an errno.
func refusedCalls(prog []unix.SockFilter, native column) (n int, wrong []string) {
	for nr := range uint32(700) {
		want := Eval(prog, Data{Nr: nr, Arch: arches[native].audit})
		if want&unix.SECCOMP_RET_ACTION_FULL != unix.SECCOMP_RET_ERRNO {
			continue
		}
		name := nameOf(native, nr)
		if name == "uretprobe" || name == "uprobe" {
			continue // the kernel's own; it asks no filter since Linux 6.14
		}
		n++
		if _, _, no := unix.RawSyscall6(uintptr(nr), 0, 0, 0, 0, 0, 0); uint32(no) != want&unix.SECCOMP_RET_DATA {
			wrong = append(wrong, fmt.Sprintf("call %d (%s): %s, want %s", nr, name, no.Error(), ActionName(want)))
		}
	}
	return n, wrong
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
