// Package nofile reads the RLIMIT_NOFILE that the process was started with.
//
// Go raises the soft limit when package os is initialised (Go 1.19) and only
// os/exec puts it back. A raw clone must do that itself. This package imports
// nothing, so the linker initialises it before os.
package nofile

// Soft and Hard are the limits before Go changed them, or 0 if they could
// not be read.
var Soft, Hard = read() //nolint:revive // one comment is about both

func read() (soft, hard uint64) {
	var lim [2]uint64
	if prlimit(&lim) != 0 {
		return 0, 0
	}
	return lim[0], lim[1]
}

// prlimit is prlimit64(0, RLIMIT_NOFILE, NULL, lim).
//
//go:noescape
func prlimit(lim *[2]uint64) uintptr
