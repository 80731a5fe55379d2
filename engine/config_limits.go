package engine

import (
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/spec"
)

// ulimitName gives the OCI name of a limit in Docker's spelling.
func ulimitName(name string) (string, bool) {
	switch name {
	case "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile",
		"nproc", "rss", "rtprio", "rttime", "sigpending", "stack", "as":
		return "RLIMIT_" + strings.ToUpper(name), true
	}
	return "", false
}

// ParseUlimit reads name=soft[:hard]; -1 is unlimited, and a missing hard
// limit is the soft one.
func ParseUlimit(s string) (Ulimit, error) {
	name, values, ok := strings.Cut(s, "=")
	if !ok {
		return Ulimit{}, fault.New(fault.Invalid, "invalid ulimit argument: %s", s)
	}
	if _, known := ulimitName(name); !known {
		return Ulimit{}, fault.New(fault.Invalid, "invalid ulimit type: %s", name)
	}
	softText, hardText, both := strings.Cut(values, ":")
	soft, err := parseLimit(softText)
	if err != nil {
		return Ulimit{}, fault.New(fault.Invalid, "invalid ulimit argument: %s", s)
	}
	hard := soft
	if both {
		if hard, err = parseLimit(hardText); err != nil {
			return Ulimit{}, fault.New(fault.Invalid, "invalid ulimit argument: %s", s)
		}
	}
	u := Ulimit{Name: name, Soft: soft, Hard: hard}
	return u, u.check()
}

func (u *Ulimit) check() error {
	if u.Hard != -1 && (u.Soft == -1 || u.Soft > u.Hard) {
		return fault.New(fault.Invalid, "ulimit %s: soft limit must be less than or equal to hard limit: %d > %d", u.Name, u.Soft, u.Hard)
	}
	return nil
}

func parseLimit(s string) (int64, error) {
	if s == "unlimited" {
		return -1, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err == nil && n < -1 {
		return 0, strconv.ErrRange
	}
	return n, err
}

func rlimits(list []Ulimit) ([]specs.POSIXRlimit, error) {
	var out []specs.POSIXRlimit
	for i := range list {
		u := &list[i]
		name, ok := ulimitName(u.Name)
		if !ok {
			return nil, fault.New(fault.Invalid, "invalid ulimit type: %s", u.Name)
		}
		if err := u.check(); err != nil {
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

// ParseSignal is spec.ParseSignal, for surfaces.
func ParseSignal(s string) (unix.Signal, error) { return spec.ParseSignal(s) }
