package oci

import (
	"strconv"
	"strings"

	"github.com/tare-engine/tare/internal/lib/fault"
	"golang.org/x/sys/unix"
)

// ParseSignal reads a signal: a number, or a name with or without SIG,
// RTMIN+n and RTMAX-n included.
func ParseSignal(s string) (unix.Signal, error) {
	const rtmin, rtmax = 34, 64 // as the C libraries have them
	bad := fault.New(fault.Invalid, "invalid signal: %s", s)
	if n, err := strconv.Atoi(s); err == nil {
		if n < 1 || n > rtmax {
			return 0, bad
		}
		return unix.Signal(n), nil
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	for _, rt := range [...]struct {
		name string
		base int
		sign byte
	}{{"RTMIN", rtmin, '+'}, {"RTMAX", rtmax, '-'}} {
		rest, ok := strings.CutPrefix(name, rt.name)
		if !ok {
			continue
		}
		if rest == "" {
			return unix.Signal(rt.base), nil
		}
		n, err := strconv.ParseUint(rest[1:], 10, 8)
		if rest[0] != rt.sign || err != nil || n > rtmax-rtmin {
			return 0, bad
		}
		if rt.sign == '-' {
			return unix.Signal(rt.base - int(n)), nil
		}
		return unix.Signal(rt.base + int(n)), nil
	}
	if sig := unix.SignalNum("SIG" + name); sig != 0 {
		return sig, nil
	}
	return 0, bad
}
