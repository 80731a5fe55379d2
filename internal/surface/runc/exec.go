package runc

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/container"
	"github.com/tare-engine/tare/internal/container/stdio"
	"github.com/tare-engine/tare/internal/container/stdio/signals"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
	"github.com/tare-engine/tare/internal/linux/host"
	"github.com/tare-engine/tare/internal/state"
)

// exitExec is the exit code of an exec whose process never ran, as runc's.
const exitExec = 255

// execFlags are the flags of exec.
type execFlags struct {
	process       string // file
	tty           bool
	user          string
	groups        []string
	cwd           string
	env           []string
	caps          []string
	detach        bool
	pidFile       string
	consoleSocket string
	preserveFDs   int
	cgroups       []string
	ignorePaused  bool
	noNewPrivs    bool
	apparmor      string
	label         string
}

var execRows = []flags.Flag{
	{
		Name: "process", Short: 'p', Value: "file", Usage: "the process, as JSON, instead of a command; - for standard input",
		Set: func(o any, v string) error { return flags.String(&o.(*execFlags).process, v) },
	},
	{Name: "tty", Short: 't', Usage: "give it a terminal", Set: func(o any, v string) error { return flags.Bool(&o.(*execFlags).tty, v) }},
	{
		Name: "user", Short: 'u', Value: "uid[:gid]", Usage: "numbers of its user and group",
		Set: func(o any, v string) error { return flags.String(&o.(*execFlags).user, v) },
	},
	{
		Name: "additional-gids", Short: 'g', Value: "gid", Usage: "further group (several times)",
		Set: func(o any, v string) error { return flags.List(&o.(*execFlags).groups, v) },
	},
	{Name: "cwd", Value: "dir", Usage: "its working directory", Set: func(o any, v string) error { return flags.String(&o.(*execFlags).cwd, v) }},
	{
		Name: "env", Short: 'e', Value: "name=value", Usage: "environment variable (several times)",
		Set: func(o any, v string) error { return flags.List(&o.(*execFlags).env, v) },
	},
	{Name: "cap", Short: 'c', Value: "name", Usage: "further capability (several times)", Set: func(o any, v string) error { return flags.List(&o.(*execFlags).caps, v) }},
	{Name: "detach", Short: 'd', Usage: "do not wait for its end", Set: func(o any, v string) error { return flags.Bool(&o.(*execFlags).detach, v) }},
	{Name: "pid-file", Value: "file", Usage: "file to write the process id to", Set: func(o any, v string) error { return flags.String(&o.(*execFlags).pidFile, v) }},
	{
		Name: "console-socket", Value: "path", Usage: "unix socket that gets the terminal's master",
		Set: func(o any, v string) error { return flags.String(&o.(*execFlags).consoleSocket, v) },
	},
	{
		Name: "preserve-fds", Value: "n", Usage: "give it N descriptors from 3 on, too",
		Set: func(o any, v string) error { return flags.Int(&o.(*execFlags).preserveFDs, v) },
	},
	{
		Name: "cgroup", Value: "path", Usage: "cgroup below the container's that it joins",
		Set: func(o any, v string) error { return flags.List(&o.(*execFlags).cgroups, v) },
	},
	{
		Name: "ignore-paused", Usage: "also in a paused container, with which it goes on",
		Set: func(o any, v string) error { return flags.Bool(&o.(*execFlags).ignorePaused, v) },
	},
	{Name: "no-new-privs", Usage: "set no_new_privs", Set: func(o any, v string) error { return flags.Bool(&o.(*execFlags).noNewPrivs, v) }},
	{Name: "apparmor", Value: "profile", Usage: "AppArmor profile", Set: func(o any, v string) error { return flags.String(&o.(*execFlags).apparmor, v) }},
	{Name: "process-label", Value: "label", Usage: "SELinux label", Set: func(o any, v string) error { return flags.String(&o.(*execFlags).label, v) }},
	{Name: "no-subreaper", Usage: "do not adopt the container's processes; the default here", Set: ignoreBool},
}

func (o *execFlags) run(a *App, args []string) error {
	code, err := a.exec(args[0], args[1:], o)
	if err != nil {
		return &exitError{exitExec, fmt.Errorf("exec failed: %w", err)}
	}
	if code != 0 {
		return &exitError{code: code}
	}
	return nil
}

// exec brings a further process into a container and returns its exit code.
func (a *App) exec(id string, args []string, o *execFlags) (int, error) {
	n, err := preserved(o.preserveFDs, "") // sockets of LISTEN_FDS are for the container's first process
	if err != nil {
		return 0, err
	}
	c, err := a.open(id)
	if err != nil {
		return 0, err
	}
	init, life, err := c.process()
	if err != nil {
		return 0, err
	}
	if life == state.Gone {
		return 0, fault.New(fault.Conflict, "cannot exec in a stopped container: %w", errStopped)
	}
	defer init.Release()
	s, err := a.config(c)
	if err != nil {
		return 0, err
	}
	p, err := a.execProcess(s.Process, args, o)
	if err != nil {
		return 0, err
	}
	if !hasHome(p.Env) {
		p.Env = withHome(p.Env, readInRoot("/proc/"+strconv.Itoa(init.Pid)+"/root", "etc/passwd"), p.User.UID)
	}
	switch {
	case o.detach && p.Terminal && o.consoleSocket == "":
		return 0, fault.New(fault.Invalid, "cannot allocate tty if the process is detached without setting console socket")
	case o.consoleSocket != "" && (!p.Terminal || !o.detach):
		return 0, fault.New(fault.Invalid, "cannot use console socket if the process is not detached or has no terminal")
	}
	f, err := host.Probe()
	if err != nil {
		return 0, err
	}
	layout, err := a.layout()
	if err != nil {
		return 0, err
	}
	sub, err := subCgroup(o.cgroups)
	if err != nil {
		return 0, err
	}
	box, err := container.Exec(container.ExecConfig{
		Init: init, Spec: s, Process: p, SubCgroup: sub, IgnorePaused: o.ignorePaused,
		Stdin: 0, Stdout: 1, Stderr: 2, Give: container.GiveAll, PreserveFDs: n, Layout: layout, Facts: f, Warn: a.log.warn,
		State: specs.State{ID: id, Bundle: c.rec.Bundle, Annotations: c.rec.Annotations},
	})
	if err != nil {
		return 0, err
	}
	if !o.detach {
		return a.attend(box, p, o.writePID)
	}
	if o.consoleSocket != "" {
		if err := sendConsole(o.consoleSocket, box.Console); err != nil {
			box.Abandon()
			return 0, err
		}
	}
	if err := box.Start(); err != nil {
		return 0, err
	}
	if err := o.writePID(box.Process.Pid); err != nil {
		_ = box.Process.Signal(9)
		return 0, err
	}
	return 0, nil
}

func (o *execFlags) writePID(pid int) error {
	if o.pidFile == "" {
		return nil
	}
	return writePIDFile(o.pidFile, pid)
}

// attend starts a process that this one waits for, with its streams or its
// terminal. Started may be nil.
func (a *App) attend(box *container.Container, p *specs.Process, started func(pid int) error) (int, error) {
	caught, err := signals.Catch(true, p.Terminal)
	var terminal *stdio.Terminal
	if err == nil && p.Terminal {
		var rows, cols uint16
		if p.ConsoleSize != nil {
			rows, cols = uint16(p.ConsoleSize.Height), uint16(p.ConsoleSize.Width)
		}
		terminal, err = stdio.OpenTerminal(box.Console, a.Stdin, a.Stdout, rows, cols)
	}
	if err != nil {
		box.Abandon()
		return 0, err
	}
	finish := func() {
		if terminal != nil {
			terminal.Finish()
		}
	}
	if err := box.Start(); err != nil {
		finish()
		return 0, err
	}
	if terminal != nil {
		terminal.Start()
	}
	if started != nil {
		if err := started(box.Process.Pid); err != nil {
			_ = box.Process.Signal(9)
			_, _ = box.Process.Wait()
			finish()
			return 0, err
		}
	}
	status, err := stdio.Wait(caught, box.Process, terminal)
	finish()
	box.Process.Release()
	return status.ExitCode(), err
}

// execProcess is the process to run: that of a file, or the container's with
// another command and what the flags change.
func (a *App) execProcess(from *specs.Process, args []string, o *execFlags) (*specs.Process, error) {
	if o.process != "" {
		p := &specs.Process{}
		if _, err := readJSON(a, o.process, p, readProcess); err != nil {
			return nil, err
		}
		confine(p, from)
		return p, checkProcess(p)
	}
	p := *from
	p.Args, p.Terminal, p.CommandLine = args, o.tty, ""
	p.Env = append(append([]string(nil), from.Env...), o.env...)
	p.ConsoleSize = nil
	if o.cwd != "" {
		p.Cwd = o.cwd
	}
	if o.apparmor != "" {
		p.ApparmorProfile = o.apparmor
	}
	if o.label != "" {
		p.SelinuxLabel = o.label
	}
	p.NoNewPrivileges = p.NoNewPrivileges || o.noNewPrivs
	if len(o.caps) > 0 {
		var c specs.LinuxCapabilities
		if p.Capabilities != nil {
			c = *p.Capabilities
		}
		add := func(list []string) []string { return append(append([]string(nil), list...), o.caps...) }
		c.Bounding, c.Effective, c.Permitted = add(c.Bounding), add(c.Effective), add(c.Permitted)
		p.Capabilities = &c
	}
	if o.user != "" {
		u, g, hasGroup := strings.Cut(o.user, ":")
		var err error
		if p.User.UID, err = parseID("user", u); err != nil {
			return nil, err
		}
		p.User.GID = 0
		if hasGroup {
			if p.User.GID, err = parseID("group", g); err != nil {
				return nil, err
			}
		}
		p.User.AdditionalGids = nil
	}
	for _, g := range o.groups {
		gid, err := parseID("group", g)
		if err != nil {
			return nil, err
		}
		p.User.AdditionalGids = append(p.User.AdditionalGids, gid)
	}
	return &p, checkProcess(&p)
}

// confine gives a process of a file what it leaves out of the container's
// own bounds, as runc and crun do: without a label it would have the caller's.
func confine(p, from *specs.Process) {
	if p.ApparmorProfile == "" {
		p.ApparmorProfile = from.ApparmorProfile
	}
	if p.SelinuxLabel == "" {
		p.SelinuxLabel = from.SelinuxLabel
	}
	if p.Capabilities == nil {
		p.Capabilities = from.Capabilities
	}
	if len(p.Rlimits) == 0 {
		p.Rlimits = from.Rlimits
	}
}

func parseID(what, s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, fault.New(fault.Invalid, "%s %q: not a number", what, s)
	}
	return uint32(n), nil
}

func checkProcess(p *specs.Process) error {
	switch {
	case len(p.Args) == 0:
		return fault.New(fault.Invalid, "process args cannot be empty")
	case !filepath.IsAbs(p.Cwd):
		return fault.New(fault.Invalid, "process.cwd %q is not an absolute path", p.Cwd)
	}
	return nil
}

// subCgroup reads --cgroup. runc's form for v1, CONTROLLER:PATH, is taken when
// it names all the hierarchies alike.
func subCgroup(list []string) (string, error) {
	if len(list) == 0 {
		return "", nil
	}
	sub := ""
	for i, v := range list {
		if _, path, ok := strings.Cut(v, ":"); ok {
			v = path
		}
		v = strings.Trim(filepath.Clean("/"+v), "/")
		if i > 0 && v != sub {
			return "", fault.New(fault.Unsupported, "--cgroup: different groups for different controllers")
		}
		sub = v
	}
	return sub, nil
}
