package container

import "github.com/opencontainers/runtime-spec/specs-go"

// step is one feature of isolation. Both functions only add to the plan.
type step struct {
	name  string
	used  func(*specs.Spec) bool
	host  func(*env) error // what the engine does before the clone
	child func(*env) error // what the child does, in the order of the table
}

// containerSteps is the order in which a container is made; processSteps
// follow.
var containerSteps = []step{
	{"gates", always, gatesHost, nil},
	{"affinity", hasAffinity, unusedAffinityHost, nil},
	{"namespaces", always, namespacesHost, namespacesChild},
	{"userns", ownUserNS, usernsHost, usernsChild},
	{"cgroup", hasCgroup, cgroupHost, cgroupChild},
	{"scope", always, scopeHost, scopeChild},
	{"no-cgroup", lacksCgroup, noCgroupHost, nil},
	{"intel-rdt", hasIntelRdt, intelRdtHost, intelRdtChild},
	{"timens", newTimeNS, timensHost, timensChild},
	{"loopback", newNetNS, nil, loopbackChild},
	{"net-devices", hasNetDevices, netDevicesHost, netDevicesChild},
	{"propagation", always, nil, propagationChild},
	{"locks", mayRemount, locksHost, locksChild},
	{"stash", always, nil, stashChild},
	{"rootfs", always, rootfsHost, rootfsChild},
	{"procfs", always, nil, procfsChild},
	{"mounts", hasMounts, mountsHost, mountsChild},
	{"devices", always, nil, devicesChild},
	{"console", hasTerminal, consoleHost, consoleChild},
	{"caller-gates", always, callerGatesHost, callerGatesChild},
	{"hooks", hasCreateHooks, hooksHost, hooksChild},
	{"sysctl", hasSysctl, nil, sysctlChild},
	{"hostname", hasHostname, nil, hostnameChild},
	{"masked-paths", hasMasked, nil, maskedChild},
	{"cwd", always, nil, cwdChild},
	{"readonly-root", readonlyRoot, nil, readonlyRootChild},
	{"pivot", always, nil, pivotChild},
	{"oom-score", hasOOMScore, nil, oomScoreChild},
}

// joinSteps is the order in which a process comes into a running container;
// processSteps follow.
var joinSteps = []step{
	{"gates", always, gatesHost, nil},
	{"oom-score", hasOOMScore, nil, oomScoreChild},
	{"initial-affinity", hasAffinity, nil, initialAffinityChild},
	{"join", always, joinHost, joinChild},
	{"final-affinity", hasAffinity, nil, finalAffinityChild},
	{"cwd", always, nil, enterChild},
	{"console", hasTerminal, consoleHost, terminalChild},
}

// restoreSteps are what a container has that somebody else makes the processes
// of: the kernel objects and limits around them.
var restoreSteps = []step{
	{"cgroup", hasCgroup, cgroupHost, nil},
	{"no-cgroup", lacksCgroup, noCgroupHost, nil},
	{"ready", always, readyHost, nil},
}

// processSteps concern one process, the container's first or a further one.
var processSteps = []step{
	{"session", always, stdioHost, sessionChild},
	{"scheduler", hasScheduler, nil, schedulerChild},
	{"io-priority", hasIOPriority, nil, ioPriorityChild},
	{"memory-policy", hasMemoryPolicy, nil, memoryPolicyChild},
	{"personality", hasPersonality, nil, personalityChild},
	{"lsm", hasLabel, nil, lsmChild},
	{"rlimits", always, nil, rlimitsChild},
	{"program", hasProgram, nil, programChild},
	{"let-go", always, nil, letGoChild},
	{"arrival", startsUnfiltered, arrivalHost, arrivalChild},
	{"start-gate", startsUnfiltered, nil, startGateChild},
	{"capabilities", always, nil, boundingChild},
	{"credentials", always, nil, credentialsChild},
	{"seccomp", always, nil, seccompChild},
	{"listener", notifies, listenerHost, nil},
	{"filtered-arrival", notifies, arrivalHost, arrivalChild},
	{"filtered-start-gate", notifies, nil, startGateChild},
	{"exec", always, nil, execChild},
	{"ready", always, readyHost, nil}, // the engine's last, before the clone
}

// Steps returns the names of the steps of a new container, in order.
func Steps() []string {
	var names []string
	for _, table := range [...][]step{containerSteps, processSteps} {
		for i := range table {
			names = append(names, table[i].name)
		}
	}
	return names
}

func always(*specs.Spec) bool { return true }
