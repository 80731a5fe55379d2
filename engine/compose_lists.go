package engine

import (
	"strconv"
	"strings"

	"github.com/tare-engine/tare/fault"
)

// maxCPU bounds the numbers of a list: the kernel's NR_CPUS is at most 8192.
const maxCPU = 8192

// numberSet is a set of CPUs or memory nodes.
type numberSet [maxCPU / 64]uint64

func (s *numberSet) contains(t *numberSet) bool {
	for i := range s {
		if t[i]&^s[i] != 0 {
			return false
		}
	}
	return true
}

// parseCPUList reads the list format of cpuset(7): 0-4,9.
func parseCPUList(s string) (*numberSet, error) {
	set := &numberSet{}
	for part := range strings.SplitSeq(strings.TrimSpace(s), ",") {
		lo, hi, isRange := strings.Cut(part, "-")
		if !isRange {
			hi = lo
		}
		a, err := strconv.ParseUint(lo, 10, 16)
		if err != nil {
			return nil, fault.New(fault.Invalid, "%q is not a number", lo)
		}
		b, err := strconv.ParseUint(hi, 10, 16)
		if err != nil {
			return nil, fault.New(fault.Invalid, "%q is not a number", hi)
		}
		if b >= maxCPU {
			return nil, fault.New(fault.Invalid, "%d is too large: the maximum is %d", b, maxCPU-1)
		}
		if a > b {
			return nil, fault.New(fault.Invalid, "%q is not a range", part)
		}
		for n := a; n <= b; n++ {
			set[n/64] |= 1 << (n % 64)
		}
	}
	return set, nil
}

// ParseSize reads a number of bytes with an optional unit as Docker does:
// powers of 1024, units b, k, m, g, t, p with an optional b or ib, a fraction
// and any case.
func ParseSize(s string) (int64, error) {
	i := 0
	for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '.') {
		i++
	}
	num, unit := s[:i], strings.ToLower(strings.TrimPrefix(s[i:], " "))
	v, err := strconv.ParseFloat(num, 64)
	if err != nil || num == "" {
		return 0, fault.New(fault.Invalid, "invalid size: %q", s)
	}
	if unit != "" {
		shift := strings.IndexByte("bkmgtp", unit[0])
		switch rest := unit[1:]; {
		case shift < 0, rest != "" && rest != "b" && rest != "ib", shift == 0 && rest != "":
			return 0, fault.New(fault.Invalid, "invalid suffix: %q", s[i:])
		}
		v *= float64(int64(1) << (10 * shift))
	}
	if v >= 1<<63 {
		return 0, fault.New(fault.Invalid, "invalid size: %q is too large", s)
	}
	return int64(v), nil
}
