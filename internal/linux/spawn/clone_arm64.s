#include "textflag.h"

// The arena's header and one encoded op; see encode.go.
#define PROGRESS 0
#define ERRNO    8
#define NOPS     16
#define OPS      24
#define SLOTS    32

#define OP_NR    0
#define OP_OUT   4
#define OP_MASK  6
#define OP_FLAGS 7
#define OP_ON    8
#define OP_RET   12
#define OP_OK    16
#define OP_WANT  24
#define OP_ARGS  32
#define OP_SIZE  80

// RACES bounds the tries of an op; see maxRaces.
#define RACES    100000

DATA allSignals<>+0(SB)/8, $0xffffffffffffffff
GLOBL allSignals<>(SB), RODATA|NOPTR, $8

// ARG loads operand n into reg, through its slot if the mask (R9) says so.
#define ARG(n, reg) \
	MOVD (OP_ARGS+8*n)(R20), reg \
	TBZ  $n, R9, 3(PC)           \
	LSL  $3, reg, R10            \
	MOVD (R22)(R10), reg

// func clone(args *cloneArgs, size, arena uintptr) uintptr
//
// As on amd64. R19 arena, R20 op, R21 index, R22 slots.
TEXT ·clone(SB), NOSPLIT, $16-32
	MOVD ZR, R0             // SIG_BLOCK
	MOVD $allSignals<>(SB), R1
	MOVD $old-8(SP), R2
	MOVD $8, R3
	MOVD $135, R8           // rt_sigprocmask
	SVC
	MOVD args+0(FP), R0
	MOVD size+8(FP), R1
	MOVD arena+16(FP), R19
	MOVD $435, R8           // clone3
	SVC
	CBZ  R0, child
	MOVD R0, ret+24(FP)
	MOVD $2, R0             // SIG_SETMASK
	MOVD $old-8(SP), R1
	MOVD ZR, R2
	MOVD $8, R3
	MOVD $135, R8
	SVC
	RET

child:
	MOVD ZR, R21
	MOVD OPS(R19), R20
	MOVD SLOTS(R19), R22

loop:
	MOVD ZR, R23            // times that the op was raced
	MOVD R21, PROGRESS(R19)
	MOVD NOPS(R19), R9
	CMP  R9, R21
	BGE  end
	MOVBU OP_FLAGS(R20), R11
	TST  $3, R11
	BEQ  run
	MOVHU OP_ON(R20), R9
	LSL  $3, R9, R9
	MOVD (R22)(R9), R10
	TBZ  $0, R11, iferr
	CMP  ZR, R10            // IfOK
	BLE  next
	B    run
iferr:
	CMN  $4095, R10         // unsigned less: not an errno, or plan.Unset
	BLO  next

run:
	MOVBU OP_MASK(R20), R9
	ARG(0, R0)
	ARG(1, R1)
	ARG(2, R2)
	ARG(3, R3)
	ARG(4, R4)
	ARG(5, R5)
	MOVWU OP_NR(R20), R8
	MOVD $0xffff0001, R10   // plan.Store
	CMP  R10, R8
	BEQ  store
	MOVD $0xffff0002, R10   // plan.Load
	CMP  R10, R8
	BEQ  load
	SVC
	MOVW R0, OP_RET(R20)
	CMN  $4095, R0
	BHS  failed             // unsigned ≥ -4095: an errno
	TBNZ $3, R11, forked
value:
	TBZ  $2, R11, out
	MOVD OP_WANT(R20), R9
	CMP  R9, R0
	BEQ  out
	MOVD $32, R12           // EPIPE
	B    fail

forked:
	CBZ  R0, next           // the new process goes on
	MOVD ZR, R0
	B    exit

store:
	MOVW R1, (R0)
	B    next

load:
	MOVWU (R0), R0
	B    value

failed:
	NEG  R0, R12
	// openat2(2): something on the machine was renamed, or mounted, while a ".."
	// was resolved.
	CMP  $11, R12           // EAGAIN
	BNE  told
	MOVWU OP_NR(R20), R9
	MOVD $437, R10          // openat2
	CMP  R10, R9
	BNE  told
	ADD  $1, R23
	MOVD $RACES, R10
	CMP  R10, R23
	BLO  run
told:
	MOVHU (OP_OK+0)(R20), R9
	MOVD $0xffff, R10       // plan.AnyErrno
	CMP  R10, R9
	BEQ  out
	CMP  R12, R9
	BEQ  out
	MOVHU (OP_OK+2)(R20), R9
	CMP  R12, R9
	BEQ  out
	MOVHU (OP_OK+4)(R20), R9
	CMP  R12, R9
	BEQ  out
	MOVHU (OP_OK+6)(R20), R9
	CMP  R12, R9
	BEQ  out

fail:
	MOVD R12, ERRNO(R19)

end:
	MOVD $125, R0
exit:
	MOVD $94, R8            // exit_group
	SVC
	BRK

out:
	MOVHU OP_OUT(R20), R9
	CBZ  R9, next
	LSL  $3, R9, R9
	MOVD R0, (R22)(R9)

next:
	ADD  $1, R21
	ADD  $OP_SIZE, R20
	B    loop
