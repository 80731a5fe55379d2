package seccomp

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"golang.org/x/sys/unix"
)

type compiler struct {
	asm
	filters []filter
	conds   []cond
	links   []link
	bodies  []body
	segs    []seg // scratch of section
	enosys  bool  // numbers that the profile cannot know return ENOSYS
}

// Compile returns the BPF program of p and what to load it with. A nil
// profile, seccomp=unconfined, gives a nil program.
//
// The answers are those of runc with libseccomp: of several rules for a call
// the first one without arguments wins over all others; rules with arguments
// are tried from the most specific on; a rule that compares one argument twice
// counts as several rules (opencontainers/runc#2735); rules with the default
// action do nothing. Unless the default action lets calls run, numbers above
// the newest one that the profile names return ENOSYS, so that a C library's
// fallback for an older kernel works.
//
// Errors are [fault.Invalid] and name the field; a machine without tables is
// [fault.Unsupported].
func Compile(p *specs.LinuxSeccomp, o Options) ([]unix.SockFilter, Info, error) {
	if p == nil {
		return nil, Info{}, nil
	}
	var c compiler
	var info Info
	def, err := returnValue(p.DefaultAction, p.DefaultErrnoRet)
	if err != nil {
		return nil, Info{}, invalid("defaultAction: %w", err)
	}
	c.actions, c.rets = make([]uint32, 0, 8), make([]target, 0, 8)
	c.action(def)
	c.enosys = !allows(def)
	if err := c.pickArches(p, o, &info); err != nil {
		return nil, Info{}, err
	}
	if err := c.addRules(p, &info); err != nil {
		return nil, Info{}, err
	}
	c.code = make([]unix.SockFilter, 0, 512)
	c.program()
	if len(c.code) > unix.BPF_MAXINSNS {
		return nil, Info{}, invalid("needs %d instructions, the kernel takes %d", len(c.code), unix.BPF_MAXINSNS)
	}
	slices.Reverse(c.code)

	info.Notify = slices.ContainsFunc(c.actions, func(ret uint32) bool { return ret == unix.SECCOMP_RET_USER_NOTIF })
	if info.Flags, err = filterFlags(p.Flags, info.Notify); err != nil {
		return nil, Info{}, err
	}
	return c.code, info, nil
}

// pickArches makes a filter for the native architecture and for each one of
// the profile.
func (c *compiler) pickArches(p *specs.LinuxSeccomp, o Options, info *Info) error {
	native, ok := nativeColumn(o.goarch())
	if !ok {
		return fault.New(fault.Unsupported, "compile seccomp profile: no system call table for %s", o.goarch())
	}
	c.filters = make([]filter, 1, 3)
	c.filters[0].col = native
	info.Arches = append(make([]specs.Arch, 0, 3), arches[native].name)
	for i, a := range p.Architectures {
		col, ok, known := archColumn(a)
		switch {
		case !known:
			return invalid("architectures[%d]: unknown architecture %q", i, string(a))
		case !ok:
			info.Ignored = append(info.Ignored, a)
		case !slices.Contains(info.Arches, a):
			c.filters = append(c.filters, filter{col: col})
			info.Arches = append(info.Arches, a)
		}
	}
	return nil
}

// addRules fills the filters.
func (c *compiler) addRules(p *specs.LinuxSeccomp, info *Info) error {
	c.links = make([]link, 1, 64) // [0] is unused: next 0 ends a chain
	hint := 0
	for i := range p.Syscalls {
		s := &p.Syscalls[i]
		ret, err := returnValue(s.Action, s.ErrnoRet)
		if err != nil {
			return invalid("syscalls[%d].action: %w", i, err)
		}
		if len(s.Names) == 0 {
			return invalid("syscalls[%d].names: is empty", i)
		}
		if len(c.conds)+len(s.Args) > maxConds {
			return invalid("has more than %d arguments", maxConds)
		}
		r := rule{action: uint16(c.action(ret)), from: uint16(len(c.conds))}
		var seen uint8
		for j := range s.Args {
			cd, err := parseCond(i, j, &s.Args[j])
			if err != nil {
				return err
			}
			r.twice = r.twice || seen>>cd.arg&1 != 0
			seen |= 1 << cd.arg
			c.conds = append(c.conds, cd)
		}
		r.to = uint16(len(c.conds))
		for _, name := range s.Names {
			if name == "" {
				return invalid("syscalls[%d].names: holds an empty name", i)
			}
			known := false
			if call := lookupCall(name, hint); call >= 0 {
				known = c.addCall(call, r)
				hint = call + 1
			}
			if !known && !slices.Contains(info.Unknown, name) {
				info.Unknown = append(info.Unknown, name)
			}
			if len(c.links) > maxLinks || len(c.conds) > maxConds {
				return invalid("has too many rules with arguments")
			}
		}
	}
	return nil
}
