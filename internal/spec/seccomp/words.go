package seccomp

import "github.com/opencontainers/runtime-spec/specs-go"

// Vocabulary is what a profile may say, for `features`.
type Vocabulary struct {
	Actions   []specs.LinuxSeccompAction
	Operators []specs.LinuxSeccompOperator
	Archs     []specs.Arch
	Flags     []specs.LinuxSeccompFlag
}

// Words returns all that Compile accepts.
func Words() Vocabulary {
	v := Vocabulary{
		Actions: []specs.LinuxSeccompAction{
			specs.ActAllow, specs.ActErrno, specs.ActKill, specs.ActKillProcess, specs.ActKillThread, specs.ActLog, specs.ActNotify,
			specs.ActTrace, specs.ActTrap,
		},
		Operators: []specs.LinuxSeccompOperator{
			specs.OpEqualTo, specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpLessEqual, specs.OpLessThan, specs.OpMaskedEqual, specs.OpNotEqual,
		},
		Flags: []specs.LinuxSeccompFlag{
			specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow, "SECCOMP_FILTER_FLAG_TSYNC", specs.LinuxSeccompFlagWaitKillableRecv,
		},
	}
	for i := range arches {
		v.Archs = append(v.Archs, arches[i].name)
	}
	return v
}
