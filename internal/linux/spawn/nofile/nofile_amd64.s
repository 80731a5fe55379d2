#include "textflag.h"

// func prlimit(lim *[2]uint64) uintptr
TEXT ·prlimit(SB), NOSPLIT, $0-16
	XORL DI, DI
	MOVL $7, SI             // RLIMIT_NOFILE
	XORL DX, DX
	MOVQ lim+0(FP), R10
	MOVL $302, AX           // prlimit64
	SYSCALL
	MOVQ AX, ret+8(FP)
	RET
