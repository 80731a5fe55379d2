// Package nofile remembers the limit on open files that the process was
// started with. Package os raises the soft one when it is initialised; this
// package imports nothing that imports os, so the linker's order (ready
// packages by import path) runs it before.
package nofile

import "syscall"

// Soft is the original soft limit.
var Soft = read()

func read() uint64 {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0
	}
	return l.Cur
}
