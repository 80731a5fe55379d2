// Package ground is what the engine's rooms stand on: the stores of one data
// root, and what several rooms do with the record of a container. It knows no
// room.
package ground

import (
	"cmp"
	"encoding/hex"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/lib/exit"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/cgroupfs"
	"github.com/tare-engine/tare/internal/linux/host"
	"github.com/tare-engine/tare/internal/linux/spawn"
	"github.com/tare-engine/tare/internal/spec/cgroup"
	"github.com/tare-engine/tare/internal/state"
	"github.com/tare-engine/tare/internal/state/events"
	"github.com/tare-engine/tare/internal/storage/snapshot"
	"golang.org/x/sys/unix"
)

// Ground is the stores of one data root, and the machine that it is on.
type Ground struct {
	Root, RunRoot string // absolute

	Host       host.Facts
	Layout     func() (cgroup.Layout, error) // looked at once, when it is first needed
	State      *state.Store
	ImageStore *store.Store
	Snapshots  *snapshot.Store
	Events     *events.Journal

	Program string // the path of tare, for what another process does; empty: this one is it

	Warn  func(text string)  // gets what stops nothing; may be nil
	After func(where string) // crash tests; may be nil

	children children
}

// Open returns the ground of a data root, which need not exist. The error is Denied
// for a root that others may write to.
func Open(root, runRoot string, warn func(string)) (*Ground, error) {
	for _, r := range []struct {
		what string
		dir  *string
	}{{"data root", &root}, {"run root", &runRoot}} {
		abs, err := filepath.Abs(*r.dir)
		if err != nil {
			return nil, err
		}
		if err := checkRoot(r.what, abs); err != nil {
			return nil, err
		}
		*r.dir = abs
	}
	facts, err := host.Probe()
	if err != nil {
		return nil, err
	}
	g := &Ground{
		Root: root, RunRoot: runRoot, Host: facts, Layout: sync.OnceValues(cgroupfs.Probe),
		State: state.Open(root, runRoot, MadeUpName), ImageStore: store.Open(root), Snapshots: snapshot.Open(root), Events: events.Open(runRoot),
		Warn: warn,
	}
	g.ImageStore.UserXattr, g.ImageStore.Warn = facts.UserNS, warn
	return g, nil
}

// Reached tells crash tests how far a start or an end has come.
func (g *Ground) Reached(where string) {
	if g.After != nil {
		g.After(where)
	}
}

// Harden must come before anything is cloned that another process could get
// hold of. A rootless engine has to stay dumpable until its id map is written.
func (g *Ground) Harden() error {
	if !g.Host.Rootful() {
		return nil // its own /proc files would belong to nobody it can be
	}
	return spawn.Harden()
}

// Tare returns the path of the program that does what another process has to.
func (g *Ground) Tare() (string, error) {
	if g.Program != "" {
		return g.Program, nil
	}
	return os.Executable()
}

// Helper returns the path of a program that is installed beside tare, or in
// ../libexec/tare, or "".
func (g *Ground) Helper(name string) string {
	exe, err := g.Tare()
	if err != nil {
		return ""
	}
	dir := filepath.Dir(exe)
	for _, p := range []string{filepath.Join(dir, name), filepath.Join(dir, "../libexec/tare", name)} {
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	return ""
}

// NewID returns the id of something new: 64 hexadecimal digits.
func NewID() (string, error) {
	var b [32]byte
	if _, err := unix.Getrandom(b[:], 0); err != nil {
		return "", err
	}
	return hex.EncodeToString(b[:]), nil
}

// Now is the time that records are given.
func Now() time.Time { return time.Now().UTC() }

// ExitCode is Docker's for what could not be started: 127 and 126 for its
// program, 125 for everything else.
func ExitCode(err error) int { return cmp.Or(fault.CodeOf(err), exit.Engine) }
