package main

import (
	"fmt"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/interp"

	"github.com/tare-engine/tare/internal/linux/spawn/nofile"
)

// limitKind is one letter of ulimit; values are shown in units of unit.
type limitKind struct {
	letter   byte
	title    string
	resource int
	unit     uint64
}

func limitKinds() []limitKind {
	return []limitKind{
		{'c', "core file size (blocks)", unix.RLIMIT_CORE, 512},
		{'d', "data seg size (kb)", unix.RLIMIT_DATA, 1024},
		{'e', "scheduling priority", unix.RLIMIT_NICE, 1},
		{'f', "file size (blocks)", unix.RLIMIT_FSIZE, 512},
		{'i', "pending signals", unix.RLIMIT_SIGPENDING, 1},
		{'l', "max locked memory (kb)", unix.RLIMIT_MEMLOCK, 1024},
		{'m', "max memory size (kb)", unix.RLIMIT_RSS, 1024},
		{'n', "open files", unix.RLIMIT_NOFILE, 1},
		{'q', "POSIX message queues (bytes)", unix.RLIMIT_MSGQUEUE, 1},
		{'r', "real-time priority", unix.RLIMIT_RTPRIO, 1},
		{'s', "stack size (kb)", unix.RLIMIT_STACK, 1024},
		{'t', "cpu time (seconds)", unix.RLIMIT_CPU, 1},
		{'u', "max user processes", unix.RLIMIT_NPROC, 1},
		{'v', "virtual memory (kb)", unix.RLIMIT_AS, 1024},
		{'x', "file locks", unix.RLIMIT_LOCKS, 1},
	}
}

// ulimit shows or sets the limits of the shell and what it starts.
func ulimit(hc interp.HandlerContext, args []string) int {
	o, rest, bad := parseOptions(args, "HSacdefilmnqrstuvx")
	if bad != "" {
		fmt.Fprintf(hc.Stderr, "ulimit: %s\n", bad)
		return 2
	}
	shown := 0
	for _, k := range limitKinds() {
		if !o.has('a') && !o.has(k.letter) {
			continue
		}
		shown++
		if len(rest) == 0 {
			showLimit(hc, o, k, o.has('a'))
		} else if err := setLimit(o, k, rest[0]); err != nil {
			fmt.Fprintf(hc.Stderr, "ulimit: %s: cannot modify limit: %s\n", k.title, reason(err))
			return 1
		}
	}
	if shown == 0 {
		return ulimit(hc, append([]string{"-f"}, args...))
	}
	return 0
}

func getLimit(k limitKind) (syscall.Rlimit, error) {
	var l syscall.Rlimit
	err := syscall.Getrlimit(k.resource, &l)
	if k.resource == unix.RLIMIT_NOFILE && l.Cur >= l.Max-1 {
		l.Cur = min(nofile.Soft, l.Max) // what children get, not what Go raised
	}
	return l, err
}

func showLimit(hc interp.HandlerContext, o options, k limitKind, title bool) {
	l, err := getLimit(k)
	if err != nil {
		fmt.Fprintf(hc.Stderr, "ulimit: %s: %s\n", k.title, reason(err))
		return
	}
	v := l.Cur
	if o.has('H') {
		v = l.Max
	}
	s := "unlimited"
	if v != unix.RLIM_INFINITY {
		s = strconv.FormatUint(v/k.unit, 10)
	}
	if title {
		fmt.Fprintf(hc.Stdout, "-%c: %-32s %s\n", k.letter, k.title, s)
	} else {
		fmt.Fprintln(hc.Stdout, s)
	}
}

func setLimit(o options, k limitKind, value string) error {
	l, err := getLimit(k)
	if err != nil {
		return err
	}
	v := uint64(unix.RLIM_INFINITY)
	switch value {
	case "unlimited":
	case "hard":
		v = l.Max
	default:
		n, err := strconv.ParseUint(value, 10, 54)
		if err != nil {
			return unix.EINVAL
		}
		v = n * k.unit
	}
	both := !o.has('H') && !o.has('S')
	if both || o.has('S') {
		l.Cur = v
	}
	if both || o.has('H') {
		l.Max = v
	}
	err = syscall.Setrlimit(k.resource, &l) // tells os/exec not to restore it
	if err == nil && k.resource == unix.RLIMIT_NOFILE {
		nofile.Soft = l.Cur
	}
	return err
}

func setUmask(hc interp.HandlerContext, args []string) int {
	switch {
	case len(args) == 0:
		fmt.Fprintf(hc.Stdout, "%04o\n", umask())
	case args[0] == "-S":
		m := ^umask()
		part := func(shift uint) string {
			s := ""
			for i, c := range "rwx" {
				if m>>shift&(4>>i) != 0 {
					s += string(c)
				}
			}
			return s
		}
		fmt.Fprintf(hc.Stdout, "u=%s,g=%s,o=%s\n", part(6), part(3), part(0))
	default:
		n, err := strconv.ParseUint(args[0], 8, 32)
		if err != nil || n > 0o777 {
			allowed, ok := parseMode(args[0], ^umask()&0o777, 0)
			if !ok {
				fmt.Fprintf(hc.Stderr, "umask: bad mask '%s'\n", args[0])
				return 1
			}
			n = uint64(^allowed & 0o777)
		}
		syscall.Umask(int(n))
	}
	return 0
}
