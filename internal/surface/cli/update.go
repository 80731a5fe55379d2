package cli

import (
	"context"
	"strings"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/containers"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
)

func updateCommand() Command {
	return Command{
		Name: "update", Aliases: []string{"container update"}, Args: "CONTAINER [CONTAINER...]", Short: "Change limits and settings of containers",
		Long: "Limits, and what concerns stop, log and health, take effect at once, a restart policy when the\n" +
			"container ends; variables, mounts and ports with the next start.",
		Example: "tare update -m 512m --cpus 1.5 web\ntare update --restart unless-stopped web\ntare update -e DEBUG=1 --env-rm LANG --mount-rm /data web",
		Flags:   updateFlags, MinArgs: 1, MaxArgs: -1, Complete: CompleteContainers,
		New: func() Action { return &updateAction{run: newRun()} },
	}
}

var updateFlags = []flags.Flag{
	{
		Name: "blkio-weight", Value: "uint16", Usage: "Block IO weight, between 10 and 1000",
		Set: func(a any, v string) error { return flags.Set(&hostOf(a).BlkioWeight, v, parseUint16) },
	},
	{Name: "cgroup-conf", Value: "map", Usage: "Set a cgroup v2 file (memory.high=64M)", Set: func(a any, v string) error { return flags.Pair(&hostOf(a).Unified, v) }},
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
	{
		Name: "env", Short: 'e', Value: "list", Usage: "Set an environment variable, from the next start on",
		Set: func(a any, v string) error { return addEnv(&configOf(a).Env, v, runOf(a).getenv) },
	},
	{
		Name: "env-rm", Value: "list", Usage: "Remove an environment variable, from the next start on",
		Set: func(a any, v string) error { return flags.Append(&a.(*updateAction).o.Env, v, parseEnvName) },
	},
	{
		Name: "health-interval", Value: "time", Usage: "Time between two health checks (500ms, 1m30s)",
		Set: func(a any, v string) error { return flags.Set(&healthOf(a).Interval, v, parseHealthTime) },
	},
	{Name: "label", Short: 'l', Value: "list", Usage: "Set a label", Set: func(a any, v string) error { return flags.List(&runOf(a).labels, v) }},
	{Name: "label-rm", Value: "list", Usage: "Remove a label", Set: func(a any, v string) error { return flags.List(&a.(*updateAction).o.LabelsRemove, v) }},
	{
		Name: "log-opt", Value: "map", Usage: "Limit of the log (max-size=10m, max-file=3)",
		Set: func(a any, v string) error { return flags.Pair(&hostOf(a).LogConfig.Config, v) },
	},
	{Name: "memory", Short: 'm', Value: "bytes", Usage: "Memory limit", Set: func(a any, v string) error { return flags.Set(&hostOf(a).Memory, v, api.ParseSize) }},
	{
		Name: "memory-reservation", Value: "bytes", Usage: "Memory to leave to the container when memory is short",
		Set: func(a any, v string) error { return flags.Set(&hostOf(a).MemoryReservation, v, api.ParseSize) },
	},
	{
		Name: "memory-swap", Value: "bytes", Usage: "Limit of memory plus swap; -1 for unlimited swap",
		Set: func(a any, v string) error { return flags.Set(&hostOf(a).MemorySwap, v, parseSwap) },
	},
	{
		Name: "mount", Value: "mount", Usage: "Mount a file system, from the next start on",
		Set: func(a any, v string) error { return flags.Append(&hostOf(a).Mounts, v, parseMount) },
	},
	{
		Name: "mount-rm", Value: "list", Usage: "Remove the mount at this path, from the next start on",
		Set: func(a any, v string) error { return flags.List(&a.(*updateAction).o.MountsRemove, v) },
	},
	{
		Name: "pids-limit", Value: "int", Usage: "Limit of processes and threads; -1 for unlimited",
		Set: func(a any, v string) error { return flags.SetNew(&hostOf(a).PidsLimit, v, flags.ParseInt) },
	},
	{
		Name: "publish", Short: 'p', Value: "list", Usage: "Publish a port, from the next start on ([[address:]port:]port[/proto])",
		Set: func(a any, v string) error { return addPublish(&a.(*updateAction).o.Publish, v) },
	},
	{
		Name: "publish-rm", Value: "list", Usage: "Stop publishing a port of the container, from the next start on",
		Set: func(a any, v string) error { return flags.Append(&a.(*updateAction).o.PublishStop, v, parsePort) },
	},
	{
		Name: "restart", Value: "string", Usage: "Restart policy: no, on-failure[:n], always or unless-stopped", Words: []string{"no", "on-failure", "always", "unless-stopped"},
		Set: func(a any, v string) error {
			return flags.SetNew(&a.(*updateAction).o.RestartPolicy, v, api.ParseRestartPolicy)
		},
	},
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
		Name: "timeout", Value: "duration", Usage: "End a run when it takes longer (90s, 5m; a number is seconds, 0 is no limit)",
		Set: func(a any, v string) error { return flags.SetNew(&a.(*updateAction).o.Timeout, v, parseTimeout) },
	},
	{
		Name: "volume", Short: 'v', Value: "list", Usage: "Mount a directory or file of the host, from the next start on",
		Set: func(a any, v string) error { return flags.Append(&hostOf(a).Binds, v, absoluteBind) },
	},
}

// updateAction has what run has for the flags that are run's too.
type updateAction struct {
	run   *runAction
	o     containers.UpdateOptions
	given bool
}

// Take notes that there is something to update.
func (u *updateAction) Take(f *flags.Flag, v string) error {
	u.given = true
	return f.Set(u, v)
}

// parseEnvName reads the name of a variable, for what has no value to it.
func parseEnvName(v string) (string, error) {
	if v == "" || strings.Contains(v, "=") {
		return "", fault.New(fault.Invalid, "%q is no name of a variable", v)
	}
	return v, nil
}

func addPublish(to *map[string][]api.PortBinding, v string) error {
	port, binding, err := parsePublish(v)
	if *to == nil {
		*to = map[string][]api.PortBinding{}
	}
	(*to)[port] = append((*to)[port], binding)
	return err
}

// parsePort reads port[/proto].
func parsePort(v string) (string, error) {
	if !strings.Contains(v, "/") {
		v += "/tcp"
	}
	return v, nil
}

func (u *updateAction) Run(ctx context.Context, app *App, args []string) (int, error) {
	if !u.given {
		return exitUsage, fault.WithHint(fault.New(fault.Invalid, "you must provide one or more flags when using this command"), "see 'tare update --help'")
	}
	c := &u.run.cfg
	for _, l := range u.run.labels {
		if err := flags.Pair(&u.o.Labels, l); err != nil {
			return exitUsage, err
		}
	}
	u.o.Resources, u.o.Binds, u.o.Mounts = c.HostConfig.Resources, c.HostConfig.Binds, c.HostConfig.Mounts
	u.o.Env = append(u.o.Env, c.Env...)
	u.o.StopSignal, u.o.StopTimeout, u.o.LogLimits = c.StopSignal, c.StopTimeout, c.HostConfig.LogConfig.Config
	if c.Healthcheck != nil {
		u.o.HealthInterval = c.Healthcheck.Interval
	}
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	return EachArg(app, "update", args, func(arg string) error {
		warnings, err := e.Containers.Update(ctx, arg, &u.o)
		for _, w := range warnings {
			app.warning(w)
		}
		if err == nil {
			app.Print(arg + "\n")
		}
		return err
	})
}

// parsePublish reads [[address:]port:]port[/proto].
func parsePublish(s string) (port string, b api.PortBinding, err error) {
	bad := fault.New(fault.Invalid, "invalid containerPort: %s", s)
	rest, proto, given := strings.Cut(s, "/")
	if !given {
		proto = "tcp"
	}
	if proto != "tcp" && proto != "udp" && proto != "sctp" {
		return "", b, fault.New(fault.Invalid, "invalid proto: %s", proto)
	}
	i := strings.LastIndexByte(rest, ':')
	inside := rest[i+1:]
	if i >= 0 {
		outside := rest[:i]
		j := strings.LastIndexByte(outside, ':')
		b.HostPort = outside[j+1:]
		if j >= 0 {
			b.HostIP = strings.Trim(outside[:j], "[]")
		}
	}
	for _, n := range []string{inside, b.HostPort} {
		if n == "" && n == b.HostPort && n != inside {
			continue // any port of the host
		}
		if v, err := parseUint16(n); err != nil || v == 0 {
			return "", b, bad
		}
	}
	return inside + "/" + proto, b, nil
}
