package runtime

import (
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/plan"
	"golang.org/x/sys/unix"
)

func hasSysctl(s *specs.Spec) bool      { return len(s.Linux.Sysctl) > 0 }
func hasHostname(s *specs.Spec) bool    { return s.Hostname != "" || s.Domainname != "" }
func readonlyRoot(s *specs.Spec) bool   { return s.Root != nil && s.Root.Readonly }
func hasOOMScore(s *specs.Spec) bool    { return s.Process.OOMScoreAdj != nil }
func hasPersonality(s *specs.Spec) bool { return s.Linux.Personality != nil }
func hasLabel(s *specs.Spec) bool {
	return s.Process.ApparmorProfile != "" || s.Process.SelinuxLabel != ""
}

// writeProc adds the ops that write one file of procfs, through the private
// mount.
func (e *env) writeProc(file, text string, opts ...plan.Opt) {
	fd := e.p.Openat2(plan.InChild, file, e.procfs().Arg(), file, unix.O_WRONLY, 0, unix.RESOLVE_BENEATH)
	e.p.Write(plan.InChild, fd.Arg(), text, opts...)
}

func sysctlChild(e *env) error {
	var names []string
	for name := range e.spec.Linux.Sysctl {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		// As sysctl(8): with a slash in the name, dots are part of it.
		file := name
		if !strings.Contains(file, "/") {
			file = strings.ReplaceAll(file, ".", "/")
		}
		if strings.Contains("/"+file+"/", "/../") {
			return fault.New(fault.Invalid, "sysctl %q: not a name", name)
		}
		e.p.Note("sysctl " + name)
		e.writeProc("sys/"+file, e.spec.Linux.Sysctl[name])
	}
	return nil
}

func hostnameChild(e *env) error {
	s := e.spec
	if namespace(s, specs.UTSNamespace) == nil {
		return fault.New(fault.Invalid, "hostname: the container has no uts namespace")
	}
	if s.Hostname != "" {
		e.p.Note("set hostname " + s.Hostname)
		e.p.Call(plan.InChild, unix.SYS_SETHOSTNAME, []plan.Arg{e.p.Str(s.Hostname), plan.Int(len(s.Hostname))})
	}
	if s.Domainname != "" {
		e.p.Note("set domainname " + s.Domainname)
		e.p.Call(plan.InChild, unix.SYS_SETDOMAINNAME, []plan.Arg{e.p.Str(s.Domainname), plan.Int(len(s.Domainname))})
	}
	return nil
}

// oomScoreChild tolerates EACCES on a negative value: it needs
// CAP_SYS_RESOURCE, which callers do not always have.
func oomScoreChild(e *env) error {
	adj := *e.spec.Process.OOMScoreAdj
	if adj < -1000 || adj > 1000 {
		return fault.New(fault.Invalid, "oom-score-adj %d: not from -1000 to 1000", adj)
	}
	e.p.Note("set oom_score_adj " + strconv.Itoa(adj))
	if adj < 0 {
		e.writeProc("self/oom_score_adj", strconv.Itoa(adj), plan.OK(unix.EACCES, unix.EPERM))
		e.tolerate("oom-score-adj " + strconv.Itoa(adj))
		return nil
	}
	e.writeProc("self/oom_score_adj", strconv.Itoa(adj), plan.OK(unix.EACCES))
	e.tolerate("oom-score-adj " + strconv.Itoa(adj))
	return nil
}

func personalityChild(e *env) error {
	var p uint64
	switch d := e.spec.Linux.Personality.Domain; d {
	case specs.PerLinux:
	case specs.PerLinux32:
		p = unixPerLinux32
	default:
		return fault.New(fault.Invalid, "personality %q: unknown", d)
	}
	if len(e.spec.Linux.Personality.Flags) > 0 {
		return fault.New(fault.Unsupported, "personality: flags")
	}
	e.p.Note("set personality")
	e.p.Call(plan.InChild, unix.SYS_PERSONALITY, []plan.Arg{plan.Int(p)})
	return nil
}

// unixPerLinux32 is PER_LINUX32 of linux/personality.h.
const unixPerLinux32 = 0x8

// lsmChild asks for a label at the next exec.
func lsmChild(e *env) error {
	if p := e.spec.Process.ApparmorProfile; p != "" {
		if !e.cfg.Facts.AppArmor {
			return fault.New(fault.Unsupported, "apparmor profile %q: this kernel has no AppArmor", p)
		}
		e.p.Note("apparmor profile " + p)
		e.writeProc("self/attr/apparmor/exec", "exec "+p) // Linux 5.8
	}
	if l := e.spec.Process.SelinuxLabel; l != "" {
		if !e.cfg.Facts.SELinux {
			return fault.New(fault.Unsupported, "selinux label %q: SELinux is not enabled", l)
		}
		e.p.Note("selinux label " + l)
		e.writeProc("self/attr/exec", l)
	}
	return nil
}
