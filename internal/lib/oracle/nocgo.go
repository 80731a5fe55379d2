//go:build !cgo

package oracle

import (
	"errors"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Lib is an opened libseccomp.
type Lib struct{}

// Open fails: this build has no cgo.
func Open() (*Lib, error) { return nil, errors.New("built without cgo") }

// Compile is not there without cgo.
func (*Lib) Compile(*specs.LinuxSeccomp) ([]Insn, error) { panic("no cgo") }

// Number is not there without cgo.
func (*Lib) Number(specs.Arch, string) (int, bool) { panic("no cgo") }

// Name is not there without cgo.
func (*Lib) Name(specs.Arch, int) string { panic("no cgo") }

// Version is not there without cgo.
func (*Lib) Version() string { panic("no cgo") }
