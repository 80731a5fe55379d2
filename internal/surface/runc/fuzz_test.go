package runc

import (
	"encoding/binary"
	"encoding/json"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/container"
	"github.com/tare-engine/tare/internal/lib/jsonread"
	"github.com/tare-engine/tare/internal/linux/host"
	"github.com/tare-engine/tare/internal/linux/plan"
	"github.com/tare-engine/tare/internal/spec/capability"
	"github.com/tare-engine/tare/internal/spec/cgroup"
	"github.com/tare-engine/tare/internal/storage/snapshot"
	"golang.org/x/sys/unix"
)

// compile turns the text of a config.json into a plan, without a look at this
// machine.
func compile(text []byte) (*plan.Plan, *specs.Spec, error) {
	b := &bundle{dir: "/bundle", spec: &specs.Spec{}, text: text}
	if err := jsonread.Decode(text, b.spec, readSpec); err != nil {
		return nil, nil, err
	}
	if err := b.check(); err != nil {
		return nil, nil, err
	}
	layout := cgroup.Layout{Hierarchies: []cgroup.Hierarchy{
		{Mount: "/sys/fs/cgroup/memory", Self: "/", Root: "/", Controllers: []string{"memory", "cpuset", "blkio"}},
		{Mount: "/sys/fs/cgroup/devices", Self: "/", Root: "/", Controllers: []string{"devices"}},
		{Mount: "/sys/fs/cgroup/unified", Self: "/", Root: "/", Controllers: []string{"pids", "cpu"}, Unified: true},
	}}
	s, err := adjust(b.spec, &inputs{id: "x", bundle: b.dir, layout: layout, uids: []idRange{{0, 0, 1 << 31}}})
	if err != nil {
		return nil, nil, err
	}
	p, err := container.Compile(container.Config{
		Spec: s, Root: snapshot.Mount{Bind: b.rootfs, Recursive: true}, RootTarget: b.rootfs,
		Stdin: 0, Stdout: 1, Stderr: 2, Layout: layout, Keyring: "_ses.x",
		Split: &container.Split{FIFO: 10, Progress: 11},
		IsDir: func(source string) (bool, error) { return len(source)%2 == 0, nil },
		Facts: host.Facts{Bounding: capability.UpTo(40), LastCap: 40, Arch: "amd64", AppArmor: true, SELinux: true},
	})
	return p, s, err
}

// checkPlan checks what holds of every plan, whatever it was made of.
func checkPlan(t testing.TB, p *plan.Plan, s *specs.Spec) {
	t.Helper()
	if p.Err() != nil {
		return // spawn refuses it
	}
	last := -1 // the capset after which the container's own rights count
	for i := range p.Child {
		if p.Child[i].Nr == unix.SYS_CAPSET {
			last = i
		}
	}
	if last < 0 {
		t.Fatal("the plan leaves the capabilities as they are")
	}
	nnp, dropped := false, map[uint64]bool{}
	for i := range p.Child {
		op := &p.Child[i]
		switch nr := uintptr(op.Nr); {
		case nr == unix.SYS_OPENAT2 || nr == unix.SYS_OPENAT:
			if !closesOnExec(p, op) {
				t.Errorf("op %d is not O_CLOEXEC: %s", i, p.FormatOp(op))
			}
		case nr == unix.SYS_PRCTL && op.Arg(0).Value() == unix.PR_SET_NO_NEW_PRIVS:
			nnp = true
		case nr == unix.SYS_PRCTL && op.Arg(0).Value() == unix.PR_CAPBSET_DROP:
			dropped[op.Arg(1).Value()] = true
		case nr == unix.SYS_SECCOMP && i > last && !nnp:
			t.Errorf("op %d: a filter without CAP_SYS_ADMIN nor no_new_privs", i)
		}
		if i > last && !slices.Contains([]uint32{unix.SYS_PRCTL, unix.SYS_SECCOMP, unix.SYS_EXECVE, unix.SYS_PRLIMIT64}, op.Nr) {
			t.Errorf("op %d comes after the capabilities have gone: %s", i, p.FormatOp(op))
		}
	}
	var given capability.Set
	if c := s.Process.Capabilities; c != nil {
		given, _ = capability.ParseSet(c.Bounding)
	}
	for n := range uint64(41) {
		if !given.Has(capability.Cap(n)) && !dropped[n] {
			t.Errorf("%s stays in the bounding set", capability.Cap(n))
		}
	}
}

func closesOnExec(p *plan.Plan, op *plan.Op) bool {
	if op.Nr == unix.SYS_OPENAT {
		return op.Arg(2).Value()&unix.O_CLOEXEC != 0
	}
	mem, ok := op.Arg(2).Memory()
	return ok && binary.LittleEndian.Uint64(p.Data[p.Mem[mem].Off:])&unix.O_CLOEXEC != 0
}

// rich is a configuration that meets most steps.
func rich() *specs.Spec {
	s := testSpec([]string{"prog", "arg"})
	n, u, w := int64(64<<20), uint64(1024), uint16(500)
	mode := 0
	s.Process.User = specs.User{UID: 1, GID: 2, AdditionalGids: []uint32{3}}
	s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 5, Hard: 6}}
	s.Process.OOMScoreAdj = &mode
	s.Process.NoNewPrivileges = true
	s.Process.Terminal = true
	s.Hostname = "h"
	s.Mounts = append(s.Mounts,
		specs.Mount{Destination: "/data/x", Type: "bind", Source: "rel", Options: []string{"rbind", "rro", "rslave", "idmap"}},
		specs.Mount{Destination: "/t", Type: "tmpfs", Options: []string{"size=1m", "tmpcopyup", "ro"}})
	s.Linux.Resources = &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: &n, Swap: &n}, CPU: &specs.LinuxCPU{Shares: &u, Cpus: "0-1"}, Pids: &specs.LinuxPids{Limit: &n},
		BlockIO: &specs.LinuxBlockIO{Weight: &w}, Unified: map[string]string{"pids.max": "5"},
		Devices: []specs.LinuxDeviceCgroup{{Allow: true, Type: "c", Major: &n, Access: "r"}},
	}
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace}, specs.LinuxNamespace{Type: specs.TimeNamespace})
	s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 1000, Size: 100}}
	s.Linux.GIDMappings = s.Linux.UIDMappings
	s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"}
	s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229}}
	s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: 5}}
	s.Linux.RootfsPropagation = "rslave"
	s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/h"}}, StartContainer: []specs.Hook{{Path: "/h"}}}
	return s
}

// FuzzConfig: every config.json is refused, or gives a plan that holds what
// plans hold.
func FuzzConfig(f *testing.F) {
	plain := testSpec([]string{"/bin/true"})
	plain.Linux.CgroupsPath = "/x"
	root := rich()
	root.Process.User, root.Process.NoNewPrivileges, root.Linux.Namespaces = specs.User{}, false, plain.Linux.Namespaces
	for _, s := range []*specs.Spec{plain, rich(), root} {
		b, err := json.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, s, err := compile(text)
		if err != nil {
			return
		}
		if len(p.Data)+len(p.Child)*120 > 1<<20+64*len(text) {
			t.Errorf("a plan of %d calls and %d bytes from %d bytes", len(p.Child), len(p.Data), len(text))
		}
		checkPlan(t, p, s)
	})
}

// TestRichPlan makes sure that the fuzzer's seeds are accepted.
func TestRichPlan(t *testing.T) {
	b, err := json.Marshal(rich())
	must(t, err)
	p, s, err := compile(b)
	must(t, err)
	checkPlan(t, p, s)
}
