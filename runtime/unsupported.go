package runtime

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/fault"
)

// unsupported refuses the parts of a configuration that no step honours, by
// name: nothing is ignored in silence.
func unsupported(s *specs.Spec) error {
	l := s.Linux
	for _, f := range [...]struct {
		asked bool
		field string
	}{
		{l.IntelRdt != nil, "linux.intelRdt"},
		{s.Solaris != nil || s.Windows != nil || s.VM != nil || s.ZOS != nil || s.FreeBSD != nil, "a platform other than linux"},
	} {
		if f.asked {
			return fault.New(fault.Unsupported, "%s: not supported yet", f.field)
		}
	}
	return nil
}
