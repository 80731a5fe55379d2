package seccomp

import (
	"runtime"
	"slices"

	moby "github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// Default returns Docker's default profile as it applies to a container on h.
//
// The profile is the data of github.com/moby/profiles/seccomp; its conditions
// (capabilities, architecture, kernel) are resolved here, since moby's own
// loader asks the running kernel.
func Default(h Host) *specs.LinuxSeccomp {
	return resolve(moby.DefaultProfile(), h)
}

// resolve turns a profile of Docker's format into a plain one for h. It shares
// p's lists.
func resolve(p *moby.Seccomp, h Host) *specs.LinuxSeccomp {
	out := p.LinuxSeccomp
	if h.GOARCH == "" {
		h.GOARCH = runtime.GOARCH
	}
	native := dockerArch(h.GOARCH)
	for _, m := range p.ArchMap {
		if m.Arch == native.arch {
			out.Architectures = append([]specs.Arch{m.Arch}, m.SubArches...)
			break
		}
	}
	out.Syscalls = make([]specs.LinuxSyscall, 0, len(p.Syscalls))
	for _, s := range p.Syscalls {
		if !applies(s, h, native.name) {
			continue
		}
		out.Syscalls = append(out.Syscalls, s.LinuxSyscall)
	}
	return &out
}

// applies reports whether a rule's conditions hold: no exclusion does, and all
// inclusions do.
func applies(s *moby.Syscall, h Host, arch string) bool {
	if x := s.Excludes; x != nil {
		if slices.Contains(x.Arches, arch) || x.MinKernel != nil && h.Kernel.atLeast(version(x.MinKernel)) {
			return false
		}
		for _, c := range x.Caps {
			if slices.Contains(h.Caps, c) {
				return false
			}
		}
	}
	if x := s.Includes; x != nil {
		if len(x.Arches) > 0 && !slices.Contains(x.Arches, arch) || x.MinKernel != nil && !h.Kernel.atLeast(version(x.MinKernel)) {
			return false
		}
		for _, c := range x.Caps {
			if !slices.Contains(h.Caps, c) {
				return false
			}
		}
	}
	return true
}

func version(v *moby.KernelVersion) Version { return Version{int(v.Kernel), int(v.Major)} }

// dockerName is an architecture as archMap and as the conditions of Docker's
// format spell it.
type dockerName struct {
	arch specs.Arch
	name string
}

func dockerArch(goarch string) dockerName {
	switch goarch {
	case "amd64":
		return dockerName{specs.ArchX86_64, "amd64"}
	case "386":
		return dockerName{specs.ArchX86, "x86"}
	case "arm64":
		return dockerName{specs.ArchAARCH64, "arm64"}
	case "arm":
		return dockerName{specs.ArchARM, "arm"}
	}
	return dockerName{}
}
