package main

import (
	"strconv"
	"strings"
	"syscall"
)

func runChmod(p *proc, args []string) {
	// A mode may begin with a minus: "chmod -w file".
	recursive := false
	for len(args) > 0 && strings.HasPrefix(args[0], "-") && strings.Trim(args[0], "-rwxXst") != "" {
		switch args[0] {
		case "-R", "--recursive":
			recursive = true
		case "-f", "-v", "--":
		default:
			p.fatalf(1, "invalid option '%s'", args[0])
		}
		args = args[1:]
	}
	if len(args) < 2 {
		p.fatalf(1, "missing operand")
	}
	for _, f := range args[1:] {
		if !recursive {
			chmodOne(p, args[0], f)
			continue
		}
		walk(f, -1, func(e entry) bool {
			if e.err != nil {
				p.failf("cannot access '%s': %s", e.path, reason(e.err))
				return false
			}
			if statOf(e.info).Mode&syscall.S_IFMT != syscall.S_IFLNK {
				chmodOne(p, args[0], e.path)
			}
			return true
		})
	}
}

func chmodOne(p *proc, mode, path string) {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		p.failf("cannot access '%s': %s", path, reason(err))
		return
	}
	m, ok := parseMode(mode, st.Mode, umask())
	if !ok {
		p.fatalf(1, "invalid mode: '%s'", mode)
	}
	if err := syscall.Chmod(path, m); err != nil {
		p.failf("changing permissions of '%s': %s", path, reason(err))
	}
}

func umask() uint32 {
	old := syscall.Umask(0)
	syscall.Umask(old)
	return uint32(old)
}

// parseMode applies "755" or "u+x,go=r" to the mode of a file.
func parseMode(s string, mode, mask uint32) (uint32, bool) {
	if n, err := strconv.ParseUint(s, 8, 32); err == nil {
		return uint32(n), n <= 0o7777
	}
	out := mode & 0o7777
	for _, clause := range strings.Split(s, ",") {
		i := strings.IndexAny(clause, "+-=")
		if i < 0 {
			return 0, false
		}
		who, masked := uint32(0), false
		for _, c := range clause[:i] {
			switch c {
			case 'u':
				who |= 0o4700
			case 'g':
				who |= 0o2070
			case 'o':
				who |= 0o1007
			case 'a':
				who |= 0o7777
			default:
				return 0, false
			}
		}
		if i == 0 {
			who, masked = 0o7777, true
		}
		for rest := clause[i:]; rest != ""; {
			op := rest[0]
			j := strings.IndexAny(rest[1:], "+-=") + 1
			if j == 0 {
				j = len(rest)
			}
			bits, ok := permBits(rest[1:j], mode, out)
			if !ok {
				return 0, false
			}
			bits &= who
			if masked {
				bits &^= mask
			}
			switch op {
			case '+':
				out |= bits
			case '-':
				out &^= bits
			case '=':
				keep := ^who
				if mode&syscall.S_IFMT == syscall.S_IFDIR {
					keep |= 0o6000 // as GNU: = keeps a directory's set-id bits
				}
				out = out&keep | bits
			}
			rest = rest[j:]
		}
	}
	return out, true
}

func permBits(s string, mode, current uint32) (uint32, bool) {
	var bits uint32
	for _, c := range s {
		switch c {
		case 'r':
			bits |= 0o444
		case 'w':
			bits |= 0o222
		case 'x':
			bits |= 0o111
		case 'X':
			if mode&syscall.S_IFMT == syscall.S_IFDIR || current&0o111 != 0 {
				bits |= 0o111
			}
		case 's':
			bits |= 0o6000
		case 't':
			bits |= 0o1000
		case 'u':
			bits |= current >> 6 & 7 * 0o111
		case 'g':
			bits |= current >> 3 & 7 * 0o111
		case 'o':
			bits |= current & 7 * 0o111
		default:
			return 0, false
		}
	}
	return bits, true
}
