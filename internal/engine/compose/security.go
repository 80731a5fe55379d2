package compose

import (
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/host"
	"github.com/tare-engine/tare/internal/spec/capability"
	"github.com/tare-engine/tare/internal/spec/oci"
	"github.com/tare-engine/tare/internal/spec/seccomp"
)

// securityOpts are the values of --security-opt, read.
type securityOpts struct {
	seccomp         string // "", "unconfined" or JSON text
	apparmor        string
	labels          []string // disable, user:U, role:R, type:T, level:L, nested
	noNewPrivileges bool
	plainPaths      bool // systempaths=unconfined
	writableCgroups bool
}

func parseSecurityOpts(list []string) (o securityOpts, err error) {
	for _, s := range list {
		if s == "no-new-privileges" {
			o.noNewPrivileges = true
			continue
		}
		key, value, ok := strings.Cut(s, "=")
		if k, v, colon := strings.Cut(s, ":"); !ok || colon && len(k) < len(key) {
			key, value, ok = k, v, colon // Docker's first form
		}
		if !ok {
			return o, fault.New(fault.Invalid, "invalid --security-opt: %q", s)
		}
		switch key {
		case "seccomp":
			o.seccomp = value
			if value == "builtin" || value == "default" {
				o.seccomp = ""
			}
		case "apparmor":
			o.apparmor = value
		case "label":
			o.labels = append(o.labels, value)
		case "no-new-privileges":
			o.noNewPrivileges, err = strconv.ParseBool(value)
		case "writable-cgroups":
			o.writableCgroups, err = strconv.ParseBool(value)
		case "systempaths":
			if o.plainPaths = value == "unconfined"; !o.plainPaths {
				err = strconv.ErrSyntax
			}
		default:
			err = strconv.ErrSyntax
		}
		if err != nil {
			return o, fault.New(fault.Invalid, "invalid --security-opt: %q", s)
		}
	}
	return o, nil
}

// security gives capabilities, seccomp, LSM labels and the system paths.
func security(in *Inputs, m *modes) ([]oci.Option, []string, error) {
	h, f := &in.Config.HostConfig, in.Host
	o, err := parseSecurityOpts(h.SecurityOpt)
	if err != nil {
		return nil, nil, err
	}
	caps, warn, err := capability.Compute(capability.Default(), h.CapAdd, h.CapDrop, h.Privileged, f.Bounding, f.LastCap)
	if err != nil {
		return nil, nil, err
	}
	names := caps.Names()
	opts := []oci.Option{oci.Capabilities(names), oci.SystemPaths(h.MaskedPaths, h.ReadonlyPaths)}
	if o.noNewPrivileges {
		opts = append(opts, noNewPrivileges)
	}
	if h.Privileged || o.plainPaths {
		opts = append(opts, oci.SystemPaths([]string{}, []string{}))
	}
	if h.Privileged {
		opts = append(opts, oci.WritableMount("/sys"))
	}
	if h.Privileged || o.writableCgroups {
		if m.cgroup.host {
			// The host's own tree, release_agent of v1 with it, is never
			// writable from inside (CVE-2022-0492).
			if o.writableCgroups {
				return nil, nil, fault.New(fault.Invalid, "conflicting options: writable-cgroups and --cgroupns host")
			}
		} else {
			opts = append(opts, oci.WritableMount("/sys/fs/cgroup"))
		}
	}
	profile, err := seccompProfile(in, o.seccomp, names)
	if err != nil {
		return nil, nil, err
	}
	apparmor, err := apparmorProfile(o.apparmor, h.Privileged, f)
	if err != nil {
		return nil, nil, err
	}
	process, mount, err := selinuxLabels(o.labels, in, m)
	if err != nil {
		return nil, nil, err
	}
	opts = append(opts, func(s *specs.Spec) error {
		s.Linux.Seccomp = profile
		s.Process.ApparmorProfile = apparmor
		s.Process.SelinuxLabel, s.Linux.MountLabel = process, mount
		return nil
	})
	return opts, warn, nil
}

func noNewPrivileges(s *specs.Spec) error {
	s.Process.NoNewPrivileges = true
	return nil
}

// defaultFilter reports whether the profile is the default one, which depends
// on what it returns.
func defaultFilter(in *Inputs, opt string, caps []string) (seccomp.Host, bool) {
	host := seccomp.Host{GOARCH: in.Host.Arch, Kernel: in.Host.Kernel, Caps: caps}
	return host, opt == "" && !in.Config.HostConfig.Privileged
}

// DefaultFilter reports whether the container gets the default filter, and what
// that is a function of: the engine keeps the compiled ones.
func DefaultFilter(in *Inputs) (seccomp.Host, bool) {
	h := &in.Config.HostConfig
	o, err := parseSecurityOpts(h.SecurityOpt)
	if err != nil {
		return seccomp.Host{}, false // Compose says why
	}
	caps, _, err := capability.Compute(capability.Default(), h.CapAdd, h.CapDrop, h.Privileged, in.Host.Bounding, in.Host.LastCap)
	if err != nil {
		return seccomp.Host{}, false
	}
	return defaultFilter(in, o.seccomp, caps.Names())
}

func seccompProfile(in *Inputs, opt string, caps []string) (*specs.LinuxSeccomp, error) {
	host, isDefault := defaultFilter(in, opt, caps)
	switch {
	case isDefault && in.Filtered, opt == "unconfined", opt == "" && !isDefault:
		return nil, nil
	case isDefault:
		return seccomp.Default(host), nil
	}
	return seccomp.ParseFile([]byte(opt), host)
}

func apparmorProfile(opt string, privileged bool, f *host.Facts) (string, error) {
	if !f.AppArmor {
		if opt != "" && opt != "unconfined" {
			return "", fault.New(fault.Unsupported, "apparmor=%s: AppArmor is not enabled on this machine", opt)
		}
		return "", nil
	}
	switch {
	case opt != "":
		return opt, nil
	case privileged:
		return "unconfined", nil
	}
	return "", nil
}

// selinuxLabels computes the label of the process and of its files. The level
// has two categories from the container's ID, so that containers are kept
// apart without a register of categories in use.
func selinuxLabels(opts []string, in *Inputs, m *modes) (process, mount string, err error) {
	h := &in.Config.HostConfig
	user, role, typ, level, file := "system_u", "system_r", "container_t", "", "container_file_t"
	disable := h.Privileged || m.pid.host || m.ipc.host
	for _, o := range opts {
		key, value, ok := strings.Cut(o, ":")
		switch {
		case key == "disable" && !ok:
			disable = true
			continue
		case !ok || value == "":
			err = strconv.ErrSyntax
		case key == "user":
			user = value
		case key == "role":
			role = value
		case key == "type":
			typ = value
		case key == "filetype":
			file = value
		case key == "level":
			level = value
		default:
			err = strconv.ErrSyntax
		}
		if err != nil {
			return "", "", fault.New(fault.Invalid, "invalid --security-opt: %q", "label="+o)
		}
		if !in.Host.SELinux {
			return "", "", fault.New(fault.Unsupported, "label=%s: SELinux is not enabled on this machine", o)
		}
		disable = false
	}
	if disable || !in.Host.SELinux {
		return "", "", nil
	}
	if level == "" {
		level = mcsLevel(in.ID)
	}
	return user + ":" + role + ":" + typ + ":" + level, "system_u:object_r:" + file + ":" + level, nil
}

// mcsLevel takes two different categories below 1024 from the first digits of
// an ID.
func mcsLevel(id string) string {
	n, err := strconv.ParseUint(id[:min(8, len(id))], 16, 32)
	if err != nil {
		return "s0"
	}
	a, b := n&1023, n>>10&1023
	if a == b {
		b = (a + 1) & 1023
	}
	return "s0:c" + strconv.FormatUint(min(a, b), 10) + ",c" + strconv.FormatUint(max(a, b), 10)
}
