package compose

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/lib/fault"
)

func rlimits(list []api.Ulimit) ([]specs.POSIXRlimit, error) {
	var out []specs.POSIXRlimit
	for i := range list {
		u := &list[i]
		name, ok := api.UlimitType(u.Name)
		if !ok {
			return nil, fault.New(fault.Invalid, "invalid ulimit type: %s", u.Name)
		}
		if err := u.Check(); err != nil {
			return nil, err
		}
		// -1 becomes RLIM_INFINITY. A repeated name takes the last value.
		l := specs.POSIXRlimit{Type: name, Soft: uint64(u.Soft), Hard: uint64(u.Hard)}
		if j := indexLimit(out, name); j >= 0 {
			out[j] = l
		} else {
			out = append(out, l)
		}
	}
	return out, nil
}

func indexLimit(l []specs.POSIXRlimit, name string) int {
	for i := range l {
		if l[i].Type == name {
			return i
		}
	}
	return -1
}
