package cgroup

import (
	"math"
	"slices"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// The bits of a device access, as linux/bpf.h has them.
const (
	accMknod = 1 << iota
	accRead
	accWrite
	accAll = accMknod | accRead | accWrite
)

// anyNumber is the wildcard for a major or minor number.
const anyNumber = -1

// rule is one device rule. The last rule that covers a requested bit decides
// on it; a bit that no rule covers is denied.
type rule struct {
	allow        bool
	kind         byte // 'b', 'c' or, for both, 'a'
	major, minor int64
	access       uint8
}

func (r rule) isAll() bool {
	return r.kind == 'a' && r.major == anyNumber && r.minor == anyNumber && r.access == accAll
}

// covers tells whether every device of o is one of r.
func (r rule) covers(o rule) bool {
	return (r.kind == 'a' || r.kind == o.kind) &&
		(r.major == anyNumber || r.major == o.major) &&
		(r.minor == anyNumber || r.minor == o.minor)
}

// grants tells whether r alone decides all that o asks for.
func (r rule) grants(o rule) bool { return r.covers(o) && o.access&^r.access == 0 }

// meet returns the devices that r and o share, with both their accesses.
func (r rule) meet(o rule) (rule, bool) {
	m := r
	m.access |= o.access
	if r.kind == 'a' {
		m.kind = o.kind
	} else if o.kind != 'a' && o.kind != r.kind {
		return m, false
	}
	if r.major == anyNumber {
		m.major = o.major
	} else if o.major != anyNumber && o.major != r.major {
		return m, false
	}
	if r.minor == anyNumber {
		m.minor = o.minor
	} else if o.minor != anyNumber && o.minor != r.minor {
		return m, false
	}
	return m, true
}

// String is the kernel's v1 form: "c 1:* rwm".
func (r rule) String() string {
	number := func(n int64) string {
		if n == anyNumber {
			return "*"
		}
		return strconv.FormatInt(n, 10)
	}
	s := string(r.kind) + " " + number(r.major) + ":" + number(r.minor) + " "
	for i, letter := range [...]string{"m", "r", "w"} {
		if r.access&(1<<i) != 0 {
			s += letter
		}
	}
	return s
}

// parseRules reads the spec's rules and drops those before the last one that
// decides everything.
func parseRules(in []specs.LinuxDeviceCgroup) ([]rule, error) {
	out := make([]rule, 0, len(in))
	for i := range in {
		r, err := parseRule(&in[i])
		if err != nil {
			return nil, err
		}
		if r.isAll() {
			out = out[:0]
		}
		out = append(out, r)
	}
	return out, nil
}

func parseRule(d *specs.LinuxDeviceCgroup) (rule, error) {
	r := rule{allow: d.Allow, major: anyNumber, minor: anyNumber}
	switch d.Type {
	case "", "a":
		r.kind = 'a'
	case "b":
		r.kind = 'b'
	case "c", "u":
		r.kind = 'c'
	default:
		return r, fault.New(fault.Invalid, "use device rule: type %q is not a, b or c", d.Type)
	}
	for _, n := range [...]struct{ from, to *int64 }{{d.Major, &r.major}, {d.Minor, &r.minor}} {
		if n.from == nil {
			continue
		}
		if *n.from < -1 || *n.from > math.MaxUint32 {
			return r, fault.New(fault.Invalid, "use device rule: number %d is out of range", *n.from)
		}
		*n.to = *n.from
	}
	for _, c := range d.Access {
		switch c {
		case 'm':
			r.access |= accMknod
		case 'r':
			r.access |= accRead
		case 'w':
			r.access |= accWrite
		default:
			return r, fault.New(fault.Invalid, "use device rule: access %q is not of r, w and m", d.Access)
		}
	}
	if d.Access == "" {
		r.access = accAll
	}
	return r, nil
}

// deviceWrite is one write to devices.allow or devices.deny.
type deviceWrite struct{ file, value string }

// rulesV1 computes the writes that make a v1 group behave as rules say. The
// kernel keeps one default (set by "a") and exceptions from it, where writing
// the opposite only takes back exceptions of the same numbers. So the rules
// are played first, and the outcome is written: a rule that would have to cut
// a hole into a wildcard exception is fault.Unsupported.
func rulesV1(rules []rule) ([]deviceWrite, error) {
	allow := false
	if len(rules) > 0 && rules[0].isAll() {
		allow, rules = rules[0].allow, rules[1:]
	}
	var except []rule
	for _, r := range rules {
		for _, part := range splitKinds(r) {
			if part.allow != allow {
				except = merge(except, part)
				continue
			}
			var err error
			if except, err = cut(except, part); err != nil {
				return nil, err
			}
		}
	}
	if !allow {
		except = closeUnder(except)
	}
	all := deviceWrite{"devices.deny", "a *:* rwm"}
	other := "devices.allow"
	if allow {
		all.file, other = other, all.file
	}
	out := make([]deviceWrite, 0, 1+len(except))
	out = append(out, all)
	for _, e := range except {
		out = append(out, deviceWrite{other, e.String()})
	}
	return out, nil
}

// splitKinds gives a rule for each of b and c: the kernel takes whatever
// begins with "a" for everything, numbers and access or not.
func splitKinds(r rule) []rule {
	if r.kind != 'a' {
		return []rule{r}
	}
	b, c := r, r
	b.kind, c.kind = 'b', 'c'
	return []rule{b, c}
}

// merge adds r to the exceptions, one for each set of numbers.
func merge(except []rule, r rule) []rule {
	for i := range except {
		e := &except[i]
		if e.kind == r.kind && e.major == r.major && e.minor == r.minor {
			e.access |= r.access
			return except
		}
	}
	return append(except, r)
}

// cut takes r's devices and accesses out of the exceptions.
func cut(except []rule, r rule) ([]rule, error) {
	out := except[:0]
	for _, e := range except {
		_, share := r.meet(e)
		switch {
		case !share || r.access&e.access == 0:
		case r.covers(e):
			e.access &^= r.access
		default:
			return nil, fault.New(fault.Unsupported, "use device rule %s: cgroup v1 cannot make an exception from %s", r, e)
		}
		if e.access != 0 {
			out = append(out, e)
		}
	}
	return out, nil
}

// closeUnder adds, for exceptions that overlap, one with both accesses: the
// kernel wants a single exception that grants the whole request.
func closeUnder(except []rule) []rule {
	for again := true; again; {
		again = false
		for i := 0; i < len(except); i++ {
			for j := 0; j < i; j++ {
				m, share := except[i].meet(except[j])
				if share && !slices.ContainsFunc(except, func(e rule) bool { return e.grants(m) }) {
					except, again = merge(except, m), true
				}
			}
		}
	}
	return except
}
