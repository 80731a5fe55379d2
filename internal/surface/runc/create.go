package runc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/container"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"github.com/tare-engine/tare/internal/storage/snapshot"
	"golang.org/x/sys/unix"
)

// createFlags are the flags that make a container: create, run and restore
// have them.
type createFlags struct {
	bundle        string
	consoleSocket string
	pidFile       string
	noPivot       bool
	noNewKeyring  bool
	preserveFDs   int
}

// create is what createRows set, in whatever contains it.
func (o *createFlags) create() *createFlags { return o }

func createOf(o any) *createFlags { return o.(interface{ create() *createFlags }).create() }

var createRows = []flags.Flag{
	{
		Name: "bundle", Short: 'b', Value: "dir", Usage: "directory of config.json (default: the working directory)",
		Set: func(o any, v string) error { return flags.String(&createOf(o).bundle, v) },
	},
	{
		Name: "console-socket", Value: "path", Usage: "unix socket that gets the terminal's master",
		Set: func(o any, v string) error { return flags.String(&createOf(o).consoleSocket, v) },
	},
	{Name: "pid-file", Value: "file", Usage: "file to write the process id to", Set: func(o any, v string) error { return flags.String(&createOf(o).pidFile, v) }},
	{
		Name: "no-pivot", Usage: "change the root by chroot; only for a host that runs from its initial ramfs",
		Set: func(o any, v string) error { return flags.Bool(&createOf(o).noPivot, v) },
	},
	{
		Name: "no-new-keyring", Usage: "let the container use the caller's session keyring",
		Set: func(o any, v string) error { return flags.Bool(&createOf(o).noNewKeyring, v) },
	},
	{
		Name: "preserve-fds", Value: "n", Usage: "give the container N descriptors from 3 on, too",
		Set: func(o any, v string) error { return flags.Int(&createOf(o).preserveFDs, v) },
	},
}

type createOptions struct{ createFlags }

func (o *createOptions) run(a *App, args []string) error {
	if err := o.check(a); err != nil {
		return err
	}
	m, err := a.make(args[0], &o.createFlags, &byClone{split: true})
	if err != nil {
		return err
	}
	defer m.release()
	return m.leave()
}

// check looks at what must be seen before this process opens anything.
func (o *createFlags) check(a *App) error {
	n, err := preserved(o.preserveFDs, a.listenFDs())
	o.preserveFDs = n
	return err
}

// listenFDs is LISTEN_FDS if it is meant for this process (sd_listen_fds(3)):
// what another one got by that name is not to end up in the container.
func (a *App) listenFDs() string {
	if pid := a.Getenv("LISTEN_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return ""
	}
	return a.Getenv("LISTEN_FDS")
}

// preserved is how many descriptors the container gets besides 0, 1 and 2,
// which have to be there: what this process opens later must not be taken for
// one of them.
func preserved(n int, listen string) (int, error) {
	if listen != "" {
		more, err := strconv.Atoi(listen)
		if err != nil || more < 0 {
			return 0, fault.New(fault.Invalid, "LISTEN_FDS=%q: not a number", listen)
		}
		n += more
	}
	if n < 0 || n > 1<<16 {
		return 0, fault.New(fault.Invalid, "preserve %d descriptors: not a number of descriptors", n)
	}
	for fd := 3; fd < 3+n; fd++ {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			return 0, fault.New(fault.Invalid, "preserve %d descriptors: descriptor %d is not open", n, fd)
		}
	}
	return n, nil
}

// byClone makes a container's first process, up to its start gate. With split
// another process will start it.
type byClone struct {
	split bool
	netns *container.NetNS
	gate  *container.Split // nil without split
}

func (by *byClone) begin(id string, m *made) (err error) {
	terminal := m.bundle.spec.Process.Terminal
	if by.split && terminal && m.o.consoleSocket == "" {
		return fault.New(fault.Invalid, "cannot allocate tty if the container is detached without setting console socket")
	}
	if m.o.consoleSocket != "" && (!terminal || !by.split) {
		return fault.New(fault.Invalid, "cannot use console socket if the container is not detached or has no terminal")
	}
	if container.MakesNetNS(m.bundle.spec) {
		by.netns = container.NewNetNS()
	}
	if m.a.systemd {
		m.unit, err = m.a.scopeOf(id, m.bundle.spec.Linux.CgroupsPath, rootlessCaller())
	}
	return err
}

func (by *byClone) complete(m *made, cfg *container.Config) (err error) {
	cfg.NetNS = by.netns
	if by.split {
		by.gate, err = m.gate()
		cfg.Split = by.gate
	}
	return err
}

func (by *byClone) close() {
	by.netns.Close()
	if by.gate != nil {
		_ = unix.Close(by.gate.FIFO)
		_ = unix.Close(by.gate.Progress)
	}
}

// config is what package container takes of a bundle.
func (m *made) config() (*container.Config, error) {
	b, o := m.bundle, m.o
	snap, err := snapshot.Dir(b.rootfs)
	if err != nil {
		return nil, err
	}
	root, err := snapshot.MountPlan(snap, snapshot.Features{})
	if err != nil {
		return nil, err
	}
	root.Recursive = true
	cfg := &container.Config{
		Spec: b.spec, Root: root, RootTarget: b.rootfs,
		Stdin: 0, Stdout: 1, Stderr: 2, Give: container.GiveAll, PreserveFDs: o.preserveFDs, NoPivot: o.noPivot,
		State:  specs.State{ID: m.rec.ID, Bundle: b.dir, Annotations: b.spec.Annotations},
		Layout: m.layout, Facts: m.facts, Warn: m.a.log.warn,
	}
	if m.unit != nil {
		m.unit.V2, m.unit.Resources = m.layout.MemoryOnV2(), b.spec.Linux.Resources
		cfg.Scope = m.unit
	}
	if m.a.debug || m.a.after != nil {
		cfg.After = m.a.reached
	}
	if !o.noNewKeyring {
		cfg.Keyring = "_ses." + m.rec.ID
	}
	return cfg, nil
}

// gate makes the files that the starter will use.
func (m *made) gate() (*container.Split, error) {
	if err := unix.Mkfifo(m.dir+gateFile, 0o600); err != nil {
		return nil, fmt.Errorf("make start gate: %w", err)
	}
	m.a.reached("gate")
	s := &container.Split{}
	var err error
	if s.FIFO, err = unix.Open(m.dir+gateFile, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0); err != nil {
		return nil, fmt.Errorf("open start gate: %w", err)
	}
	s.Progress, err = unix.Open(m.dir+progressFile, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		_ = unix.Close(s.FIFO)
		return nil, fmt.Errorf("make progress file: %w", err)
	}
	return s, nil
}

// leave lets the container wait for a start, or go on if it was restored,
// without this process.
func (m *made) leave() error {
	if err := m.box.Detach(); err != nil {
		return errors.Join(err, m.forget())
	}
	m.a.reached("left")
	return nil
}

// forget removes the container's directory.
func (c *entry) forget() error {
	// A restore that was killed leaves the root mounted in there.
	if err := unix.Unmount(c.dir+criuRoot, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && err != unix.ENOENT && err != unix.EINVAL && err != unix.EPERM {
		return fmt.Errorf("unmount %s: %w", c.dir+criuRoot, err)
	}
	return fsatomic.RemoveTree(unix.AT_FDCWD, c.dir)
}

// writePIDFile writes the file whole: who waits for it may read it at once.
func writePIDFile(path string, pid int) error {
	abs, err := filepath.Abs(path)
	if err == nil {
		err = fsatomic.WriteFile(abs, strconv.AppendInt(nil, int64(pid), 10), 0o666, fsatomic.Volatile)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.NotFound, "write pid file %s: no such directory", path)
	}
	return err
}
