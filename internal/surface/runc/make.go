package runc

import (
	"errors"
	"os"
	"strconv"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/container"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"github.com/tare-engine/tare/internal/linux/host"
	"github.com/tare-engine/tare/internal/linux/systemd"
	"github.com/tare-engine/tare/internal/spec/cgroup"
	"github.com/tare-engine/tare/internal/spec/oci"
	"github.com/tare-engine/tare/internal/state"
)

// maker brings about the processes of a container: by a clone, or by CRIU from
// a checkpoint.
type maker interface {
	// begin refuses what the flags do not allow with the bundle, and begins
	// what can go on beside all that follows.
	begin(id string, m *made) error
	// complete adds to the runtime's configuration how the processes come.
	complete(m *made, cfg *container.Config) error
	// close lets go of what only the making has needed.
	close()
}

// made is a container whose processes are there. With a clone the first waits
// at its start gate.
type made struct {
	*entry
	a      *App
	o      *createFlags
	bundle *bundle
	layout cgroup.Layout
	facts  host.Facts
	unit   *systemd.Unit // nil: the cgroup is the runtime's own
	box    *container.Container
}

// make makes a container of a bundle: what create, run and restore have in
// common. On error nothing is left; else the caller releases the lock.
func (a *App) make(id string, o *createFlags, by maker) (*made, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	b, err := a.loadBundle(o.bundle)
	if err != nil {
		return nil, err
	}
	defer by.close()
	m := &made{a: a, o: o, bundle: b}
	if err := by.begin(id, m); err != nil {
		return nil, err
	}
	in, err := m.gather(id)
	if err != nil {
		return nil, err
	}
	if b.spec, err = adjust(b.spec, in); err != nil {
		return nil, err
	}
	rec := record(id, b)
	rec.Systemd = m.unit != nil
	if container.SharesMounts(b.spec) {
		if rec.HostMount, err = container.MountID(b.rootfs); err != nil {
			return nil, err
		}
	}
	if m.entry, err = a.reserve(rec); err != nil {
		return nil, err
	}
	a.reached("reserved")
	if err := m.makeBox(by); err != nil {
		err = errors.Join(err, m.forget())
		m.release()
		return nil, err
	}
	a.reached("told")
	return m, nil
}

// makeBox makes the processes and says who they are. On error nothing of them
// is left.
func (m *made) makeBox(by maker) error {
	cfg, err := m.config()
	if err != nil {
		return err
	}
	if err := by.complete(m, cfg); err != nil {
		return err
	}
	m.box, err = container.Make(*cfg, func(c *container.Container) error {
		m.a.reached("created")
		err := m.record(c.Process.Pid)
		m.a.reached("recorded")
		return err
	})
	if err != nil {
		return err
	}
	if cfg.Split != nil {
		if err := m.box.Ready(); err != nil {
			return err
		}
		m.a.reached("ready")
	}
	if err := m.tell(); err != nil {
		m.box.Abandon()
		return err
	}
	return nil
}

// gather reads what the configuration is completed by: of this machine, of the
// root and of the command line.
func (m *made) gather(id string) (*inputs, error) {
	a, b := m.a, m.bundle
	h, err := host.Probe()
	if err != nil {
		return nil, err
	}
	m.facts = h
	if m.layout, err = a.layout(); err != nil {
		return nil, err
	}
	in := &inputs{id: id, bundle: b.dir, layout: m.layout, userNS: h.UserNS}
	if m.unit != nil {
		in.scope = m.unit.Path()
	}
	if !hasHome(b.spec.Process.Env) {
		in.passwd = readInRoot(b.rootfs, "etc/passwd")
	}
	if m.o.preserveFDs > 0 {
		in.listen = a.listenFDs()
	}
	if a.Getenv(enteredEnv) != "" && h.UserNS {
		if in.uids, err = idRanges("/proc/self/uid_map"); err != nil {
			return nil, err
		}
		if in.gids, err = idRanges("/proc/self/gid_map"); err != nil {
			return nil, err
		}
	}
	return in, nil
}

func record(id string, b *bundle) Record {
	ns, own := oci.HasNamespace(b.spec, specs.PIDNamespace)
	return Record{
		OCIVersion: b.spec.Version, ID: id, Bundle: b.dir, Rootfs: b.rootfs, Created: time.Now().UTC(), Owner: owner(),
		Annotations: b.spec.Annotations, Program: b.spec.Process.Args[0], Cgroup: b.spec.Linux.CgroupsPath,
		OwnPIDNS: own && ns == "", Hooks: b.spec.Hooks != nil || b.spec.Linux.IntelRdt != nil,
	}
}

// owner is the uid of the caller.
func owner() int {
	if uid, err := strconv.Atoi(os.Getenv(enteredEnv)); err == nil {
		return uid
	}
	return host.UID()
}

// record writes down which process the container is.
func (m *made) record(pid int) error {
	p, err := state.Identify(pid)
	if err != nil {
		return err
	}
	m.rec.setProc(p)
	if err := fsatomic.CreateFile(m.dir+configFile, m.bundle.text, 0o600); err != nil {
		return err
	}
	return m.put()
}

// tell hands the terminal to whoever asked for it, and says which process the
// container is.
func (m *made) tell() error {
	if m.o.consoleSocket != "" {
		if err := sendConsole(m.o.consoleSocket, m.box.Console); err != nil {
			return err
		}
	}
	if m.o.pidFile != "" {
		return writePIDFile(m.o.pidFile, m.rec.Pid)
	}
	return nil
}
