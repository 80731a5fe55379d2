package seccomp

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
)

// NotifiesBeforeExec returns an error if p could hand one of calls, by name,
// to a listener. calls are the ones that the container's first process makes
// between loading the filter and execve: nobody answers for it yet, so it
// would hang. Arguments are not looked at; the error is [fault.Unsupported]
// and names the call.
func NotifiesBeforeExec(p *specs.LinuxSeccomp, calls []string) error {
	if p == nil {
		return nil
	}
	for _, call := range calls {
		if notifies(p, call) {
			return fault.New(fault.Unsupported, "seccomp profile: %s cannot be notified, it runs before the container's program", call)
		}
	}
	return nil
}

// notifies follows Compile: a rule without arguments decides alone, else each
// rule may apply and so may the default. Rules with the default's action do
// nothing there; that one of them may still differ in its errno is passed over
// here, on the safe side.
func notifies(p *specs.LinuxSeccomp, call string) bool {
	hit := p.DefaultAction == specs.ActNotify
	for i := range p.Syscalls {
		s := &p.Syscalls[i]
		if s.Action == p.DefaultAction || !slices.Contains(s.Names, call) {
			continue
		}
		if len(s.Args) == 0 {
			return s.Action == specs.ActNotify
		}
		hit = hit || s.Action == specs.ActNotify
	}
	return hit
}
