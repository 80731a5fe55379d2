// Package oracle asks libseccomp what package seccomp should answer. It is for
// tests only; nothing that ships imports it.
//
// libseccomp is opened at run time, so that neither its headers nor its
// presence is needed to build: Open fails where it is missing.
package oracle

import "github.com/opencontainers/runtime-spec/specs-go"

// Insn is a classic BPF instruction.
type Insn struct {
	Code   uint16
	Jt, Jf uint8
	K      uint32
}

// Arch returns libseccomp's token of an architecture.
func Arch(a specs.Arch) uint32 {
	switch a {
	case specs.ArchX86_64:
		return 0xc000003e
	case specs.ArchX32:
		return 0x4000003e
	case specs.ArchX86:
		return 0x40000003
	case specs.ArchAARCH64:
		return 0xc00000b7
	case specs.ArchARM:
		return 0x40000028
	default:
		return 0
	}
}
