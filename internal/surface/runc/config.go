package runc

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/jsonread"
	"golang.org/x/sys/unix"
)

// maxConfig bounds a config.json, and all other JSON that is read. Podman's
// have 40 kB.
const maxConfig = 16 << 20

//go:generate go run ../../lib/jsongen -o spec_json.go read:github.com/opencontainers/runtime-spec/specs-go.Spec read:github.com/opencontainers/runtime-spec/specs-go.LinuxResources

// readJSON reads one JSON value of a file, or with "-" of standard input, by a
// function of spec_json.go, and returns its text.
func readJSON[T any](a *App, path string, v *T, read func(*jsonread.Reader, *T)) ([]byte, error) {
	fd := int(a.Stdin.Fd())
	if path != "-" {
		var err error
		if fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			return nil, fault.New(fault.KindOf(err), "open %s: %w", path, err)
		}
		defer func() { _ = unix.Close(fd) }() // read only
	}
	b, err := readAll(fd, maxConfig)
	if err != nil {
		return nil, fault.New(fault.KindOf(err), "read %s: %w", path, err)
	}
	if err := jsonread.Decode(b, v, read); err != nil {
		return nil, fault.New(fault.Invalid, "parse %s: %w", path, err)
	}
	return b, nil
}

// readAll reads to the end. It does not begin with the poller that os.File is
// registered with.
func readAll(fd, max int) ([]byte, error) {
	b := make([]byte, 0, 32<<10)
	for {
		if len(b) == cap(b) {
			b = append(b, make([]byte, len(b))...)[:len(b)]
		}
		n, err := unix.Read(fd, b[len(b):cap(b)])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return nil, err
		case n == 0:
			return b, nil
		}
		if b = b[:len(b)+n]; len(b) > max {
			return nil, fault.New(fault.Invalid, "larger than %d bytes", max)
		}
	}
}

func unwrapPath(verb, path string, err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return fault.New(fault.KindOf(err), "%s %s: %w", verb, path, err)
}

// bundle is a container's configuration and where it lies.
type bundle struct {
	dir    string // absolute
	rootfs string // absolute
	spec   *specs.Spec
	text   []byte // config.json
}

func (a *App) loadBundle(dir string) (*bundle, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	return a.loadConfig(dir, dir+"/config.json")
}

// config is the configuration that the container was made of, with the cgroup
// that it has got.
func (a *App) config(c *entry) (*specs.Spec, error) {
	b, err := a.loadConfig(c.rec.Bundle, c.dir+configFile)
	if err != nil {
		return nil, err
	}
	b.spec.Linux.CgroupsPath = c.rec.Cgroup
	return b.spec, nil
}

func (a *App) loadConfig(dir, file string) (_ *bundle, err error) {
	b := &bundle{dir: dir, spec: &specs.Spec{}}
	if b.text, err = readJSON(a, file, b.spec, readSpec); err != nil {
		return nil, err
	}
	return b, b.check()
}

// check refuses what no container can be made of. What a part of the
// configuration means is for the steps of package container.
func (b *bundle) check() error {
	s := b.spec
	if err := checkVersion(s.Version); err != nil {
		return err
	}
	switch {
	case s.Process == nil:
		return fault.New(fault.Invalid, "config.json: process is missing")
	case len(s.Process.Args) == 0:
		return fault.New(fault.Invalid, "config.json: process.args is empty")
	case !filepath.IsAbs(s.Process.Cwd):
		return fault.New(fault.Invalid, "config.json: process.cwd %q is not an absolute path", s.Process.Cwd)
	case s.Root == nil || s.Root.Path == "":
		return fault.New(fault.Invalid, "config.json: root.path is missing")
	case s.Linux == nil:
		return fault.New(fault.Invalid, "config.json: linux is missing")
	}
	b.rootfs = absolute(b.dir, s.Root.Path)
	return nil
}

func isBind(m *specs.Mount) bool {
	for _, o := range m.Options {
		if o == "bind" || o == "rbind" {
			return true
		}
	}
	return m.Type == "bind"
}

// checkVersion accepts every version of the runtime-spec's first major one:
// minor ones only add.
func checkVersion(v string) error {
	core, _, _ := strings.Cut(v, "-")
	core, _, _ = strings.Cut(core, "+")
	parts := strings.Split(core, ".")
	ok := len(parts) == 3
	for _, p := range parts {
		ok = ok && p != "" && len(p) < 9 && strings.Trim(p, "0123456789") == ""
	}
	if !ok {
		return fault.New(fault.Invalid, "config.json: ociVersion %q is not a version", v)
	}
	if parts[0] != "1" {
		return fault.New(fault.Unsupported, "config.json: ociVersion %s: this is an implementation of %s", v, specs.Version)
	}
	return nil
}
