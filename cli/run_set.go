package cli

import (
	"strings"

	"github.com/tare-engine/tare/engine"
	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/monitor"
)

// Set takes one flag of run. The cases stand in the order of the table.
func (r *runAction) Set(flag, v string) (err error) {
	c, h := &r.cfg, &r.cfg.HostConfig
	switch flag {
	case "add-host":
		_, _, err = engine.ParseExtraHost(v)
		h.ExtraHosts = append(h.ExtraHosts, v)
	case "annotation":
		err = setPair(&h.Annotations, v)
	case "blkio-weight":
		h.BlkioWeight, err = parseUint16(v)
	case "blkio-weight-device":
		var d engine.WeightDevice
		d, err = parseWeightDevice(v)
		h.BlkioWeightDevice = append(h.BlkioWeightDevice, d)
	case "cap-add":
		h.CapAdd = append(h.CapAdd, v)
	case "cap-drop":
		h.CapDrop = append(h.CapDrop, v)
	case "cgroup-conf":
		err = setPair(&h.Unified, v)
	case "cgroup-parent":
		h.CgroupParent = v
	case "cgroupns":
		h.CgroupnsMode = v
	case "cidfile":
		r.cidfile, err = absolute(v)
	case "cpu-burst":
		err = SetInt(&h.CPUBurst, v)
	case "cpu-period":
		err = SetInt(&h.CPUPeriod, v)
	case "cpu-quota":
		err = SetInt(&h.CPUQuota, v)
	case "cpu-rt-period":
		err = SetInt(&h.CPURealtimePeriod, v)
	case "cpu-rt-runtime":
		err = SetInt(&h.CPURealtimeRuntime, v)
	case "cpu-shares":
		err = SetInt(&h.CPUShares, v)
	case "cpus":
		h.NanoCPUs, err = parseCPUs(v)
	case "cpuset-cpus":
		h.CpusetCpus = v
	case "cpuset-mems":
		h.CpusetMems = v
	case "detach":
		err = SetBool(&r.detach, v)
	case "detach-keys":
		r.detachKeys = v
		_, err = monitor.ParseDetachKeys(v)
	case "device":
		var d engine.DeviceMapping
		d, err = parseDevice(v)
		h.Devices = append(h.Devices, d)
	case "device-cgroup-rule":
		_, err = engine.ParseDeviceRule(v)
		h.DeviceCgroupRules = append(h.DeviceCgroupRules, v)
	case "device-read-bps":
		err = addThrottle(&h.BlkioDeviceReadBps, v, engine.ParseSize)
	case "device-read-iops":
		err = addThrottle(&h.BlkioDeviceReadIOps, v, parseInt)
	case "device-write-bps":
		err = addThrottle(&h.BlkioDeviceWriteBps, v, engine.ParseSize)
	case "device-write-iops":
		err = addThrottle(&h.BlkioDeviceWriteIOps, v, parseInt)
	case "dns":
		h.DNS = append(h.DNS, v)
	case "dns-opt", "dns-option":
		h.DNSOptions = append(h.DNSOptions, v)
	case "dns-search":
		h.DNSSearch = append(h.DNSSearch, v)
	case "domainname":
		c.Domainname = v
	case "entrypoint":
		c.Entrypoint = []string{v}
	case "env":
		err = addEnv(&c.Env, v, r.getenv)
	case "env-file":
		err = readEnvFile(&r.envFile, v, r.getenv)
	case "group-add":
		h.GroupAdd = append(h.GroupAdd, v)
	case "health-cmd", "health-interval", "health-on-failure", "health-retries", "health-start-interval", "health-start-period", "health-timeout":
		err = setHealth(c, flag, v)
	case "hostname":
		c.Hostname = v
	case "init":
		var on bool
		err = SetBool(&on, v)
		h.Init = &on
	case "interactive":
		err = SetBool(&c.OpenStdin, v)
	case "ipc":
		h.IpcMode = v
	default:
		return r.setMore(flag, v)
	}
	return err
}

func (r *runAction) setMore(flag, v string) (err error) {
	c, h := &r.cfg, &r.cfg.HostConfig
	switch flag {
	case "label":
		r.labels = append(r.labels, v)
	case "label-file":
		err = readLabelFile(&c.Labels, v)
	case "log-driver":
		h.LogConfig.Type = v
	case "log-opt":
		err = setPair(&h.LogConfig.Config, v)
	case "memory":
		h.Memory, err = engine.ParseSize(v)
	case "memory-reservation":
		h.MemoryReservation, err = engine.ParseSize(v)
	case "memory-swap":
		if h.MemorySwap = -1; v != "-1" {
			h.MemorySwap, err = engine.ParseSize(v)
		}
	case "memory-swappiness":
		var n int64
		err = SetInt(&n, v)
		h.MemorySwappiness = &n
	case "mount":
		var m engine.Mount
		m, err = parseMount(v)
		h.Mounts = append(h.Mounts, m)
	case "name":
		c.Name = v
	case "net", "network":
		h.NetworkMode = v
	case "no-healthcheck":
		err = SetBool(&r.noHealth, v)
	case "oom-kill-disable":
		var on bool
		err = SetBool(&on, v)
		h.OomKillDisable = &on
	case "oom-score-adj":
		var n int64
		err = SetInt(&n, v)
		h.OomScoreAdj = int(n)
	case "personality":
		c.Personality = strings.ToUpper(v)
	case "pid":
		h.PidMode = v
	case "pids-limit":
		var n int64
		err = SetInt(&n, v)
		h.PidsLimit = &n
	case "plan":
		err = SetBool(&r.plan, v)
	case "platform":
		c.Platform = v
	case "privileged":
		err = SetBool(&h.Privileged, v)
	case "pull":
		r.pull.when = v
	case "quiet":
		err = SetBool(&r.pull.quiet, v)
	case "receipt":
		c.ReceiptFile, err = absolute(v)
	case "read-only":
		err = SetBool(&h.ReadonlyRootfs, v)
	case "requires":
		c.Requires = append(c.Requires, strings.Split(v, ",")...)
	case "restart":
		h.RestartPolicy, err = engine.ParseRestartPolicy(v)
	case "rm":
		err = SetBool(&h.AutoRemove, v)
	case "rootfs":
		c.RootFS, err = absolute(v)
	case "sdnotify":
		err = oneOf(v, "container", "conmon", "ignore")
		c.SdNotify = v
	case "security-opt":
		v, err = securityOpt(v)
		h.SecurityOpt = append(h.SecurityOpt, v)
	case "shm-size":
		h.ShmSize, err = engine.ParseSize(v)
	case "sig-proxy":
		err = SetBool(&r.sigProxy, v)
	case "stop-signal":
		_, err = engine.ParseSignal(v)
		c.StopSignal = v
	case "stop-timeout":
		var n int64
		err = SetInt(&n, v)
		seconds := int(n)
		c.StopTimeout = &seconds
	case "sysctl":
		err = setPair(&h.Sysctls, v)
	case "time-offset":
		err = addTimeOffsets(&c.TimeOffsets, v)
	case "timeout":
		c.Timeout, err = parseTimeout(v)
	case "tmpfs":
		path, options, _ := strings.Cut(v, ":")
		if h.Tmpfs == nil {
			h.Tmpfs = make(map[string]string, 2)
		}
		h.Tmpfs[path] = options
	case "tty":
		err = SetBool(&c.Tty, v)
	case "ulimit":
		var u engine.Ulimit
		u, err = engine.ParseUlimit(v)
		h.Ulimits = append(h.Ulimits, u)
	case "umask":
		c.Umask, err = parseUmask(v)
	case "user":
		c.User = v
	case "userns":
		h.UsernsMode = v
	case "uts":
		h.UTSMode = v
	case "volume":
		v, err = absoluteBind(v)
		h.Binds = append(h.Binds, v)
	case "volumes-from":
		h.VolumesFrom = append(h.VolumesFrom, v)
	case "workdir":
		c.WorkingDir = v
	default:
		return fault.New(fault.Internal, "flag --%s is in the table and nowhere else", flag)
	}
	return err
}
