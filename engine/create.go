package engine

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/image"
	tareruntime "github.com/tare-engine/tare/runtime"
	"github.com/tare-engine/tare/seccomp"
	"github.com/tare-engine/tare/snapshot"
	"github.com/tare-engine/tare/spec"
	"golang.org/x/sys/unix"
)

// draft is a container on its way into being.
type draft struct {
	id       string
	config   *ContainerConfig
	image    *image.Image // nil with RootFS
	composed *Composed
	runtime  tareruntime.Config

	filter      []unix.SockFilter // compiled before, by the same tare for the same capabilities
	filterFlags uint32
	compiled    func([]unix.SockFilter, uint32) // keeps one that had to be compiled
}

// imageConfig is the image's part of the configuration; nil with RootFS.
func (d *draft) imageConfig() *image.Config {
	if d.image == nil {
		return nil
	}
	return &d.image.Config
}

func newID() (string, error) {
	var b [32]byte
	if _, err := unix.Getrandom(b[:], 0); err != nil {
		return "", err
	}
	return hex.EncodeToString(b[:]), nil
}

// draft computes everything that can be computed before anything is made. It
// reads the image and the host and changes neither.
func (e *Engine) draft(ctx context.Context, id string, c *ContainerConfig) (*draft, error) {
	d := &draft{id: id, config: c}
	if c.Healthcheck != nil {
		if err := c.Healthcheck.check(); err != nil {
			return nil, err
		}
	}
	if lc := &c.HostConfig.LogConfig; lc.Type != "" || len(lc.Config) > 0 {
		if _, err := e.resolveLog(id, c.Name, c.Image, "", c); err != nil {
			return nil, err
		}
	}
	snap, err := e.draftRoot(ctx, d)
	if err != nil {
		return nil, err
	}
	facts, err := e.facts(c)
	if err != nil {
		return nil, err
	}
	facts.Seccomp = func(h seccomp.Host) *specs.LinuxSeccomp { return e.cachedFilter(d, h) }
	in := &ComposeInput{
		ID: id, Config: c, Facts: facts,
		RootPath: snap.Root, FilesDir: filepath.Dir(e.state.FileName(id, "x")), Devices: hostDevices,
		Passwd: readSmall(snap.open("etc/passwd")), Group: readSmall(snap.open("etc/group")),
	}
	if d.image != nil {
		in.Image = &d.image.Config
	}
	if in.Shared, err = e.shared(c); err != nil {
		return nil, err
	}
	if c.HostConfig.NetworkMode == "host" {
		in.Resolv, in.Hosts = readSmall(os.Open("/etc/resolv.conf")), readSmall(os.Open("/etc/hosts"))
	}
	in.VolumesDir = e.volumesDir(id)
	if in.VolumesFrom, err = e.volumesFrom(c, 0); err != nil {
		return nil, err
	}
	if d.composed, err = Compose(in); err != nil {
		return nil, err
	}
	layout, err := e.layout()
	if err != nil {
		return nil, err
	}
	d.runtime = tareruntime.Config{
		Spec: d.composed.Spec, Root: snap.Mount, RootTarget: e.opt.Root,
		Stdin: -1, Stdout: -1, Stderr: -1, Layout: layout, OOMGroup: true,
		Optional:     optional(c),
		Facts:        e.runtimeFacts(),
		After:        e.after,
		IsDir:        d.isDir,
		DeviceSource: func(p string) string { return deviceSource(c.HostConfig.Devices, p) },

		Filter: d.filter, FilterFlags: d.filterFlags, Compiled: d.compiled,
	}
	if e.host.UserNS {
		// A user can make no device and has no group to hold the rules.
		d.composed.Spec.Linux.Resources.Devices = nil
		if _, asked := c.HostConfig.Sysctls[pingGroups]; !asked {
			delete(d.composed.Spec.Linux.Sysctl, pingGroups) // names groups that are not mapped
		}
	}
	_, hasUserNS := spec.HasNamespace(d.composed.Spec, specs.UserNamespace)
	d.runtime.IdmapRoot = hasUserNS
	for _, f := range d.composed.Files {
		d.runtime.Files = append(d.runtime.Files, tareruntime.File{Source: e.state.FileName(id, f.Name), Content: f.Content})
	}
	return d, nil
}

// runtimeFacts turns what the host package found into what the runtime wants.
func (e *Engine) runtimeFacts() tareruntime.Facts { return tareruntime.FactsOf(&e.host) }

// isDir says what kind of mount point a bind source needs, also for sources
// that are made with the container.
func (d *draft) isDir(source string) (bool, error) {
	fi, err := os.Stat(source)
	if err != nil && (slices.Contains(d.composed.Dirs, source) ||
		slices.ContainsFunc(d.composed.volumes, func(v anonymousVolume) bool { return v.path == source })) {
		return true, nil
	}
	if err != nil {
		return false, fault.New(fault.Invalid, "bind source path does not exist: %s", source)
	}
	return fi.IsDir(), nil
}

const pingGroups = "net.ipv4.ping_group_range"

// rootSource is the root file system of a draft.
type rootSource struct {
	Root  string
	Mount snapshot.Mount
	open  func(name string) (*os.File, error)
}

func (e *Engine) draftRoot(ctx context.Context, d *draft) (*rootSource, error) {
	c := d.config
	if c.RootFS != "" {
		snap, err := snapshot.Dir(c.RootFS)
		if err != nil {
			return nil, err
		}
		m, err := snapshot.MountPlan(snap, e.overlay())
		return &rootSource{c.RootFS, m, func(n string) (*os.File, error) { return snapshot.OpenInLayers([]string{c.RootFS}, n) }}, err
	}
	img, err := e.resolve(ctx, c.Image)
	if err != nil {
		return nil, err
	}
	d.image = &img
	snap := e.snapshots.At(d.id, parentOf(&img), c.HostConfig.AutoRemove)
	m, err := snapshot.MountPlan(snap, e.overlay())
	return &rootSource{filepath.Dir(snap.Upper), m, func(n string) (*os.File, error) { return snapshot.OpenInLayers(img.Lower, n) }}, err
}

func (e *Engine) overlay() snapshot.Features {
	f := snapshot.FeaturesOf(e.host.Kernel.Major, e.host.Kernel.Minor)
	f.UserXattr = e.host.UserNS
	return f
}

func parentOf(img *image.Image) snapshot.Parent {
	return snapshot.Parent{Lower: img.Lower, Mode: img.Root.Mode, UID: img.Root.UID, GID: img.Root.GID}
}

// resolve finds an image, and builds the one that ships with tare when it is
// asked for.
func (e *Engine) resolve(ctx context.Context, ref string) (image.Image, error) {
	if isBase(ref) {
		if bin := e.helper("tare-base"); bin != "" {
			old, _ := e.images.Resolve(ref, image.Platform{})
			img, err := e.images.EnsureBase(ctx, bin, baseApplets)
			if err == nil && old.ID != "" && old.ID != img.ID {
				e.oldBase = old.ID
			}
			return img, err
		}
	}
	img, err := e.images.Resolve(ref, image.Platform{})
	if fault.KindOf(err) == fault.NotFound {
		return img, &fault.Error{Kind: fault.NotFound, Text: "no such image: " + ref, Err: ErrNoImage, Hint: "bring it in with: tare pull " + ref}
	}
	return img, err
}

// maxSmall bounds what is read of a passwd or group file of an image.
const maxSmall = 1 << 20

func readSmall(f *os.File, err error) []byte {
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxSmall))
	if err != nil {
		return nil
	}
	return b
}

// optional says which resources this container can do without: those that
// nobody named on the command line.
func optional(c *ContainerConfig) func(string) bool {
	r := &c.HostConfig.Resources
	return func(resource string) bool {
		switch resource {
		case "devices":
			return len(r.DeviceCgroupRules) == 0 && len(r.Devices) == 0
		case "memory.swap":
			return r.MemorySwap == 0
		case "memory.oom.group", "memory.oomGroup":
			return true
		default:
			return false
		}
	}
}

// make puts the draft on disk: directories, files, the writable layer.
func (e *Engine) make(d *draft) error {
	c := d.config
	for _, dir := range d.composed.Dirs {
		if _, err := os.Stat(dir); err == nil {
			continue // a file is a bind source too
		}
		if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // a bind source, as Docker makes it
			return fault.New(fault.KindOf(err), "make bind source %s: %w", dir, errors.Unwrap(err))
		}
	}
	if d.image != nil {
		p, l := parentOf(d.image), d.composed.Spec.Linux
		p.UID, p.GID = hostID(l.UIDMappings, p.UID), hostID(l.GIDMappings, p.GID)
		if _, err := e.snapshots.Prepare(d.id, p, c.HostConfig.AutoRemove); err != nil {
			return err
		}
	}
	return e.makeVolumes(context.Background(), d)
}

// hostID is the host's number for an ID of the container, whose user namespace
// has the mappings, if it has any.
func hostID[ID int | uint32](mappings []specs.LinuxIDMapping, id ID) ID {
	for _, m := range mappings {
		if n := uint32(id); n >= m.ContainerID && n-m.ContainerID < m.Size {
			return ID(m.HostID + n - m.ContainerID)
		}
	}
	return id
}

// name reserves the container's name, or takes the one that follows from the id.
func (e *Engine) name(c *ContainerConfig, id string) error {
	if c.Name != "" {
		return e.state.Reserve(c.Name, id)
	}
	c.Name = madeUpName(id)
	return nil
}

func now() time.Time { return time.Now().UTC() }
