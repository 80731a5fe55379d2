package seccomp

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"

	moby "github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// maxProfile bounds a profile's text; Docker's has 18 kB.
const maxProfile = 1 << 20

// ParseFile reads the profile of --security-opt seccomp=FILE, in Docker's
// format (archMap, names, includes, excludes, minKernel) or as the plain
// linux.seccomp object of the OCI runtime spec, and resolves its conditions
// for h.
//
// It is stricter than Docker: an unknown field, a word that is misspelt, or a
// profile without a default action is an error (kind Invalid) that names the
// place, not a hole in the filter.
func ParseFile(data []byte, h Host) (*specs.LinuxSeccomp, error) {
	if len(data) > maxProfile {
		return nil, invalid("is larger than %d bytes", maxProfile)
	}
	var p moby.Seccomp
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return nil, jsonError(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, invalid("has data after its end")
	}
	if err := checkFile(&p); err != nil {
		return nil, err
	}
	out := resolve(&p, h)
	// Compile finds every other mistake, also in rules that do not apply
	// here: a profile must not turn bad by a change of machine.
	all := *out
	all.Syscalls = nil
	for _, s := range p.Syscalls {
		all.Syscalls = append(all.Syscalls, s.LinuxSyscall)
	}
	if _, _, err := Compile(&all, Options{GOARCH: h.GOARCH}); err != nil {
		return nil, err
	}
	return out, nil
}

// checkFile checks what Docker's format adds to the runtime spec's.
func checkFile(p *moby.Seccomp) error {
	if p.DefaultAction == "" {
		return invalid("defaultAction: is missing")
	}
	if len(p.Architectures) > 0 && len(p.ArchMap) > 0 {
		return invalid("has both architectures and archMap")
	}
	for i, m := range p.ArchMap {
		for _, a := range append([]specs.Arch{m.Arch}, m.SubArches...) {
			if _, _, known := archColumn(a); !known {
				return invalid("archMap[%d]: unknown architecture %q", i, string(a))
			}
		}
	}
	for i, s := range p.Syscalls {
		if s == nil {
			return invalid("syscalls[%d]: is null", i)
		}
		if old := s.Name; old != "" { //nolint:staticcheck // deprecated, but old profiles hold it
			if len(s.Names) > 0 {
				return invalid("syscalls[%d]: has both name and names", i)
			}
			s.Names = []string{old}
		}
		for _, f := range []struct {
			name   string
			filter *moby.Filter
		}{{"includes", s.Includes}, {"excludes", s.Excludes}} {
			if err := checkCondition(f.filter); err != "" {
				return invalid("syscalls[%d].%s.%s", i, f.name, err)
			}
		}
	}
	return nil
}

// checkCondition returns what is wrong with a condition, or "".
func checkCondition(f *moby.Filter) string {
	if f == nil {
		return ""
	}
	for _, c := range f.Caps {
		// A name in lower case or without its prefix never matches: the
		// rule would silently be off.
		if !strings.HasPrefix(c, "CAP_") || c != strings.ToUpper(c) {
			return "caps: \"" + c + "\" is not a CAP_ name in upper case"
		}
	}
	for _, a := range f.Arches {
		if !slices.Contains(dockerArches[:], a) {
			return "arches: unknown architecture \"" + a + "\""
		}
	}
	return ""
}

// dockerArches are the words that includes.arches and excludes.arches may
// hold. x32 is in Docker's own profile.
var dockerArches = [...]string{
	"x86", "amd64", "x32", "arm", "arm64", "loongarch64", "mips", "mips64", "mips64n32", "mipsel", "mipsel64",
	"mips3l64n32", "mipsel64n32", "ppc", "ppc64", "ppc64le", "riscv64", "s390", "s390x",
}

// jsonError names the place of a syntax or type error.
func jsonError(err error) error {
	var typ *json.UnmarshalTypeError
	var syn *json.SyntaxError
	switch {
	case errors.As(err, &typ) && typ.Field != "":
		// The path holds the names of the Go types' embedded structs.
		field := strings.NewReplacer("LinuxSyscall.", "", "LinuxSeccomp.", "").Replace(typ.Field)
		return invalid("%s: is a %s", field, typ.Value)
	case errors.As(err, &typ):
		return invalid("is a %s, not an object", typ.Value)
	case errors.As(err, &syn):
		return invalid("byte %d: %s", syn.Offset, strings.TrimPrefix(syn.Error(), "json: "))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return invalid("ends early")
	}
	// What is left is an unknown field, which the text names, and moby's
	// own error about a kernel version.
	return invalid("%s", strings.TrimPrefix(err.Error(), "json: "))
}
