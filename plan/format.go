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

// Format prints the plan: what the engine does before the clone, then what
// the child does up to execve, a line for each system call.
//
//	host   17 rootfs    fsopen("overlay", FSOPEN_CLOEXEC) = [fs:overlay]
//
// A name in brackets is a value that an earlier call returns. Behind a call
// stand the errnos that count as success and the condition under which it is
// made.
func (p *Plan) Format(w io.Writer) error {
	b := bufio.NewWriter(w)
	for _, part := range []struct {
		name string
		ops  []Op
	}{{"host", p.Host}, {"child", p.Child}} {
		for i := range part.ops {
			op := &part.ops[i]
			for _, line := range p.lines(op) {
				fmt.Fprintf(b, "%-5s %3d %-13s %s\n", part.name, i, p.StepName(op), line)
			}
		}
		if part.name == "host" {
			fmt.Fprintf(b, "host      %-13s clone3, then the child begins with close_range over everything but 0, 1, 2 and:%s\n", "clone", p.keptNames())
		}
	}
	return b.Flush()
}

func (p *Plan) keptNames() string {
	var b strings.Builder
	for _, s := range p.Kept() {
		b.WriteString(" [" + p.SlotName(s) + "]")
	}
	return b.String()
}

func (p *Plan) lines(op *Op) []string {
	if op.Do != nil {
		return op.Do.Text
	}
	return []string{p.FormatOp(op)}
}

// FormatOp prints one call.
func (p *Plan) FormatOp(op *Op) string {
	if op.Do != nil {
		return strings.Join(op.Do.Text, "; ")
	}
	c := callOf(op.Nr)
	var b strings.Builder
	b.WriteString(c.name)
	b.WriteByte('(')
	for i := range op.args[:op.N] {
		if i > 0 {
			b.WriteString(", ")
		}
		k := byte('d')
		if i < len(c.args) {
			k = c.args[i]
		}
		b.WriteString(p.formatArg(op, i, k))
	}
	b.WriteByte(')')
	if op.Out != 0 {
		b.WriteString(" = [" + p.SlotName(op.Out) + "]")
	}
	if want, ok := op.Want(); ok {
		b.WriteString(" = " + strconv.FormatInt(want, 10))
	}
	sep := "  or "
	for _, no := range op.OK {
		if no != 0 {
			b.WriteString(sep + errnoName(uint64(no)))
			sep = ", "
		}
	}
	switch op.Cond {
	case Always:
	case IfOK:
		b.WriteString("  if [" + p.SlotName(op.On) + "]")
	case IfErr:
		b.WriteString("  if not [" + p.SlotName(op.On) + "]")
	}
	return b.String()
}

func errnoName(no uint64) string {
	if no == uint64(AnyErrno) {
		return "any error"
	}
	return unix.ErrnoName(unix.Errno(no))
}

// formatArg prints operand i; k is its letter in the table of calls.
func (p *Plan) formatArg(op *Op, i int, k byte) string {
	a := op.Arg(i)
	if s, ok := a.Slot(); ok {
		return "[" + p.SlotName(s) + "]"
	}
	if m, ok := a.Memory(); ok {
		return p.formatMem(m)
	}
	v := a.Value()
	switch k {
	case 'f':
		if int32(v) == unix.AT_FDCWD {
			return "AT_FDCWD"
		}
	case 'p':
		if v == 0 {
			return "NULL"
		}
	case 'o':
		return "0" + strconv.FormatUint(v, 8)
	case 'x':
		return "0x" + strconv.FormatUint(v, 16)
	case 'd':
	default:
		if t := flagsOf(k, op); t != nil {
			return formatFlags(v, t)
		}
	}
	return strconv.FormatInt(int64(v), 10)
}

func (p *Plan) formatMem(i int) string {
	m := p.Mem[i]
	data := p.Data[m.Off : m.Off+m.Len]
	word := func(n int) uint64 { return binary.LittleEndian.Uint64(data[8*n:]) }
	switch m.Kind {
	case MemString:
		return strconv.Quote(p.text(i))
	case MemOpenHow:
		s := "{flags=" + formatFlags(word(0), openFlags)
		if word(1) != 0 {
			s += ", mode=0" + strconv.FormatUint(word(1), 8)
		}
		if word(2) != 0 {
			s += ", resolve=" + formatFlags(word(2), resolveFlags)
		}
		return s + "}"
	case MemMountAttr:
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
	case MemProgram:
		return "{" + strconv.Itoa(int(binary.LittleEndian.Uint16(data))) + " BPF instructions}"
	case MemVector:
		return p.formatVector(m)
	case MemIDs:
		var ids []string
		for n := 0; n+4 <= len(data); n += 4 {
			ids = append(ids, strconv.Itoa(int(binary.LittleEndian.Uint32(data[n:]))))
		}
		return "[" + strings.Join(ids, ", ") + "]"
	case MemRlimit:
		return "{" + formatLimit(word(0)) + ", " + formatLimit(word(1)) + "}"
	case MemBytes:
	}
	return fmt.Sprintf("{%d bytes: %x}", m.Len, data[:min(len(data), 48)])
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
			list = append(list, strconv.Quote(p.text(int(r.To))))
		}
	}
	return "[" + strings.Join(list, ", ") + "]"
}

// flag is one named bit, or a named value when zero is meant.
type flag struct {
	bits uint64
	name string
}

func formatFlags(v uint64, table []flag) string {
	var parts []string
	for _, f := range table {
		if f.bits != 0 && v&f.bits == f.bits {
			parts = append(parts, f.name)
			v &^= f.bits
		}
	}
	if v != 0 || len(parts) == 0 {
		if v == 0 {
			return "0"
		}
		parts = append(parts, "0x"+strconv.FormatUint(v, 16))
	}
	return strings.Join(parts, "|")
}
