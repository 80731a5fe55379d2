package compose

import (
	"strconv"
	"strings"

	"github.com/tare-engine/tare/internal/lib/fault"
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
