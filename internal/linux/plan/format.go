package plan

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Format prints the plan: what the engine does before the clone, the clone,
// then what the child does up to execve; a line for each system call.
//
//	host      rootfs        # mount the root file system
//	host   17 rootfs        fsopen("overlay", FSOPEN_CLOEXEC) = [fs:overlay]
//
// The columns are the process, the number of the op, the step and the call.
// A name in brackets is a value that an earlier call returns; a second value
// of the same name is [name#2]. Behind a call stand the result that it must
// have, the errnos that count as success, and the condition under which it
// is made. A comment says what the calls below it are for.
func (p *Plan) Format(w io.Writer) error {
	b := bufio.NewWriter(w)
	p.formatOps(b, "host", p.Host)
	p.formatClone(b)
	p.formatOps(b, "child", p.Child)
	return b.Flush()
}

func (p *Plan) formatOps(b *bufio.Writer, side string, ops []Op) {
	note, step := "", -1
	for i := range ops {
		op := &ops[i]
		if op.Note != "" && (op.Note != note || int(op.Step) != step) {
			fmt.Fprintf(b, "%-5s %4s %-13s # %s\n", side, "", p.StepName(op), oneLine(op.Note))
		}
		note, step = op.Note, int(op.Step)
		lines := []string{p.FormatOp(op)}
		if op.Do != nil && op.Do.Text != nil {
			lines = op.Do.Text()
		}
		for _, line := range lines {
			fmt.Fprintf(b, "%-5s %4d %-13s %s\n", side, i, p.StepName(op), oneLine(line))
		}
	}
}

// oneLine keeps texts from outside from breaking the table.
func oneLine(s string) string {
	if strings.ContainsAny(s, "\n\r") {
		return strings.NewReplacer("\n", `\n`, "\r", `\r`).Replace(s)
	}
	return s
}

// formatClone prints what spawn adds between the two lists.
func (p *Plan) formatClone(b *bufio.Writer) {
	flags, cgroup := p.Flags|unix.CLONE_PIDFD|unix.CLONE_CLEAR_SIGHAND, ""
	if p.Cgroup != 0 {
		flags |= unix.CLONE_INTO_CGROUP
		cgroup = ", cgroup=[" + p.label(p.Cgroup) + "]"
	}
	fmt.Fprintf(b, "%-5s %4s %-13s clone3({flags=%s, exit_signal=SIGCHLD%s}, 88)\n", "host", "", "clone", formatFlags(flags, cloneFlags), cgroup)
	fmt.Fprintf(b, "%-5s %4s %-13s close_range of everything but 0, 1, 2, the status pipe", "child", "", "clone")
	for _, s := range p.Kept() {
		fmt.Fprintf(b, " [%s]", p.label(s))
	}
	fmt.Fprintf(b, "\n%-5s %4s %-13s close_range(3, 4294967295, CLOSE_RANGE_CLOEXEC)\n", "child", "", "clone")
	fmt.Fprintf(b, "%-5s %4s %-13s rt_sigaction(SIGHUP, SIGINT, SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU: SIG_DFL)\n", "child", "", "clone")
}

// label returns the name of s, with a number where others had it before.
func (p *Plan) label(s Slot) string {
	name, n := p.slots[s].name, 1
	for i := range p.slots[1:max(s, 1)] {
		if p.slots[i+1].name == name {
			n++
		}
	}
	name = oneLine(name)
	if n > 1 {
		return name + "#" + strconv.Itoa(n)
	}
	return name
}

// CallName returns the name of a system call that plans have.
func CallName(nr uint32) string {
	if c := callOf(nr); c.name != "" {
		return c.name
	}
	return "syscall_" + strconv.Itoa(int(nr))
}

// FormatOp prints one call.
func (p *Plan) FormatOp(op *Op) string {
	if op.Do != nil {
		if op.Do.Text == nil {
			return "..."
		}
		return strings.Join(op.Do.Text(), "; ")
	}
	c := callOf(op.Nr)
	var b strings.Builder
	b.WriteString(CallName(op.Nr))
	b.WriteByte('(')
	for i := range int(op.N) {
		if i > 0 {
			b.WriteString(", ")
		}
		letter := byte('d')
		if i < len(c.args) {
			letter = c.args[i]
		}
		b.WriteString(p.formatArg(op.Arg(i), letter))
	}
	b.WriteByte(')')
	if want, ok := op.Want(); ok {
		b.WriteString(" = " + strconv.FormatInt(want, 10))
	}
	if op.Out != 0 {
		b.WriteString(" = [" + p.label(op.Out) + "]")
	}
	sep := "  or "
	for _, no := range op.OK {
		if no != 0 {
			b.WriteString(sep + errnoName(no))
			sep = ", "
		}
	}
	if op.Fork {
		b.WriteString("  the new process goes on, this one ends")
	}
	switch op.Cond {
	case Always:
	case IfOK:
		b.WriteString("  if [" + p.label(op.On) + "]")
	case IfErr:
		b.WriteString("  if not [" + p.label(op.On) + "]")
	}
	return b.String()
}

func errnoName(no uint16) string {
	if no == uint16(AnyErrno) {
		return "any error"
	}
	if name := unix.ErrnoName(unix.Errno(no)); name != "" {
		return name
	}
	return "errno " + strconv.Itoa(int(no))
}

// formatArg prints an operand by its letter in the table of calls.
func (p *Plan) formatArg(a Arg, letter byte) string {
	if s, ok := a.Slot(); ok {
		return "[" + p.label(s) + "]"
	}
	if m, ok := a.Memory(); ok {
		return p.formatMem(m)
	}
	v := a.Value()
	switch letter {
	case 'f':
		if int32(v) == unix.AT_FDCWD {
			return "AT_FDCWD"
		}
	case 'p', 's':
		if v == 0 {
			return "NULL"
		}
	case 'o':
		return octal(v)
	case 't':
		for _, f := range fileTypes {
			if v&unix.S_IFMT == f.bits {
				return f.name + "|" + octal(v&^unix.S_IFMT)
			}
		}
		return octal(v)
	case 'v':
		return fmt.Sprintf("makedev(%d, %d)", unix.Major(v), unix.Minor(v))
	case 'x':
		return hex(v)
	case 'i':
		if name := unix.SignalName(unix.Signal(v)); name != "" {
			return name
		}
	case 'B':
		return formatOpenFlags(v)
	default:
		if table, enum := tableOf(letter); enum {
			for _, f := range table {
				if f.bits == v {
					return f.name
				}
			}
			return hex(v)
		} else if table != nil {
			return formatFlags(v, table)
		}
	}
	return strconv.FormatInt(int64(v), 10)
}

func hex(v uint64) string {
	if v == 0 {
		return "0"
	}
	return "0x" + strconv.FormatUint(v, 16)
}

func octal(v uint64) string {
	if v == 0 {
		return "0"
	}
	return "0" + strconv.FormatUint(v, 8)
}

// formatMem prints a piece of memory by its kind, or as bytes where it is too
// short for that.
func (p *Plan) formatMem(i int) string {
	m := p.Mem[i]
	data := p.Data[m.Off : m.Off+m.Len]
	word := func(n int) uint64 { return binary.LittleEndian.Uint64(data[8*n:]) }
	switch {
	case m.Kind == MemString:
		return strconv.Quote(string(data))
	case m.Kind == MemVector:
		return p.formatVector(m)
	case m.Kind == MemIDs:
		var ids []string
		for n := 0; n+4 <= len(data); n += 4 {
			ids = append(ids, strconv.FormatUint(uint64(binary.LittleEndian.Uint32(data[n:])), 10))
		}
		return "[" + strings.Join(ids, ", ") + "]"
	case m.Kind == MemOpenHow && m.Len >= 24:
		s := "{flags=" + formatOpenFlags(word(0))
		if word(1) != 0 {
			s += ", mode=" + octal(word(1))
		}
		if word(2) != 0 {
			s += ", resolve=" + formatFlags(word(2), resolveFlags)
		}
		return s + "}"
	case m.Kind == MemMountAttr && m.Len >= 32:
		var parts []string
		for n, name := range []string{"attr_set=", "attr_clr="} {
			if word(n) != 0 {
				parts = append(parts, name+formatFlags(word(n), mountAttrs))
			}
		}
		if word(2) != 0 {
			parts = append(parts, "propagation="+formatFlags(word(2), mountFlags))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case m.Kind == MemProgram && m.Len >= 2:
		return "{" + strconv.Itoa(int(binary.LittleEndian.Uint16(data))) + " BPF instructions}"
	case m.Kind == MemCloneArgs && m.Len >= 8:
		return "{flags=" + formatFlags(word(0), cloneFlags) + "}"
	case m.Kind == MemRlimit && m.Len >= 16:
		return "{" + formatLimit(word(0)) + ", " + formatLimit(word(1)) + "}"
	}
	return formatBytes(data)
}

// formatBytes prints 48 bytes at most, and nothing of an empty buffer.
func formatBytes(data []byte) string {
	s := fmt.Sprintf("{%d bytes", len(data))
	zero := true
	for _, c := range data {
		zero = zero && c == 0
	}
	if !zero {
		s += fmt.Sprintf(": %x", data[:min(len(data), 48)])
		if len(data) > 48 {
			s += "..."
		}
	}
	return s + "}"
}

func formatOpenFlags(v uint64) string {
	s := formatFlags(v, openFlags)
	switch {
	case v&(unix.O_ACCMODE|unix.O_PATH) != 0:
		return s
	case v == 0:
		return "O_RDONLY"
	}
	return "O_RDONLY|" + s
}

func formatLimit(v uint64) string {
	if v == unix.RLIM_INFINITY {
		return "RLIM_INFINITY"
	}
	return strconv.FormatUint(v, 10)
}

func (p *Plan) formatVector(m Mem) string {
	var list []string
	for _, r := range p.Relocs {
		if r.At >= m.Off && r.At < m.Off+m.Len {
			list = append(list, p.formatMem(int(r.To)))
		}
	}
	return "[" + strings.Join(list, ", ") + "]"
}

func formatFlags(v uint64, table []named) string {
	if v == 0 {
		return "0"
	}
	var parts []string
	for _, f := range table {
		if v&f.bits == f.bits {
			parts = append(parts, f.name)
			v &^= f.bits
		}
	}
	if v != 0 {
		parts = append(parts, hex(v))
	}
	return strings.Join(parts, "|")
}
