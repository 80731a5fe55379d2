package runtime

import (
	"strings"

	"github.com/tare-engine/tare/fault"
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
	if s.Process.User.Username != "" {
		e.warn("process.user.username: of Windows only")
	}
	return nil
}
