// Package seccomp turns an OCI seccomp profile into a classic BPF program
// that seccomp(2) loads as it is.
//
// It is libseccomp, runc's patch for unknown system calls and Docker's profile
// format in one pure package: no cgo, no I/O, nothing computed at start-up.
// What the result says about a call is libseccomp's answer for the same rules
// (tests compare both for every number); how it gets there is our own: one
// binary search over number ranges per architecture.
package seccomp

//go:generate go run gen.go

import (
	"runtime"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Options says for which machine a profile is compiled.
type Options struct {
	// GOARCH is the machine's architecture, which a filter always covers
	// whether or not the profile lists it (as libseccomp does). Empty
	// means the architecture that this program was built for.
	GOARCH string
}

func (o Options) goarch() string {
	if o.GOARCH == "" {
		return runtime.GOARCH
	}
	return o.GOARCH
}

// Info is what the caller must know about a compiled program besides its
// instructions.
type Info struct {
	// Flags are the SECCOMP_FILTER_FLAG_* bits to load it with. With
	// Notify they contain SECCOMP_FILTER_FLAG_NEW_LISTENER.
	Flags uint32
	// Notify reports whether a rule of the profile, or its default,
	// returns SECCOMP_RET_USER_NOTIF.
	Notify bool
	// Arches are the architectures that the program dispatches on, native
	// first; a call of any other one kills the thread.
	Arches []specs.Arch
	// Ignored are the profile's architectures that a machine of this kind
	// cannot run.
	Ignored []specs.Arch
	// Unknown are the profile's names that no architecture of the program
	// has; their rules do nothing, as in runc.
	Unknown []string
}

// Host is what a profile's conditional rules depend on.
type Host struct {
	// GOARCH is as in [Options].
	GOARCH string
	// Kernel is the running kernel's version.
	Kernel Version
	// Caps is the container's bounding set, CAP_ names in upper case.
	Caps []string
}

// Version is the part of a kernel version that profiles compare: 6 and 18 of
// 6.18.44.
type Version struct{ Major, Minor int }

// atLeast reports whether v is the same as w or newer.
func (v Version) atLeast(w Version) bool {
	return v.Major > w.Major || v.Major == w.Major && v.Minor >= w.Minor
}

// ParseVersion returns the leading "major.minor" of a kernel release such as
// "6.1.0-18-amd64"; anything unreadable counts as 0.
func ParseVersion(release string) Version {
	var v Version
	i := 0
	for ; i < len(release) && '0' <= release[i] && release[i] <= '9' && v.Major < 1000; i++ {
		v.Major = v.Major*10 + int(release[i]-'0')
	}
	if i == 0 || i == len(release) || release[i] != '.' {
		return v
	}
	for i++; i < len(release) && '0' <= release[i] && release[i] <= '9' && v.Minor < 1000; i++ {
		v.Minor = v.Minor*10 + int(release[i]-'0')
	}
	return v
}

// Data is the kernel's struct seccomp_data: what a program looks at.
type Data struct {
	Nr   uint32
	Arch uint32 // AUDIT_ARCH_*
	IP   uint64
	Args [6]uint64
}
