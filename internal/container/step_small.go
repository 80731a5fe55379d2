package container

import (
	"slices"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/plan"
	"github.com/tare-engine/tare/internal/spec/oci"
	"golang.org/x/sys/unix"
)

func hasSysctl(s *specs.Spec) bool      { return len(s.Linux.Sysctl) > 0 }
func hasHostname(s *specs.Spec) bool    { return s.Hostname != "" || s.Domainname != "" }
func readonlyRoot(s *specs.Spec) bool   { return s.Root != nil && s.Root.Readonly }
func hasOOMScore(s *specs.Spec) bool    { return s.Process.OOMScoreAdj != nil }
func hasPersonality(s *specs.Spec) bool { return s.Linux.Personality != nil }
func hasLabel(s *specs.Spec) bool {
	return s.Process.ApparmorProfile != "" || s.Process.SelinuxLabel != "" || s.Linux.MountLabel != ""
}

// writeProc adds the ops that write one file of procfs. The mount may be the
// container's /proc by now: what a volume's link made land on it is refused
// (CVE-2025-52881).
func (e *env) writeProc(file, text string, opts ...plan.Opt) {
	fd := e.p.Openat2(plan.InChild, file, e.procfs().Arg(), file, unix.O_WRONLY, 0, inProc)
	e.p.Write(plan.InChild, fd.Arg(), text, opts...)
}

const inProc = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_MAGICLINKS

func sysctlChild(e *env) error {
	var names []string
	for name := range e.spec.Linux.Sysctl {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		// A parameter of no namespace, or of a shared one, is the host's.
		ns, path, err := oci.SysctlNamespace(name)
		switch {
		case err != nil:
			return err
		case path == "kernel/hostname" || path == "kernel/domainname" && e.spec.Domainname != "":
			return fault.New(fault.Invalid, "sysctl %q has a field of its own", name)
		case namespace(e.spec, ns) == nil:
			return fault.New(fault.Invalid, "sysctl %q is not allowed in the host's %s namespace", name, ns)
		}
		e.p.Note("sysctl " + name)
		e.writeProc("sys/"+path, e.spec.Linux.Sysctl[name])
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
	for _, l := range []string{e.spec.Process.SelinuxLabel, e.spec.Linux.MountLabel} {
		if l != "" && !e.cfg.Facts.SELinux {
			return fault.New(fault.Unsupported, "selinux label %q: SELinux is not enabled", l)
		}
	}
	if l := e.spec.Process.SelinuxLabel; l != "" {
		e.p.Note("selinux label " + l)
		e.writeProc("self/attr/exec", l)
	}
	if l := e.spec.Linux.MountLabel; l != "" && !e.cfg.Facts.SELinux {
		return fault.New(fault.Unsupported, "selinux mount label %q: SELinux is not enabled", l)
	}
	return nil
}

// label gives the files of a new file system the configuration's label.
func (e *env) label(side plan.Side, fs plan.Slot) {
	if l := e.spec.Linux.MountLabel; l != "" {
		e.p.FsString(side, fs, "context", l)
	}
}
