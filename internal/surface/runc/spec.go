package runc

import (
	"encoding/json"
	"errors"
	"io/fs"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"github.com/tare-engine/tare/internal/linux/host"
	"github.com/tare-engine/tare/internal/spec/oci"
)

var specRows = []flags.Flag{
	{
		Name: "bundle", Short: 'b', Value: "dir", Usage: "directory to write config.json to (default: the working directory)",
		Set: func(o any, v string) error { return flags.String(&o.(*specOptions).dir, v) },
	},
	{Name: "rootless", Usage: "for a caller that is not root", Set: func(o any, v string) error { return flags.Bool(&o.(*specOptions).rootless, v) }},
}

type specOptions struct {
	dir      string
	rootless bool
}

func (o *specOptions) run(a *App, _ []string) error {
	s := exampleSpec()
	if o.rootless {
		makeRootless(s)
	}
	b, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return err
	}
	name := "config.json"
	if o.dir != "" {
		name = o.dir + "/" + name
	}
	err = fsatomic.CreateFile(name, append(b, '\n'), 0o666)
	if errors.Is(err, fs.ErrExist) {
		return fault.New(fault.Exists, "%s exists: remove it first", name)
	}
	return err
}

// exampleSpec is a shell in the directory rootfs, isolated by default.
func exampleSpec() *specs.Spec {
	s := oci.Default(nil)
	s.Version = specs.Version
	s.Root = &specs.Root{Path: "rootfs", Readonly: true}
	s.Hostname = "tare"
	caps := []string{"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"}
	s.Process.Terminal = true
	s.Process.Args = []string{"sh"}
	s.Process.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"}
	s.Process.Cwd = "/"
	s.Process.NoNewPrivileges = true
	s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
	s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1024, Hard: 1024}}
	s.Linux.Seccomp = nil
	s.Linux.CgroupsPath = ""
	return s
}

// makeRootless changes s into what a user can run: with a user namespace in
// which it is root, without what needs more users than one.
func makeRootless(s *specs.Spec) {
	var ns []specs.LinuxNamespace
	for _, n := range s.Linux.Namespaces {
		if n.Type != specs.NetworkNamespace && n.Type != specs.UserNamespace {
			ns = append(ns, n)
		}
	}
	s.Linux.Namespaces = append(ns, specs.LinuxNamespace{Type: specs.UserNamespace})
	s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: uint32(host.UID()), Size: 1}}
	s.Linux.GIDMappings = []specs.LinuxIDMapping{{HostID: uint32(host.GID()), Size: 1}}
	s.Linux.Resources = nil
	var mounts []specs.Mount
	for _, m := range s.Mounts {
		switch m.Destination {
		case "/sys/fs/cgroup", "/sys": // /sys shows the network namespace's owner's
			continue
		case "/dev/pts":
			var options []string
			for _, o := range m.Options {
				if len(o) < 4 || o[:4] != "gid=" {
					options = append(options, o)
				}
			}
			m.Options = options
		}
		mounts = append(mounts, m)
	}
	s.Mounts = append(mounts, specs.Mount{
		Destination: "/sys", Type: "none", Source: "/sys", Options: []string{"rbind", "nosuid", "noexec", "nodev", "ro"},
	})
}
