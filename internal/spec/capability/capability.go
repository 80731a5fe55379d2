// Package capability names the Linux capabilities and computes the set that a
// container gets.
//
// Everything here is pure: the caller reads its own bounding set and
// /proc/sys/kernel/cap_last_cap and passes them in.
package capability

import (
	"math/bits"
	"strings"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// Cap is a capability number as in linux/capability.h.
type Cap uint8

// Last is the newest capability that this package can name,
// CAP_CHECKPOINT_RESTORE of Linux 5.9.
const Last Cap = Cap(len(names) - 1)

// names is indexed by number; the CAP_ prefix is kept so that String is free.
var names = [...]string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER",
	"CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST",
	"CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER",
	"CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE",
	"CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE",
	"CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD",
	"CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP",
	"CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF",
	"CAP_CHECKPOINT_RESTORE",
}

// sorted holds the numbers in the order of their names, for Parse.
var sorted = [len(names)]Cap{
	30, 37, 29, 36, 39, 40, 0, 1, 2, 3, 4, 14, 15, 5, 28, 9, 33, 32, 27, 12,
	10, 11, 13, 38, 31, 6, 8, 7, 34, 21, 22, 18, 16, 23, 20, 19, 17, 24, 25,
	26, 35,
}

// String returns the name with its CAP_ prefix, or CAP_<number> for one that
// is newer than this package.
func (c Cap) String() string {
	if int(c) < len(names) {
		return names[c]
	}
	n := int(c)
	buf := [...]byte{'C', 'A', 'P', '_', byte('0' + n/100), byte('0' + n/10%10), byte('0' + n%10)}
	if n < 100 {
		return "CAP_" + string(buf[5:])
	}
	return string(buf[:])
}

// Parse returns the capability of that name: CAP_NET_ADMIN or NET_ADMIN, in
// any case. An unknown name is a [fault.Invalid] error that quotes it.
func Parse(name string) (Cap, error) {
	short := trimPrefix(name)
	lo, hi := 0, len(sorted)
	for lo < hi {
		mid := (lo + hi) / 2
		switch compareFold(short, names[sorted[mid]][len("CAP_"):]) {
		case 0:
			return sorted[mid], nil
		case -1:
			hi = mid
		default:
			lo = mid + 1
		}
	}
	return 0, fault.New(fault.Invalid, "unknown capability %q", name)
}

func trimPrefix(name string) string {
	if len(name) > 4 && strings.EqualFold(name[:4], "CAP_") {
		return name[4:]
	}
	return name
}

// compareFold compares a, its ASCII letters raised to upper case, with b.
func compareFold(a, b string) int {
	for i := 0; i < len(a) && i < len(b); i++ {
		c := a[i]
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		switch {
		case c < b[i]:
			return -1
		case c > b[i]:
			return 1
		}
	}
	switch {
	case len(a) < len(b):
		return -1
	case len(a) > len(b):
		return 1
	}
	return 0
}

// Set is a set of capabilities, bit n for capability n, as the kernel's
// capget(2) and /proc/PID/status hold it.
type Set uint64

// Of returns the set of the given capabilities.
func Of(caps ...Cap) Set {
	var s Set
	for _, c := range caps {
		s |= 1 << c
	}
	return s
}

// UpTo returns the set of all capabilities from 0 to last, both included.
func UpTo(last Cap) Set {
	if last >= 63 {
		return ^Set(0)
	}
	return 1<<(last+1) - 1
}

// Has reports whether c is in s.
func (s Set) Has(c Cap) bool { return c < 64 && s>>c&1 != 0 }

// Len returns the number of capabilities in s.
func (s Set) Len() int { return bits.OnesCount64(uint64(s)) }

// Names returns the names in s with their CAP_ prefix, in the order of their
// numbers, as the OCI spec wants them.
func (s Set) Names() []string {
	out := make([]string, 0, s.Len())
	for r := s; r != 0; r &= r - 1 {
		out = append(out, Cap(bits.TrailingZeros64(uint64(r))).String())
	}
	return out
}

// String returns the names joined by commas, or "none".
func (s Set) String() string {
	if s == 0 {
		return "none"
	}
	return strings.Join(s.Names(), ",")
}

// ParseSet returns the set of the named capabilities, as an OCI process holds
// them. It collects the names that it does not know instead of failing: the
// runtime spec has them warned about.
func ParseSet(list []string) (s Set, unknown []string) {
	for _, n := range list {
		c, err := Parse(n)
		if err != nil {
			unknown = append(unknown, n)
			continue
		}
		s |= 1 << c
	}
	return s, unknown
}
