package seccomp

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Summary describes a compiled program in one line, for --plan.
func Summary(prog []unix.SockFilter, info Info) string {
	if prog == nil {
		return "seccomp: unconfined"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "seccomp: %d instructions for", len(prog))
	for _, a := range info.Arches {
		b.WriteByte(' ')
		b.WriteString(strings.ToLower(strings.TrimPrefix(string(a), "SCMP_ARCH_")))
	}
	if info.Flags != 0 {
		fmt.Fprintf(&b, ", flags %#x", info.Flags)
	}
	if info.Notify {
		b.WriteString(", notifies")
	}
	return b.String()
}

// Disassemble lists prog, one line per instruction: its index, what it does,
// and where its jumps lead.
func Disassemble(prog []unix.SockFilter) string {
	var b strings.Builder
	for i, in := range prog {
		fmt.Fprintf(&b, "%4d  ", i)
		jump := ""
		switch in.Code {
		case opLoad:
			fmt.Fprintf(&b, "ld   %s", wordName(in.K))
		case opAnd:
			fmt.Fprintf(&b, "and  %#x", in.K)
		case opRet:
			fmt.Fprintf(&b, "ret  %s", ActionName(in.K))
		case opJump:
			fmt.Fprintf(&b, "ja   %d", i+1+int(in.K))
		case opJeq:
			jump = "jeq"
		case opJgt:
			jump = "jgt"
		case opJge:
			jump = "jge"
		case opJset:
			jump = "jset"
		default:
			fmt.Fprintf(&b, "?    code %#x k %#x", in.Code, in.K)
		}
		if jump != "" {
			fmt.Fprintf(&b, "%-4s %#-10x ? %d : %d", jump, in.K, i+1+int(in.Jt), i+1+int(in.Jf))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func wordName(off uint32) string {
	switch {
	case off == offNr:
		return "nr"
	case off == offArch:
		return "arch"
	case off >= offArgs && off < 64:
		half := "low"
		if off%8 != 0 {
			half = "high"
		}
		return fmt.Sprintf("arg%d.%s", (off-offArgs)/8, half)
	}
	return fmt.Sprintf("[%d]", off)
}

// ActionName returns a SECCOMP_RET_* value in words: "allow", "errno 38".
func ActionName(ret uint32) string {
	data := ret & unix.SECCOMP_RET_DATA
	switch ret & unix.SECCOMP_RET_ACTION_FULL {
	case unix.SECCOMP_RET_KILL_PROCESS:
		return "kill process"
	case unix.SECCOMP_RET_KILL_THREAD:
		return "kill thread"
	case unix.SECCOMP_RET_TRAP:
		return "trap"
	case unix.SECCOMP_RET_ERRNO:
		return fmt.Sprintf("errno %d", data)
	case unix.SECCOMP_RET_USER_NOTIF:
		return "notify"
	case unix.SECCOMP_RET_TRACE:
		return fmt.Sprintf("trace %d", data)
	case unix.SECCOMP_RET_LOG:
		return "log"
	case unix.SECCOMP_RET_ALLOW:
		return "allow"
	}
	return fmt.Sprintf("%#x", ret)
}
