package main

import (
	"strconv"
	"strings"
)

// runPrintf is printf(1); the shell's own lacks floating point.
func runPrintf(p *proc, args []string) {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		p.fatalf(1, "missing operand")
	}
	format, args := args[0], args[1:]
	for {
		used, stop := p.printfOnce(format, &args)
		if stop || len(args) == 0 || used == 0 {
			return
		}
	}
}

// printfOnce prints the format once and says how many arguments it took.
func (p *proc) printfOnce(format string, args *[]string) (used int, stop bool) {
	next := func() string {
		used++
		if len(*args) == 0 {
			return ""
		}
		a := (*args)[0]
		*args = (*args)[1:]
		return a
	}
	for i := 0; i < len(format); i++ {
		switch c := format[i]; {
		case c == '\\':
			s, n, end := escape(format[i:], false)
			_, _ = p.out.WriteString(s)
			if end {
				return used, true
			}
			i += n - 1
		case c != '%':
			_ = p.out.WriteByte(c)
		case strings.HasPrefix(format[i:], "%%"):
			_ = p.out.WriteByte('%')
			i++
		default:
			j := i + 1
			spec := "%"
			for ; j < len(format) && strings.IndexByte("-+ #0123456789.*", format[j]) >= 0; j++ {
				if format[j] == '*' {
					spec += strconv.FormatInt(p.number(next()), 10)
				} else {
					spec += format[j : j+1]
				}
			}
			for j < len(format) && strings.IndexByte("hlLqjzt", format[j]) >= 0 {
				j++
			}
			if j == len(format) {
				p.failf("%s: missing conversion", format[i:])
				return used, true
			}
			if p.convert(spec, format[j], next()) {
				return used, true
			}
			i = j
		}
	}
	return used, false
}

func (p *proc) convert(spec string, verb byte, arg string) (stop bool) {
	switch verb {
	case 's':
		p.printf(spec+"s", arg)
	case 'c':
		p.printf(spec+"s", arg[:min(1, len(arg))])
	case 'b':
		var b strings.Builder
		for i := 0; i < len(arg); {
			s, n, end := escape(arg[i:], true)
			b.WriteString(s)
			if i += n; end {
				stop = true
				break
			}
		}
		p.printf(spec+"s", b.String())
	case 'd', 'i':
		p.printf(spec+"d", p.number(arg))
	case 'u':
		p.printf(spec+"d", uint64(p.number(arg)))
	case 'o', 'x', 'X':
		p.printf(spec+string(verb), uint64(p.number(arg)))
	case 'e', 'E', 'f', 'F', 'g', 'G':
		f, err := strconv.ParseFloat(arg, 64)
		if err != nil && arg != "" {
			p.failf("'%s': expected a numeric value", arg)
		}
		if strings.IndexByte("gG", verb) >= 0 && !strings.Contains(spec, ".") {
			spec += ".6" // as in C; Go's default is the shortest exact form
		}
		p.printf(spec+string(verb), f)
	case 'q':
		p.printf(spec+"s", "'"+strings.ReplaceAll(arg, "'", `'\''`)+"'")
	default:
		p.failf("%s%c: invalid conversion specification", spec, verb)
		return true
	}
	return stop
}

func (p *proc) number(s string) int64 {
	if len(s) > 1 && (s[0] == '\'' || s[0] == '"') {
		return int64([]rune(s[1:])[0])
	}
	if s == "" {
		return 0
	}
	n, err := strconv.ParseInt(s, 0, 64)
	if err != nil {
		if u, e := strconv.ParseUint(s, 0, 64); e == nil {
			return int64(u)
		}
		p.failf("'%s': expected a numeric value", s)
	}
	return n
}

// escape decodes the escape, or the plain byte, at the front of s; "\c" ends
// the output. An octal number begins with a 0 where the text is an argument.
func escape(s string, argument bool) (out string, n int, end bool) {
	if s[0] != '\\' || len(s) < 2 {
		return s[:1], 1, false
	}
	digits := func(from, most, base int) (string, int, bool) {
		to := from
		for to < len(s) && to < from+most {
			if _, err := strconv.ParseUint(s[to:to+1], base, 8); err != nil {
				break
			}
			to++
		}
		v, err := strconv.ParseUint(s[from:to], base, 32)
		if err != nil {
			return s[:2], 2, false
		}
		if most > 3 {
			return string(rune(v)), to, false
		}
		return string([]byte{byte(v)}), to, false
	}
	switch c := s[1]; c {
	case 'c':
		return "", 2, true
	case 'e':
		return "\x1b", 2, false
	case 'x':
		return digits(2, 2, 16)
	case 'u':
		return digits(2, 4, 16)
	case '0', '1', '2', '3', '4', '5', '6', '7':
		if argument && c == '0' && len(s) > 2 && s[2] >= '0' && s[2] <= '7' {
			return digits(2, 3, 8)
		}
		return digits(1, 3, 8)
	default:
		if i := strings.IndexByte(`abfnrtv\"'`, c); i >= 0 {
			return "\a\b\f\n\r\t\v\\\"'"[i : i+1], 2, false
		}
		return s[:2], 2, false
	}
}

// hasFloat says whether a format needs what the shell's printf lacks.
func hasFloat(format string) bool {
	for i := 0; i+1 < len(format); i++ {
		if format[i] != '%' {
			continue
		}
		rest := strings.TrimLeft(format[i+1:], "-+ #0123456789.*")
		if rest != "" && strings.IndexByte("eEfFgGq", rest[0]) >= 0 {
			return true
		}
		i++
	}
	return false
}
