package container

import (
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
)

// unsupported refuses the parts of a configuration that no step honours, by
// name: nothing is ignored in silence.
func (e *env) unsupported() error {
	s := e.spec
	for _, f := range [...]struct {
		asked bool
		field string
	}{
		{s.Version != "" && !strings.HasPrefix(s.Version, "1."), "ociVersion " + s.Version},
		{s.Solaris != nil, "solaris"},
		{s.Windows != nil, "windows"},
		{s.VM != nil, "vm"},
		{s.ZOS != nil, "zos"},
		{s.FreeBSD != nil, "freebsd"},
		{s.Process.CommandLine != "", "process.commandLine"},
	} {
		if f.asked {
			return fault.New(fault.Unsupported, "%s: not supported on Linux", f.field)
		}
	}
	switch l := s.Linux; {
	case len(l.TimeOffsets) > 0 && !newTimeNS(s) && e.cfg.join == nil:
		return fault.New(fault.Invalid, "time offsets: the container has no time namespace of its own")
	case len(l.UIDMappings)+len(l.GIDMappings) > 0 && namespace(s, specs.UserNamespace) == nil:
		return fault.New(fault.Invalid, "id mappings: the container has no user namespace")
	}
	if s.Process.User.Username != "" {
		e.warn("process.user.username: of Windows only")
	}
	return nil
}
