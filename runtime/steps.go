package runtime

import "github.com/opencontainers/runtime-spec/specs-go"

// step is one feature of isolation. Both functions only add to the plan.
type step struct {
	name  string
	used  func(*specs.Spec) bool
	host  func(*env) error // what the engine does before the clone
	child func(*env) error // what the child does, in the order of the table
}

// steps is the order in which a container is made.
var steps = []step{
	{"gates", always, gatesHost, nil},
	{"namespaces", always, namespacesHost, namespacesChild},
	{"userns", ownUserNS, usernsHost, usernsChild},
	{"cgroup", hasCgroup, cgroupHost, cgroupChild},
	{"timens", newTimeNS, nil, timensChild},
	{"loopback", newNetNS, nil, loopbackChild},
	{"propagation", always, nil, propagationChild},
	{"stash", always, nil, stashChild},
	{"rootfs", always, rootfsHost, rootfsChild},
	{"procfs", always, nil, procfsChild},
	{"mounts", hasMounts, mountsHost, mountsChild},
	{"devices", always, nil, devicesChild},
	{"console", hasTerminal, consoleHost, consoleChild},
	{"sysctl", hasSysctl, nil, sysctlChild},
	{"hostname", hasHostname, nil, hostnameChild},
	{"masked-paths", hasMasked, nil, maskedChild},
	{"cwd", always, nil, cwdChild},
	{"readonly-root", readonlyRoot, nil, readonlyRootChild},
	{"pivot", always, nil, pivotChild},
	{"session", always, stdioHost, sessionChild},
	{"oom-score", hasOOMScore, nil, oomScoreChild},
	{"personality", hasPersonality, nil, personalityChild},
	{"lsm", hasLabel, nil, lsmChild},
	{"rlimits", always, nil, rlimitsChild},
	{"start-gate", always, nil, startGateChild},
	{"capabilities", always, nil, boundingChild},
	{"credentials", always, nil, credentialsChild},
	{"seccomp", always, nil, seccompChild},
	{"exec", always, nil, execChild},
	{"ready", always, readyHost, nil}, // the engine's last, before the clone
}

func always(*specs.Spec) bool { return true }

// Steps returns the names of the step table, in order.
func Steps() []string {
	names := make([]string, len(steps))
	for i, s := range steps {
		names[i] = s.name
	}
	return names
}
