package capability

import (
	"strings"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// all is the word that stands for every capability in --cap-add and
// --cap-drop.
const all = "ALL"

// Default returns the 14 capabilities that Docker gives a container
// (moby daemon/pkg/oci/caps/defaults.go).
func Default() Set {
	return 1<<0 | // CAP_CHOWN
		1<<1 | // CAP_DAC_OVERRIDE
		1<<3 | // CAP_FOWNER
		1<<4 | // CAP_FSETID
		1<<5 | // CAP_KILL
		1<<6 | // CAP_SETGID
		1<<7 | // CAP_SETUID
		1<<8 | // CAP_SETPCAP
		1<<10 | // CAP_NET_BIND_SERVICE
		1<<13 | // CAP_NET_RAW
		1<<18 | // CAP_SYS_CHROOT
		1<<27 | // CAP_MKNOD
		1<<29 | // CAP_AUDIT_WRITE
		1<<31 // CAP_SETFCAP
}

// Compute returns the capabilities of a container.
//
// The rules are Docker's (moby TweakCapabilities): privileged gives all and
// ignores the lists; ALL in add gives all but those in drop; else ALL in drop
// gives just those in add; else the defaults lose drop and then gain add, so
// a name in both lists is kept.
//
// bounding is the caller's own bounding set and last the newest capability of
// the running kernel: a container cannot have more. Each capability that add
// names and that is therefore left out gives one warning; privileged gives one
// for all of them. An unknown name in either list is a [fault.Invalid] error,
// also with privileged.
func Compute(defaults Set, add, drop []string, privileged bool, bounding Set, last Cap) (Set, []string, error) {
	added, addAll, err := parseList("cap-add", add)
	if err != nil {
		return 0, nil, err
	}
	dropped, dropAll, err := parseList("cap-drop", drop)
	if err != nil {
		return 0, nil, err
	}

	have := bounding & UpTo(last)
	var want Set
	switch {
	case privileged:
		// All that this package can name: a bit above Last has no name
		// that the spec could carry.
		want = UpTo(min(last, Last))
		if lost := want &^ have; lost != 0 {
			return want & have, []string{"privileged without " + lost.String() + ": not in the engine's own bounding set"}, nil
		}
		return want, nil, nil
	case addAll:
		want = UpTo(min(last, Last)) &^ dropped
	case dropAll:
		want = added
	default:
		want = defaults&^dropped | added
	}
	return want & have, lostWarnings(added&want&^have, last), nil
}

// lostWarnings explains why each named capability is not given.
func lostWarnings(lost Set, last Cap) []string {
	var out []string
	for c := Cap(0); c <= Last; c++ {
		if !lost.Has(c) {
			continue
		}
		why := "not in the engine's own bounding set"
		if c > last {
			why = "not known to this kernel"
		}
		out = append(out, "capability "+c.String()+" is not given: "+why)
	}
	return out
}

func parseList(flag string, list []string) (s Set, hasAll bool, err error) {
	for _, n := range list {
		if strings.EqualFold(n, all) {
			hasAll = true
			continue
		}
		c, err := Parse(n)
		if err != nil {
			return 0, false, fault.New(fault.Invalid, "%s: %w", flag, err)
		}
		s |= 1 << c
	}
	return s, hasAll, nil
}
