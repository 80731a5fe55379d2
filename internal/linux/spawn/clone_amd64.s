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

// ARG loads operand n into reg, through its slot if the mask says so.
#define ARG(n, reg) \
	MOVQ (OP_ARGS+8*n)(R13), reg \
	BTL  $n, CX                  \
	JCC  2(PC)                   \
	MOVQ (R15)(reg*8), reg

// func clone(args *cloneArgs, size, arena uintptr) uintptr
//
// The child never returns: it walks the ops of the arena and ends in execve
// or exit_group. It runs on a copy of this stack (no CLONE_VM) and touches
// no Go state.
TEXT ·clone(SB), NOSPLIT, $16-32
	XORL DI, DI             // SIG_BLOCK: a signal in the child would enter Go
	LEAQ allSignals<>(SB), SI
	LEAQ old-8(SP), DX
	MOVL $8, R10
	MOVL $14, AX            // rt_sigprocmask
	SYSCALL
	MOVQ args+0(FP), DI
	MOVQ size+8(FP), SI
	MOVQ arena+16(FP), R12
	MOVL $435, AX           // clone3
	SYSCALL
	TESTQ AX, AX
	JEQ  child
	MOVQ AX, ret+24(FP)
	MOVL $2, DI             // SIG_SETMASK
	LEAQ old-8(SP), SI
	XORL DX, DX
	MOVL $8, R10
	MOVL $14, AX
	SYSCALL
	RET

child:
	XORL BX, BX             // index of the op
	MOVQ OPS(R12), R13
	MOVQ SLOTS(R12), R15

loop:
	XORL R14, R14           // times that the op was raced
	MOVQ BX, PROGRESS(R12)
	CMPQ BX, NOPS(R12)
	JGE  end
	MOVBLZX OP_FLAGS(R13), CX
	TESTL $3, CX
	JEQ  run
	MOVWLZX OP_ON(R13), AX
	MOVQ (R15)(AX*8), AX
	TESTL $1, CX
	JEQ  iferr
	TESTQ AX, AX            // IfOK
	JLE  next
	JMP  run
iferr:
	CMPQ AX, $-4095         // unsigned less: not an errno, or plan.Unset
	JCS  next

run:
	MOVBLZX OP_MASK(R13), CX
	ARG(0, DI)
	ARG(1, SI)
	ARG(2, DX)
	ARG(3, R10)
	ARG(4, R8)
	ARG(5, R9)
	MOVL OP_NR(R13), AX
	CMPL AX, $0xffff0001    // plan.Store
	JEQ  store
	CMPL AX, $0xffff0002    // plan.Load
	JEQ  load
	SYSCALL
	MOVL AX, OP_RET(R13)
	CMPQ AX, $-4095
	JCC  failed             // unsigned ≥ -4095: an errno
value:
	MOVBLZX OP_FLAGS(R13), CX
	TESTL $8, CX
	JNE  forked
	TESTL $4, CX
	JEQ  out
	CMPQ AX, OP_WANT(R13)
	JEQ  out
	MOVL $32, SI            // EPIPE
	JMP  fail

forked:
	TESTQ AX, AX
	JEQ  next               // the new process goes on
	XORL DI, DI
	JMP  exit

store:
	MOVL SI, (DI)
	JMP  next

load:
	MOVL (DI), AX
	JMP  value

failed:
	MOVQ AX, SI
	NEGQ SI
	// openat2(2): something on the machine was renamed, or mounted, while a ".."
	// was resolved.
	CMPL SI, $11            // EAGAIN
	JNE  told
	CMPL OP_NR(R13), $437   // openat2
	JNE  told
	INCL R14
	CMPL R14, $RACES
	JCS  run                // unsigned less
told:
	MOVWLZX (OP_OK+0)(R13), DX
	CMPL DX, $0xffff        // plan.AnyErrno
	JEQ  out
	CMPL DX, SI
	JEQ  out
	MOVWLZX (OP_OK+2)(R13), DX
	CMPL DX, SI
	JEQ  out
	MOVWLZX (OP_OK+4)(R13), DX
	CMPL DX, SI
	JEQ  out
	MOVWLZX (OP_OK+6)(R13), DX
	CMPL DX, SI
	JEQ  out

fail:
	MOVQ SI, ERRNO(R12)

end:
	MOVL $125, DI
exit:
	MOVL $231, AX           // exit_group
	SYSCALL
	INT  $3

out:
	MOVWLZX OP_OUT(R13), DX
	TESTL DX, DX
	JEQ  next
	MOVQ AX, (R15)(DX*8)

next:
	INCQ BX
	ADDQ $OP_SIZE, R13
	JMP  loop
