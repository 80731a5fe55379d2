package container

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/host"
	"github.com/tare-engine/tare/internal/linux/spawn"
	"golang.org/x/sys/unix"
)

func hasIntelRdt(s *specs.Spec) bool { return s.Linux.IntelRdt != nil }

// rdtGroup is what the configuration asks for of resctrl (Linux 4.10,
// Documentation/filesystems/resctrl.rst).
type rdtGroup struct {
	class    string   // directory below the mount; "" is the default class
	own      bool     // the class is the container's and goes with it
	monitor  string   // directory below the class's mon_groups; "" for none
	schemata []string // lines, in order
}

func rdtGroupOf(r *specs.LinuxIntelRdt, id string) (rdtGroup, error) {
	g := rdtGroup{class: r.ClosID}
	switch r.ClosID {
	case "":
		g.class, g.own = id, true
	case "/":
		g.class = ""
	}
	if r.EnableMonitoring {
		g.monitor = id
	}
	for _, name := range []string{g.class, g.monitor} {
		if name == "." || name == ".." || strings.ContainsAny(name, "/\n\x00") {
			return g, fault.New(fault.Invalid, "intel rdt class %q: not a name", name)
		}
	}
	if (g.own || r.EnableMonitoring) && id == "" {
		return g, fault.New(fault.Invalid, "intel rdt: the container has no id to name a class by")
	}
	if r.L3CacheSchema != "" {
		g.schemata = append(g.schemata, r.L3CacheSchema)
	}
	if r.MemBwSchema != "" {
		if !strings.HasPrefix(r.MemBwSchema, "MB:") {
			return g, fault.New(fault.Invalid, "intel rdt schema %q: does not begin with MB:", r.MemBwSchema)
		}
		g.schemata = append(g.schemata, r.MemBwSchema)
	}
	g.schemata = append(g.schemata, r.Schemata...)
	for _, line := range g.schemata {
		if strings.Contains(line, "\n") {
			return g, fault.New(fault.Invalid, "intel rdt schema %q: more than one line", line)
		}
	}
	return g, nil
}

// intelRdtHost puts the container's process into its class before it starts.
func intelRdtHost(e *env) error {
	g, err := rdtGroupOf(e.spec.Linux.IntelRdt, e.cfg.State.ID)
	if err != nil {
		return err
	}
	mount, err := resctrl(&e.cfg.Facts)
	if err != nil {
		return err
	}
	e.newGate(Gate{Name: "intel rdt", Work: func(p spawn.Process) error {
		if err := g.create(mount, p.Pid); err != nil {
			return fault.New(fault.KindOf(err), "intel rdt class %q: %w", g.class, err)
		}
		return nil
	}})
	return nil
}

func intelRdtChild(e *env) error {
	e.p.Note("wait for intel rdt")
	e.waitFor("intel-rdt")
	return nil
}

// resctrl returns where the file system is mounted.
func resctrl(f *host.Facts) (string, error) {
	if f.Resctrl != "" {
		return f.Resctrl, nil
	}
	text, err := readSmall("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		if before, after, ok := strings.Cut(line, " - "); ok && strings.HasPrefix(after, "resctrl ") {
			if w := strings.Fields(before); len(w) > 4 && !strings.Contains(w[4], `\`) {
				return w[4], nil
			}
		}
	}
	return "", fault.New(fault.Unsupported, "linux.intelRdt: no resctrl file system is mounted")
}

// create makes and fills the class, where that is the runtime's to do, and
// assigns a process to it. On error what it made is gone.
func (g *rdtGroup) create(mount string, pid int) (err error) {
	top, err := unix.Open(mount, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(top) }()
	made := false
	if g.class != "" {
		switch err := unix.Mkdirat(top, g.class, 0o755); {
		case err == nil && !g.own && len(g.schemata) == 0:
			_ = unix.Unlinkat(top, g.class, unix.AT_REMOVEDIR)
			return unix.ENOENT // it has to be there before
		case err == nil:
			made = true
		case !errors.Is(err, unix.EEXIST) || g.own:
			return err
		}
	}
	defer func() {
		if err != nil && made {
			_ = unix.Unlinkat(top, g.class, unix.AT_REMOVEDIR)
		}
	}()
	class, err := unix.Openat(top, "./"+g.class, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(class) }()
	if err := g.fill(class, made); err != nil {
		return g.explain(top, err)
	}
	tasks := []string{"tasks"}
	if g.monitor != "" {
		if err := unix.Mkdirat(class, "mon_groups/"+g.monitor, 0o755); err != nil {
			return fmt.Errorf("monitoring group: %w", g.explain(top, err))
		}
		tasks = append(tasks, "mon_groups/"+g.monitor+"/tasks")
	}
	for _, file := range tasks {
		if err = writeOnce(class, file, strconv.Itoa(pid)); err != nil {
			if g.monitor != "" {
				_ = unix.Unlinkat(class, "mon_groups/"+g.monitor, unix.AT_REMOVEDIR)
			}
			return fmt.Errorf("%s: %w", file, g.explain(top, err))
		}
	}
	return nil
}

// fill writes the schemata of a class that is new, and compares them with
// those of one that was there.
func (g *rdtGroup) fill(class int, made bool) error {
	if len(g.schemata) == 0 {
		return nil
	}
	if made {
		if err := writeOnce(class, "schemata", strings.Join(g.schemata, "\n")+"\n"); err != nil {
			return fmt.Errorf("schemata: %w", err)
		}
		return nil
	}
	text, err := readAt(class, "schemata")
	if err != nil {
		return fmt.Errorf("schemata: %w", err)
	}
	have := schemataOf(strings.Split(text, "\n"))
	for key, want := range schemataOf(g.schemata) {
		if have[key] != want {
			return fault.New(fault.Conflict, "schemata: the class is there and has %s=%s instead of %s", key, have[key], want)
		}
	}
	return nil
}

// schemataOf reads "L3:0=7f0;1=1f" lines as {"L3:0": "7f0"}, without leading
// zeros.
func schemataOf(lines []string) map[string]string {
	m := map[string]string{}
	for _, line := range lines {
		kind, domains, _ := strings.Cut(strings.TrimSpace(line), ":")
		for d := range strings.SplitSeq(domains, ";") {
			id, value, ok := strings.Cut(d, "=")
			if !ok {
				continue
			}
			value = strings.TrimLeft(strings.ToLower(strings.TrimSpace(value)), "0")
			m[strings.TrimSpace(kind)+":"+strings.TrimSpace(id)] = value
		}
	}
	return m
}

// explain adds the kernel's own words about the last command.
func (g *rdtGroup) explain(top int, err error) error {
	if text, rerr := readAt(top, "info/last_cmd_status"); rerr == nil {
		if text = strings.TrimSpace(text); text != "" && text != "ok" {
			return fmt.Errorf("%w (%s)", err, text)
		}
	}
	return err
}

// RemoveIntelRdt removes what resctrl has of a container that has ended: its
// monitoring group, and its class where that is its own.
func RemoveIntelRdt(s *specs.Spec, id string, f *host.Facts) error {
	if s.Linux == nil || s.Linux.IntelRdt == nil {
		return nil
	}
	g, err := rdtGroupOf(s.Linux.IntelRdt, id)
	if err != nil {
		return err
	}
	mount, err := resctrl(f)
	if err != nil {
		return nil //nolint:nilerr // it is not mounted any more, and nothing of it is left
	}
	remove := []string{}
	if g.monitor != "" {
		remove = append(remove, mount+"/"+g.class+"/mon_groups/"+g.monitor)
	}
	if g.own {
		remove = append(remove, mount+"/"+g.class)
	}
	for _, dir := range remove {
		if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
			return fault.New(fault.KindOf(err), "remove %s: %w", dir, err)
		}
	}
	return nil
}

// writeOnce writes text to a file in one call.
func writeOnce(dir int, file, text string) error {
	fd, err := unix.Openat(dir, file, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	_, err = unix.Write(fd, []byte(text))
	return err
}
