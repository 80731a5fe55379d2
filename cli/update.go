package cli

import (
	"context"
	"strings"

	"github.com/tare-engine/tare/engine"
	"github.com/tare-engine/tare/fault"
)

func updateCommand() Command {
	return Command{
		Name: "update", Aliases: []string{"container update"}, Args: "CONTAINER [CONTAINER...]", Short: "Change limits and settings of containers",
		Long: "Limits take effect at once, a restart policy when the container ends; variables, mounts and\n" +
			"ports with the next start.",
		Example: "tare update -m 512m --cpus 1.5 web\ntare update --restart unless-stopped web\ntare update -e DEBUG=1 --env-rm LANG --mount-rm /data web",
		Flags:   updateFlags, MinArgs: 1, MaxArgs: -1, Complete: CompleteContainers,
		New: func() Action { return &updateAction{run: newRun()} },
	}
}

var updateFlags = []Flag{
	{Name: "blkio-weight", Value: "uint16", Usage: "Block IO weight, between 10 and 1000"},
	{Name: "cgroup-conf", Value: "map", Usage: "Set a cgroup v2 file (memory.high=64M)"},
	{Name: "cpu-burst", Value: "int", Usage: "Unused CPU time that may be saved up, in microseconds"},
	{Name: "cpu-period", Value: "int", Usage: "Period of the CPU quota, in microseconds"},
	{Name: "cpu-quota", Value: "int", Usage: "CPU time per period, in microseconds"},
	{Name: "cpu-rt-period", Value: "int", Usage: "Period of the real-time limit, in microseconds (cgroup v1)"},
	{Name: "cpu-rt-runtime", Value: "int", Usage: "Real-time CPU time per period, in microseconds (cgroup v1)"},
	{Name: "cpu-shares", Short: 'c', Value: "int", Usage: "CPU shares, relative to others (2 to 262144; 1024 is normal)"},
	{Name: "cpus", Value: "decimal", Usage: "Number of CPUs (0.5 is half of one)"},
	{Name: "cpuset-cpus", Value: "string", Usage: "CPUs to run on (0-3, 0,1)"},
	{Name: "cpuset-mems", Value: "string", Usage: "Memory nodes to use (0-3, 0,1)"},
	{Name: "device-read-bps", Value: "list", Usage: "Limit the rate of reading from a device (path:bytes per second)"},
	{Name: "device-read-iops", Value: "list", Usage: "Limit the rate of reading from a device (path:operations per second)"},
	{Name: "device-write-bps", Value: "list", Usage: "Limit the rate of writing to a device (path:bytes per second)"},
	{Name: "device-write-iops", Value: "list", Usage: "Limit the rate of writing to a device (path:operations per second)"},
	{Name: "env", Short: 'e', Value: "list", Usage: "Set an environment variable, from the next start on"},
	{Name: "env-rm", Value: "list", Usage: "Remove an environment variable, from the next start on"},
	{Name: "label", Short: 'l', Value: "list", Usage: "Set a label"},
	{Name: "label-rm", Value: "list", Usage: "Remove a label"},
	{Name: "memory", Short: 'm', Value: "bytes", Usage: "Memory limit"},
	{Name: "memory-reservation", Value: "bytes", Usage: "Memory to leave to the container when memory is short"},
	{Name: "memory-swap", Value: "bytes", Usage: "Limit of memory plus swap; -1 for unlimited swap"},
	{Name: "mount", Value: "mount", Usage: "Mount a file system, from the next start on"},
	{Name: "mount-rm", Value: "list", Usage: "Remove the mount at this path, from the next start on"},
	{Name: "pids-limit", Value: "int", Usage: "Limit of processes and threads; -1 for unlimited"},
	{Name: "publish", Short: 'p', Value: "list", Usage: "Publish a port, from the next start on ([[address:]port:]port[/proto])"},
	{Name: "publish-rm", Value: "list", Usage: "Stop publishing a port of the container, from the next start on"},
	{Name: "restart", Value: "string", Usage: "Restart policy: no, on-failure[:n], always or unless-stopped", Words: []string{"no", "on-failure", "always", "unless-stopped"}},
	{Name: "volume", Short: 'v', Value: "list", Usage: "Mount a directory or file of the host, from the next start on"},
}

// updateAction reads what run has as run does.
type updateAction struct {
	run   *runAction
	o     engine.UpdateOptions
	given bool
}

func (u *updateAction) Set(flag, v string) error {
	u.given = true
	switch flag {
	case "env-rm":
		if v == "" || strings.Contains(v, "=") {
			return fault.New(fault.Invalid, "%q is no name of a variable", v)
		}
		u.o.Env = append(u.o.Env, v)
		return nil
	case "label-rm":
		u.o.LabelsRemove = append(u.o.LabelsRemove, v)
		return nil
	case "mount-rm":
		u.o.MountsRemove = append(u.o.MountsRemove, v)
		return nil
	case "publish":
		port, binding, err := parsePublish(v)
		if u.o.Publish == nil {
			u.o.Publish = map[string][]engine.PortBinding{}
		}
		u.o.Publish[port] = append(u.o.Publish[port], binding)
		return err
	case "publish-rm":
		if !strings.Contains(v, "/") {
			v += "/tcp"
		}
		u.o.PublishStop = append(u.o.PublishStop, v)
		return nil
	case "restart":
		p, err := engine.ParseRestartPolicy(v)
		u.o.RestartPolicy = &p
		return err
	}
	return u.run.Set(flag, v)
}

func (u *updateAction) Run(ctx context.Context, app *App, args []string) (int, error) {
	if !u.given {
		return exitUsage, fault.WithHint(fault.New(fault.Invalid, "you must provide one or more flags when using this command"), "see 'tare update --help'")
	}
	c := &u.run.cfg
	for _, l := range u.run.labels {
		if err := setPair(&u.o.Labels, l); err != nil {
			return exitUsage, err
		}
	}
	u.o.Resources, u.o.Binds, u.o.Mounts = c.HostConfig.Resources, c.HostConfig.Binds, c.HostConfig.Mounts
	u.o.Env = append(u.o.Env, c.Env...)
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
func parsePublish(s string) (port string, b engine.PortBinding, err error) {
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
