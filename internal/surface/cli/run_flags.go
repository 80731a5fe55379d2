package cli

import (
	"strings"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/container/stdio"
	"github.com/tare-engine/tare/internal/engine/containers"
	"github.com/tare-engine/tare/internal/lib/flags"
)

// runFlags are the flags of tare run: Docker's names, letters and meanings,
// and a few of tare's own. docs/run.md explains them by task.
var runFlags = []flags.Flag{
	{
		Name: "add-host", Value: "list", Usage: "Add a line to /etc/hosts (name:address)",
		Set: func(a any, v string) error {
			_, _, err := api.ParseExtraHost(v)
			hostOf(a).ExtraHosts = append(hostOf(a).ExtraHosts, v)
			return err
		},
	},
	{
		Name: "annotation", Value: "map", Usage: "Add an annotation to the container (passed on to the OCI spec)",
		Set: func(a any, v string) error { return flags.Pair(&hostOf(a).Annotations, v) },
	},
	{
		Name: "blkio-weight", Value: "uint16", Usage: "Block IO weight, between 10 and 1000, or 0 to leave it", Default: "0",
		Set: func(a any, v string) error { return flags.Set(&hostOf(a).BlkioWeight, v, parseUint16) },
	},
	{
		Name: "blkio-weight-device", Value: "list", Usage: "Block IO weight on one device (path:weight)",
		Set: func(a any, v string) error { return flags.Append(&hostOf(a).BlkioWeightDevice, v, parseWeightDevice) },
	},
	{Name: "cap-add", Value: "list", Usage: "Add Linux capabilities", Set: func(a any, v string) error { return flags.List(&hostOf(a).CapAdd, v) }},
	{Name: "cap-drop", Value: "list", Usage: "Drop Linux capabilities", Set: func(a any, v string) error { return flags.List(&hostOf(a).CapDrop, v) }},
	{Name: "cgroup-conf", Value: "map", Usage: "Set a cgroup v2 file (memory.high=64M)", Set: func(a any, v string) error { return flags.Pair(&hostOf(a).Unified, v) }},
	{
		Name: "cgroup-parent", Value: "string", Usage: "Parent cgroup of the container's",
		Set: func(a any, v string) error { return flags.String(&hostOf(a).CgroupParent, v) },
	},
	{
		Name: "cgroupns", Value: "string", Usage: "Cgroup namespace: private, host or ns:PATH", Default: "private", Words: []string{"private", "host"},
		Set: func(a any, v string) error { return flags.String(&hostOf(a).CgroupnsMode, v) },
	},
	{Name: "cidfile", Value: "string", Usage: "Write the container ID to the file", Set: func(a any, v string) error { return flags.Set(&runOf(a).cidfile, v, absolute) }},
	{
		Name: "cpu-burst", Value: "int", Usage: "Unused CPU time that may be saved up, in microseconds",
		Set: func(a any, v string) error { return flags.Int(&hostOf(a).CPUBurst, v) },
	},
	{Name: "cpu-period", Value: "int", Usage: "Period of the CPU quota, in microseconds", Set: func(a any, v string) error { return flags.Int(&hostOf(a).CPUPeriod, v) }},
	{Name: "cpu-quota", Value: "int", Usage: "CPU time per period, in microseconds", Set: func(a any, v string) error { return flags.Int(&hostOf(a).CPUQuota, v) }},
	{
		Name: "cpu-rt-period", Value: "int", Usage: "Period of the real-time limit, in microseconds (cgroup v1)",
		Set: func(a any, v string) error { return flags.Int(&hostOf(a).CPURealtimePeriod, v) },
	},
	{
		Name: "cpu-rt-runtime", Value: "int", Usage: "Real-time CPU time per period, in microseconds (cgroup v1)",
		Set: func(a any, v string) error { return flags.Int(&hostOf(a).CPURealtimeRuntime, v) },
	},
	{
		Name: "cpu-shares", Short: 'c', Value: "int", Usage: "CPU shares, relative to others (2 to 262144; 1024 is normal)",
		Set: func(a any, v string) error { return flags.Int(&hostOf(a).CPUShares, v) },
	},
	{
		Name: "cpus", Value: "decimal", Usage: "Number of CPUs (0.5 is half of one)",
		Set: func(a any, v string) error { return flags.Set(&hostOf(a).NanoCPUs, v, parseCPUs) },
	},
	{Name: "cpuset-cpus", Value: "string", Usage: "CPUs to run on (0-3, 0,1)", Set: func(a any, v string) error { return flags.String(&hostOf(a).CpusetCpus, v) }},
	{Name: "cpuset-mems", Value: "string", Usage: "Memory nodes to use (0-3, 0,1)", Set: func(a any, v string) error { return flags.String(&hostOf(a).CpusetMems, v) }},
	{
		Name: "detach", Short: 'd', Usage: "Run the container in the background and print its ID",
		Set: func(a any, v string) error { return flags.Bool(&runOf(a).detach, v) },
	},
	{
		Name: "detach-keys", Value: "keys", Usage: "Keys that leave a terminal while the container goes on", Default: stdio.DefaultDetachKeys,
		Set: func(a any, v string) error { return setDetachKeys(&runOf(a).detachKeys, v) },
	},
	{
		Name: "device", Value: "list", Usage: "Give the container a device of the host (path[:path][:rwm])",
		Set: func(a any, v string) error { return flags.Append(&hostOf(a).Devices, v, parseDevice) },
	},
	{
		Name: "device-cgroup-rule", Value: "list", Usage: "Add a rule to the allowed devices (\"c 13:* rwm\")",
		Set: func(a any, v string) error {
			_, err := api.ParseDeviceRule(v)
			hostOf(a).DeviceCgroupRules = append(hostOf(a).DeviceCgroupRules, v)
			return err
		},
	},
	{
		Name: "device-read-bps", Value: "list", Usage: "Limit the rate of reading from a device (path:bytes per second)",
		Set: func(a any, v string) error { return flags.Append(&hostOf(a).BlkioDeviceReadBps, v, parseByteRate) },
	},
	{
		Name: "device-read-iops", Value: "list", Usage: "Limit the rate of reading from a device (path:operations per second)",
		Set: func(a any, v string) error { return flags.Append(&hostOf(a).BlkioDeviceReadIOps, v, parseRate) },
	},
	{
		Name: "device-write-bps", Value: "list", Usage: "Limit the rate of writing to a device (path:bytes per second)",
		Set: func(a any, v string) error { return flags.Append(&hostOf(a).BlkioDeviceWriteBps, v, parseByteRate) },
	},
	{
		Name: "device-write-iops", Value: "list", Usage: "Limit the rate of writing to a device (path:operations per second)",
		Set: func(a any, v string) error { return flags.Append(&hostOf(a).BlkioDeviceWriteIOps, v, parseRate) },
	},
	{Name: "dns", Value: "list", Usage: "Name server for /etc/resolv.conf", Set: func(a any, v string) error { return flags.List(&hostOf(a).DNS, v) }},
	{Name: "dns-opt", Value: "list", Usage: "Option for /etc/resolv.conf", Hidden: true, Set: func(a any, v string) error { return flags.List(&hostOf(a).DNSOptions, v) }},
	{Name: "dns-option", Value: "list", Usage: "Option for /etc/resolv.conf", Set: func(a any, v string) error { return flags.List(&hostOf(a).DNSOptions, v) }},
	{Name: "dns-search", Value: "list", Usage: "Search domain for /etc/resolv.conf", Set: func(a any, v string) error { return flags.List(&hostOf(a).DNSSearch, v) }},
	{Name: "domainname", Value: "string", Usage: "NIS domain name of the container", Set: func(a any, v string) error { return flags.String(&configOf(a).Domainname, v) }},
	{
		Name: "entrypoint", Value: "string", Usage: "Command to put before the arguments, instead of the image's",
		Set: func(a any, v string) error {
			configOf(a).Entrypoint = []string{v}
			return nil
		},
	},
	{
		Name: "env", Short: 'e', Value: "list", Usage: "Set an environment variable (NAME=value, or NAME for the caller's value)",
		Set: func(a any, v string) error { return addEnv(&configOf(a).Env, v, runOf(a).getenv) },
	},
	{
		Name: "env-file", Value: "list", Usage: "Read environment variables from a file",
		Set: func(a any, v string) error { return readEnvFile(&runOf(a).envFile, v, runOf(a).getenv) },
	},
	{
		Name: "group-add", Value: "list", Usage: "Add a supplementary group, by name or number",
		Set: func(a any, v string) error { return flags.List(&hostOf(a).GroupAdd, v) },
	},
	{
		Name: "health-cmd", Value: "string", Usage: "Command, for a shell in the container, that tells whether the container works",
		Set: func(a any, v string) error {
			healthOf(a).Test = []string{"CMD-SHELL", v}
			return nil
		},
	},
	{
		Name: "health-interval", Value: "time", Usage: "Time between two health checks (500ms, 1m30s)", Default: "30s",
		Set: func(a any, v string) error { return flags.Set(&healthOf(a).Interval, v, parseHealthTime) },
	},
	{
		Name: "health-on-failure", Value: "action", Usage: "What follows when the container is unhealthy: none, kill, restart or stop", Default: "none", Words: []string{"none", "kill", "restart", "stop"},
		Set: func(a any, v string) error {
			return flags.Set(&configOf(a).HealthOnFailure, v, containers.ParseHealthOnFailure)
		},
	},
	{
		Name: "health-retries", Value: "int", Usage: "Failures in a row after which the container is unhealthy", Default: "3",
		Set: func(a any, v string) error { return flags.Set(&healthOf(a).Retries, v, parseRetries) },
	},
	{
		Name: "health-start-interval", Value: "time", Usage: "Time between two health checks in the start period", Default: "5s",
		Set: func(a any, v string) error { return flags.Set(&healthOf(a).StartInterval, v, parseHealthTime) },
	},
	{
		Name: "health-start-period", Value: "time", Usage: "Time for the container to start in which failures do not count", Default: "0s",
		Set: func(a any, v string) error { return flags.Set(&healthOf(a).StartPeriod, v, parseHealthTime) },
	},
	{
		Name: "health-timeout", Value: "time", Usage: "Time after which a health check has failed", Default: "30s",
		Set: func(a any, v string) error { return flags.Set(&healthOf(a).Timeout, v, parseHealthTime) },
	},
	{
		Name: "hostname", Short: 'h', Value: "string", Usage: "Host name of the container",
		Set: func(a any, v string) error { return flags.String(&configOf(a).Hostname, v) },
	},
	{
		Name: "init", Usage: "Run an init inside that forwards signals and reaps processes",
		Set: func(a any, v string) error { return flags.SetNew(&hostOf(a).Init, v, flags.ParseBool) },
	},
	{Name: "interactive", Short: 'i', Usage: "Keep standard input open", Set: func(a any, v string) error { return flags.Bool(&configOf(a).OpenStdin, v) }},
	{
		Name: "ipc", Value: "string", Usage: "IPC namespace: private, shareable, host, none, container:NAME or ns:PATH", Default: "private", Words: []string{"private", "host", "none", "shareable"},
		Set: func(a any, v string) error { return flags.String(&hostOf(a).IpcMode, v) },
	},
	{Name: "label", Short: 'l', Value: "list", Usage: "Set a label on the container", Set: func(a any, v string) error { return flags.List(&runOf(a).labels, v) }},
	{Name: "label-file", Value: "list", Usage: "Read labels from a file", Set: func(a any, v string) error { return readLabelFile(&configOf(a).Labels, v) }},
	{
		Name: "log-driver", Value: "string", Usage: "Where the output is kept: local, json-file, k8s-file, journald or none", Default: "local", Words: []string{"local", "json-file", "k8s-file", "journald", "none"},
		Set: func(a any, v string) error { return flags.String(&hostOf(a).LogConfig.Type, v) },
	},
	{
		Name: "log-opt", Value: "map", Usage: "Option of the log (max-size=10m, max-file=3, tag=…, labels=…, env=…)",
		Set: func(a any, v string) error { return flags.Pair(&hostOf(a).LogConfig.Config, v) },
	},
	{
		Name: "memory", Short: 'm', Value: "bytes", Usage: "Memory limit; no swap beyond it unless --memory-swap says so",
		Set: func(a any, v string) error { return flags.Set(&hostOf(a).Memory, v, api.ParseSize) },
	},
	{
		Name: "memory-reservation", Value: "bytes", Usage: "Memory to leave to the container when memory is short",
		Set: func(a any, v string) error { return flags.Set(&hostOf(a).MemoryReservation, v, api.ParseSize) },
	},
	{
		Name: "memory-swap", Value: "bytes", Usage: "Limit of memory plus swap; -1 for unlimited swap",
		Set: func(a any, v string) error { return flags.Set(&hostOf(a).MemorySwap, v, parseSwap) },
	},
	{
		Name: "memory-swappiness", Value: "int", Usage: "Swappiness, 0 to 100 (cgroup v1)", Default: "-1",
		Set: func(a any, v string) error { return flags.SetNew(&hostOf(a).MemorySwappiness, v, flags.ParseInt) },
	},
	{
		Name: "mount", Value: "mount", Usage: "Mount a file system (type=bind,src=/host,dst=/inside,readonly)",
		Set: func(a any, v string) error { return flags.Append(&hostOf(a).Mounts, v, parseMount) },
	},
	{Name: "name", Value: "string", Usage: "Name of the container", Set: func(a any, v string) error { return flags.String(&configOf(a).Name, v) }},
	{
		Name: "net", Value: "network", Usage: "Network of the container", Hidden: true, Words: []string{"none", "host"},
		Set: func(a any, v string) error { return flags.String(&hostOf(a).NetworkMode, v) },
	},
	{
		Name: "network", Value: "network", Usage: "Network of the container: none, host, container:NAME or ns:PATH", Default: "none", Words: []string{"none", "host"},
		Set: func(a any, v string) error { return flags.String(&hostOf(a).NetworkMode, v) },
	},
	{Name: "no-healthcheck", Usage: "Disable the image's health check", Set: func(a any, v string) error { return flags.Bool(&runOf(a).noHealth, v) }},
	{
		Name: "oom-kill-disable", Usage: "Let the container wait for memory instead of killing it (cgroup v1)",
		Set: func(a any, v string) error { return flags.SetNew(&hostOf(a).OomKillDisable, v, flags.ParseBool) },
	},
	{
		Name: "oom-score-adj", Value: "int", Usage: "Preference of the host's OOM killer (-1000 to 1000)",
		Set: func(a any, v string) error { return flags.Int(&hostOf(a).OomScoreAdj, v) },
	},
	{
		Name: "personality", Value: "string", Usage: "Execution domain: LINUX or LINUX32", Words: []string{"LINUX", "LINUX32"},
		Set: func(a any, v string) error {
			configOf(a).Personality = strings.ToUpper(v)
			return nil
		},
	},
	{
		Name: "pid", Value: "string", Usage: "PID namespace: private, host, container:NAME or ns:PATH", Default: "private", Words: []string{"private", "host"},
		Set: func(a any, v string) error { return flags.String(&hostOf(a).PidMode, v) },
	},
	{
		Name: "pids-limit", Value: "int", Usage: "Limit of processes and threads; -1 for unlimited",
		Set: func(a any, v string) error { return flags.SetNew(&hostOf(a).PidsLimit, v, flags.ParseInt) },
	},
	{Name: "plan", Usage: "Print every system call of the start instead of making it", Set: func(a any, v string) error { return flags.Bool(&runOf(a).plan, v) }},
	{
		Name: "platform", Value: "string", Usage: "Platform of the image (os/arch); only the host's can run",
		Set: func(a any, v string) error { return flags.String(&configOf(a).Platform, v) },
	},
	{Name: "privileged", Usage: "Give the container all devices and capabilities", Set: func(a any, v string) error { return flags.Bool(&hostOf(a).Privileged, v) }},
	{
		Name: "pull", Value: "string", Usage: "When to pull the image: always, missing or never", Default: "missing", Words: []string{"always", "missing", "never"},
		Set: func(a any, v string) error { return flags.String(&runOf(a).pull.when, v) },
	},
	{Name: "quiet", Short: 'q', Usage: "Say nothing about pulling", Set: func(a any, v string) error { return flags.Bool(&runOf(a).pull.quiet, v) }},
	{Name: "read-only", Usage: "Mount the container's root read-only", Set: func(a any, v string) error { return flags.Bool(&hostOf(a).ReadonlyRootfs, v) }},
	{
		Name: "receipt", Value: "file", Usage: "Write what the run has used and changed into a file, as JSON, when it has ended",
		Set: func(a any, v string) error { return flags.Set(&configOf(a).ReceiptFile, v, absolute) },
	},
	{
		Name: "requires", Value: "list", Usage: "Containers to start before this one",
		Set: func(a any, v string) error {
			configOf(a).Requires = append(configOf(a).Requires, strings.Split(v, ",")...)
			return nil
		},
	},
	{
		Name: "restart", Value: "policy", Usage: "When to start it again: no, on-failure[:n], always or unless-stopped", Default: "no", Words: []string{"no", "on-failure", "always", "unless-stopped"},
		Set: func(a any, v string) error { return flags.Set(&hostOf(a).RestartPolicy, v, api.ParseRestartPolicy) },
	},
	{Name: "rm", Usage: "Remove the container when it exits", Set: func(a any, v string) error { return flags.Bool(&hostOf(a).AutoRemove, v) }},
	{
		Name: "rootfs", Value: "dir", Usage: "Run in this directory instead of an image",
		Set: func(a any, v string) error { return flags.Set(&configOf(a).RootFS, v, absolute) },
	},
	{
		Name: "sdnotify", Value: "string", Usage: "Who tells the service manager that it is ready: container, conmon (tare) or ignore", Default: "container", Words: []string{"container", "conmon", "ignore"},
		Set: func(a any, v string) error {
			configOf(a).SdNotify = v
			return oneOf(v, "container", "conmon", "ignore")
		},
	},
	{
		Name: "security-opt", Value: "list", Usage: "Security option (seccomp=FILE, no-new-privileges, apparmor=NAME, label=…)", Words: []string{"seccomp=", "no-new-privileges", "apparmor=", "label=", "systempaths=unconfined"},
		Set: func(a any, v string) error { return flags.Append(&hostOf(a).SecurityOpt, v, securityOpt) },
	},
	{
		Name: "shm-size", Value: "bytes", Usage: "Size of /dev/shm", Default: "64m",
		Set: func(a any, v string) error { return flags.Set(&hostOf(a).ShmSize, v, api.ParseSize) },
	},
	{Name: "sig-proxy", Usage: "Forward the signals that tare gets", Default: "true", Set: func(a any, v string) error { return flags.Bool(&runOf(a).sigProxy, v) }},
	{
		Name: "stop-signal", Value: "string", Usage: "Signal that stops the container",
		Set: func(a any, v string) error {
			_, err := containers.ParseSignal(v)
			configOf(a).StopSignal = v
			return err
		},
	},
	{
		Name: "stop-timeout", Value: "int", Usage: "Seconds to wait for the stop signal to work",
		Set: func(a any, v string) error { return flags.SetNew(&configOf(a).StopTimeout, v, parseSeconds) },
	},
	{
		Name: "sysctl", Value: "map", Usage: "Kernel parameter of the container's namespaces (name=value)",
		Set: func(a any, v string) error { return flags.Pair(&hostOf(a).Sysctls, v) },
	},
	{
		Name: "time-offset", Value: "list", Usage: "Shift the clocks (monotonic=+3600s,boottime=-1h)",
		Set: func(a any, v string) error { return addTimeOffsets(&configOf(a).TimeOffsets, v) },
	},
	{
		Name: "timeout", Value: "duration", Usage: "End the container when it takes longer (90s, 5m; a number is seconds)",
		Set: func(a any, v string) error { return flags.Set(&configOf(a).Timeout, v, parseTimeout) },
	},
	{Name: "tmpfs", Value: "list", Usage: "Mount a tmpfs (path[:options])", Set: func(a any, v string) error { return addTmpfs(&hostOf(a).Tmpfs, v) }},
	{Name: "tty", Short: 't', Usage: "Give the container a terminal", Set: func(a any, v string) error { return flags.Bool(&configOf(a).Tty, v) }},
	{
		Name: "ulimit", Value: "ulimit", Usage: "Resource limit (name=soft[:hard])",
		Set: func(a any, v string) error { return flags.Append(&hostOf(a).Ulimits, v, api.ParseUlimit) },
	},
	{
		Name: "umask", Value: "octal", Usage: "Umask of the command", Default: "0022",
		Set: func(a any, v string) error { return flags.Set(&configOf(a).Umask, v, parseUmask) },
	},
	{
		Name: "user", Short: 'u', Value: "string", Usage: "User and group, names or numbers (user[:group])",
		Set: func(a any, v string) error { return flags.String(&configOf(a).User, v) },
	},
	{
		Name: "userns", Value: "string", Usage: "User namespace: host, private or ns:PATH", Default: "host", Words: []string{"host", "private"},
		Set: func(a any, v string) error { return flags.String(&hostOf(a).UsernsMode, v) },
	},
	{
		Name: "uts", Value: "string", Usage: "UTS namespace: private, host, container:NAME or ns:PATH", Default: "private", Words: []string{"private", "host"},
		Set: func(a any, v string) error { return flags.String(&hostOf(a).UTSMode, v) },
	},
	{
		Name: "volume", Short: 'v', Value: "list", Usage: "Mount a directory or file of the host (source:target[:options])",
		Set: func(a any, v string) error { return flags.Append(&hostOf(a).Binds, v, absoluteBind) },
	},
	{
		Name: "volumes-from", Value: "list", Usage: "Mount the volumes of other containers (container[:ro])",
		Set: func(a any, v string) error { return flags.List(&hostOf(a).VolumesFrom, v) },
	},
	{
		Name: "workdir", Short: 'w', Value: "string", Usage: "Working directory in the container",
		Set: func(a any, v string) error { return flags.String(&configOf(a).WorkingDir, v) },
	},
}

// runOf is where update sets what run sets too.
func runOf(a any) *runAction {
	if u, ok := a.(*updateAction); ok {
		return u.run
	}
	return a.(*runAction)
}

func configOf(a any) *api.ContainerConfig { return &runOf(a).cfg }

func hostOf(a any) *api.HostConfig { return &runOf(a).cfg.HostConfig }

// healthOf is the health check, which there is once one of its flags is given.
func healthOf(a any) *api.Healthcheck {
	c := configOf(a)
	if c.Healthcheck == nil {
		c.Healthcheck = &api.Healthcheck{}
	}
	return c.Healthcheck
}
