package seccomp

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// column is an architecture's place in callSlots.
type column uint8

const (
	colAMD64 column = iota
	colX32
	col386
	colARM64
	colARM
	columns
)

// arch is one architecture that a program can dispatch on. All of them are
// little-endian.
type arch struct {
	name  specs.Arch
	audit uint32
	// wide is whether arguments are compared as 64 bits. x32 counts as
	// narrow, as in libseccomp.
	wide bool
}

var arches = [columns]arch{
	colAMD64: {specs.ArchX86_64, unix.AUDIT_ARCH_X86_64, true},
	colX32:   {specs.ArchX32, unix.AUDIT_ARCH_X86_64, false},
	col386:   {specs.ArchX86, unix.AUDIT_ARCH_I386, false},
	colARM64: {specs.ArchAARCH64, unix.AUDIT_ARCH_AARCH64, true},
	colARM:   {specs.ArchARM, unix.AUDIT_ARCH_ARM, false},
}

// x32Bit marks an x32 call in the number of an x86-64 one.
const x32Bit = 0x40000000

// Slots are call numbers folded into a small range: arm's private calls
// (0xf0001, …) follow the ordinary numbers of every architecture.
const (
	privateSlot = 600
	privateBase = 0xf0000
	slots       = privateSlot + 8
	noSlot      = 0xffff
)

// muxIPC marks the sub-calls of ipc(2) in callMux.
const muxIPC = 0x80

// nativeColumn returns the column of a GOARCH.
func nativeColumn(goarch string) (column, bool) {
	switch goarch {
	case "amd64":
		return colAMD64, true
	case "386":
		return col386, true
	case "arm64":
		return colARM64, true
	case "arm":
		return colARM, true
	}
	return 0, false
}

// archColumn returns the column of a profile's architecture. known is false
// for a word that the runtime spec does not have.
func archColumn(a specs.Arch) (c column, ok, known bool) {
	for c := range arches {
		if arches[c].name == a {
			return column(c), true, true
		}
	}
	switch a {
	case specs.ArchMIPS, specs.ArchMIPS64, specs.ArchMIPS64N32, specs.ArchMIPSEL, specs.ArchMIPSEL64,
		specs.ArchMIPSEL64N32, specs.ArchPPC, specs.ArchPPC64, specs.ArchPPC64LE, specs.ArchS390, specs.ArchS390X,
		specs.ArchPARISC, specs.ArchPARISC64, specs.ArchRISCV64, specs.ArchLOONGARCH64, specs.ArchM68K,
		specs.ArchSH, specs.ArchSHEB:
		return 0, false, true
	default:
		return 0, false, false
	}
}

// lookupCall returns the index of a call's name in the tables, or -1. It
// tries the few names after hint first: profiles list theirs nearly sorted.
func lookupCall(name string, hint int) int {
	for i := hint; i < min(hint+4, len(callEnds)); i++ {
		if callName(i) == name {
			return i
		}
	}
	lo, hi := 0, len(callEnds)
	for lo < hi {
		mid := (lo + hi) / 2
		switch s := callName(mid); {
		case s == name:
			return mid
		case s < name:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return -1
}

func callName(i int) string {
	if i == 0 {
		return callNames[:callEnds[0]]
	}
	return callNames[callEnds[i-1]:callEnds[i]]
}
