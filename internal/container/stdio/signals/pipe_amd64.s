#include "textflag.h"

// handler(sig DI, info SI, context DX): write(writeEnd, &sig, 1). The red
// zone is ours: the kernel gave us a fresh frame.
TEXT handler<>(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	SUBQ $24, SP
	MOVQ DI, 8(SP)
	MOVQ ·writeEnd(SB), DI
	LEAQ 8(SP), SI
	MOVL $1, DX
	MOVL $1, AX             // write
	SYSCALL
	ADDQ $24, SP
	RET

TEXT restorer<>(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOVL $15, AX            // rt_sigreturn
	SYSCALL
	INT  $3

// func handlerPC() uintptr
TEXT ·handlerPC(SB), NOSPLIT, $0-8
	LEAQ handler<>(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// func restorerPC() uintptr
TEXT ·restorerPC(SB), NOSPLIT, $0-8
	LEAQ restorer<>(SB), AX
	MOVQ AX, ret+0(FP)
	RET
