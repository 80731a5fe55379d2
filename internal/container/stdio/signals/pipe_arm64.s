#include "textflag.h"

// handler(sig R0, info R1, context R2): write(writeEnd, &sig, 1).
TEXT handler<>(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	SUB  $32, RSP
	MOVD R30, 24(RSP)
	MOVD R0, 16(RSP)
	MOVD ·writeEnd(SB), R0
	ADD  $16, RSP, R1
	MOVD $1, R2
	MOVD $64, R8            // write
	SVC
	MOVD 24(RSP), R30
	ADD  $32, RSP
	RET

TEXT restorer<>(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOVD $139, R8           // rt_sigreturn
	SVC
	BRK

// func handlerPC() uintptr
TEXT ·handlerPC(SB), NOSPLIT, $0-8
	MOVD $handler<>(SB), R0
	MOVD R0, ret+0(FP)
	RET

// func restorerPC() uintptr
TEXT ·restorerPC(SB), NOSPLIT, $0-8
	MOVD $restorer<>(SB), R0
	MOVD R0, ret+0(FP)
	RET
