package api

import (
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// Blanks could hide in the zone of an address and add lines to a file.
const Blanks = " \t\r\n"

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

// UlimitType gives the OCI name of a limit in Docker's spelling.
func UlimitType(name string) (string, bool) {
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
	if _, known := UlimitType(name); !known {
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
	return u, u.Check()
}

// Check refuses a soft limit above the hard one.
func (u *Ulimit) Check() error {
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

// ParseExtraHost splits name:address or name=address. The address may stand
// in brackets; host-gateway is a word for the host's.
func ParseExtraHost(s string) (name, addr string, err error) {
	name, addr, ok := strings.Cut(s, "=")
	if !ok {
		name, addr, ok = strings.Cut(s, ":")
	}
	if !ok || name == "" || strings.ContainsAny(name, Blanks+"#") {
		return "", "", fault.New(fault.Invalid, "bad format for add-host: %q", s)
	}
	if len(addr) > 2 && addr[0] == '[' && addr[len(addr)-1] == ']' {
		addr = addr[1 : len(addr)-1]
	}
	if addr == "host-gateway" {
		return name, addr, nil
	}
	if !ValidIP(addr) || strings.ContainsAny(addr, Blanks) {
		return "", "", fault.New(fault.Invalid, "invalid IP address in add-host: %q", addr)
	}
	return name, addr, nil
}

// ValidAccess reports whether s is what a device rule may allow: some of "rwm".
func ValidAccess(s string) bool {
	return s != "" && len(s) <= 3 && strings.Trim(s, "rwm") == ""
}

// ParseDeviceRule reads a rule of the devices cgroup: type major:minor access,
// as "c 1:3 rwm" or "b *:* m".
func ParseDeviceRule(s string) (specs.LinuxDeviceCgroup, error) {
	bad := fault.New(fault.Invalid, "invalid device cgroup rule: %q", s)
	r := specs.LinuxDeviceCgroup{Allow: true}
	typ, rest, _ := strings.Cut(s, " ")
	numbers, access, _ := strings.Cut(rest, " ")
	major, minor, ok := strings.Cut(numbers, ":")
	if !ok || typ != "a" && typ != "b" && typ != "c" || !ValidAccess(access) {
		return r, bad
	}
	r.Type, r.Access = typ, access
	for _, f := range [...]struct {
		text string
		to   **int64
	}{{major, &r.Major}, {minor, &r.Minor}} {
		if f.text == "*" {
			continue
		}
		n, err := strconv.ParseUint(f.text, 10, 32)
		if err != nil {
			return r, bad
		}
		v := int64(n)
		*f.to = &v
	}
	return r, nil
}

// CheckPlatform refuses a platform, os/arch[/variant], that is not the host's.
func CheckPlatform(platform, goarch string) error {
	system, rest, _ := strings.Cut(platform, "/")
	arch, _, _ := strings.Cut(rest, "/")
	switch arch {
	case "x86_64", "x86-64":
		arch = "amd64"
	case "aarch64":
		arch = "arm64"
	}
	if system == "" || rest == "" {
		return fault.New(fault.Invalid, "platform %q: it is os/arch[/variant]", platform)
	}
	if system != "linux" || arch != goarch {
		return fault.New(fault.Unsupported, "platform %s: this machine runs linux/%s", platform, goarch)
	}
	return nil
}

// The names of restart policies.
const (
	RestartNo            = "no"
	RestartAlways        = "always"
	RestartUnlessStopped = "unless-stopped"
	RestartOnFailure     = "on-failure"
)

// ParseRestartPolicy reads no, always, unless-stopped or on-failure[:n].
func ParseRestartPolicy(s string) (RestartPolicy, error) {
	name, count, counted := strings.Cut(s, ":")
	p := RestartPolicy{Name: name}
	switch name {
	case "", RestartNo, RestartAlways, RestartUnlessStopped, RestartOnFailure:
	default:
		return p, fault.New(fault.Invalid, "invalid restart policy: unknown policy '%s'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'", name)
	}
	if !counted {
		return p, nil
	}
	n, err := strconv.Atoi(count)
	switch {
	case err != nil:
		return p, fault.New(fault.Invalid, "invalid restart policy format: maximum retry count must be an integer")
	case name != RestartOnFailure:
		return p, fault.New(fault.Invalid, "invalid restart policy: maximum retry count can only be used with 'on-failure'")
	case n < 0:
		return p, fault.New(fault.Invalid, "invalid restart policy: maximum retry count cannot be negative")
	}
	p.MaximumRetryCount = n
	return p, nil
}

// ValidName reports whether a container may have the name: Docker's
// [a-zA-Z0-9][a-zA-Z0-9_.-]+, and at most 255 bytes, since it names a file.
func ValidName(name string) bool {
	if len(name) < 2 || len(name) > 255 {
		return false
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case (c == '_' || c == '.' || c == '-') && i > 0:
		default:
			return false
		}
	}
	return true
}
