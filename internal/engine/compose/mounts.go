package compose

import (
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/tare-engine/tare/internal/api"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// Mounts collects the mounts that the user asked for.
type Mounts struct {
	Mounts []specs.Mount
	Dirs   []string // host directories to be made if absent
	Own    []Volume
	below  string // where the anonymous ones lie
	shared bool   // some mount wants to propagate to the host
	slave  bool   // some mount wants to receive from the host
}

// Volume is a directory that a container has of its own, beside its
// writable layer: ROOT/volumes/ID/NAME, where the name is the target's path.
type Volume struct {
	Path   string // on the host
	Target string // in the container
}

// VolumeName makes a path in a container the name of one directory.
func VolumeName(target string) string {
	return strings.NewReplacer("%", "%25", "/", "%2F").Replace(strings.TrimPrefix(target, "/"))
}

// UserMounts reads -v, --mount and --tmpfs. Anonymous volumes lie below the
// directory volumes.
func UserMounts(c *api.ContainerConfig, volumes string) (*Mounts, error) {
	h := &c.HostConfig
	s := &Mounts{below: volumes}
	for _, b := range h.Binds {
		if err := s.bindString(b); err != nil {
			return nil, err
		}
	}
	for i := range h.Mounts {
		if err := s.mount(&h.Mounts[i]); err != nil {
			return nil, err
		}
	}
	for _, p := range slices.Sorted(maps.Keys(c.Volumes)) {
		if err := s.anonymous(p, false); err != nil {
			return nil, err
		}
	}
	for _, p := range slices.Sorted(maps.Keys(h.Tmpfs)) {
		var options []string
		if o := h.Tmpfs[p]; o != "" {
			options = strings.Split(o, ",")
		}
		if err := s.tmpfs(p, options); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *Mounts) add(m specs.Mount) error {
	if !path.IsAbs(m.Destination) {
		return fault.New(fault.Invalid, "invalid mount path: %q mount path must be absolute", m.Destination)
	}
	m.Destination = path.Clean(m.Destination)
	if m.Destination == "/" {
		return fault.New(fault.Invalid, "invalid mount: destination can't be '/'")
	}
	for i := range s.Mounts {
		if s.Mounts[i].Destination == m.Destination {
			return fault.New(fault.Invalid, "duplicate mount point: %s", m.Destination)
		}
	}
	s.Mounts = append(s.Mounts, m)
	return nil
}

// anonymous adds a volume that the container has of its own.
func (s *Mounts) anonymous(target string, readonly bool) error {
	target = path.Clean(target)
	name := VolumeName(target)
	if len(name) > 200 { // it names a file
		return fault.New(fault.Invalid, "volume %s: the path is too long", target)
	}
	b := bind{recursive: true, readonly: readonly}
	m, err := b.mount(s, s.below+"/"+name, target)
	if err != nil {
		return err
	}
	s.Own = append(s.Own, Volume{m.Source, target})
	return s.add(m)
}

// bindString reads source:target[:options].
func (s *Mounts) bindString(text string) error {
	parts := strings.Split(text, ":")
	if len(parts) > 3 || slices.Contains(parts, "") {
		return fault.New(fault.Invalid, "invalid volume specification: %q", text)
	}
	if len(parts) == 1 {
		return s.anonymous(text, false)
	}
	source, target := parts[0], parts[1]
	if !path.IsAbs(source) {
		if strings.ContainsRune(source, '/') || source[0] == '.' || source[0] == '~' {
			return fault.WithHint(fault.New(fault.Invalid, "volume %s: %q includes invalid characters for a local volume name", text, source),
				"if you intended to pass a host directory, use absolute path")
		}
		return fault.WithHint(fault.New(fault.Unsupported, "volume %s: named volumes are not supported yet", source), "use an absolute host path")
	}
	b := bind{recursive: true}
	if len(parts) == 3 {
		for o := range strings.SplitSeq(parts[2], ",") {
			if !b.option(o) {
				return fault.New(fault.Invalid, "invalid volume specification: %q: invalid mode: %s", text, o)
			}
		}
	}
	m, err := b.mount(s, source, target)
	if err != nil {
		return err
	}
	s.Dirs = append(s.Dirs, m.Source)
	return s.add(m)
}

// bind is a bind mount in the making.
type bind struct {
	recursive, readonly   bool
	plainRO, forceRO      bool // read-only at the top only; or below it for sure
	propagation           string
	idmapped              bool
	idmap                 string
	noexec, nosuid, nodev bool
}

func (b *bind) option(o string) bool {
	switch o {
	case "rw", "z", "Z", "nocopy", "consistent", "cached", "delegated":
		// z and Z relabel for SELinux, the last three are macOS's.
	case "ro":
		b.readonly = true
	case "rro":
		b.readonly, b.forceRO = true, true
	case "bind", "norecursive":
		b.recursive = false
	case "rbind":
		b.recursive = true
	case "private", "rprivate", "slave", "rslave", "shared", "rshared":
		b.propagation = o
	case "noexec":
		b.noexec = true
	case "nosuid":
		b.nosuid = true
	case "nodev":
		b.nodev = true
	case "exec", "suid", "dev":
	case "idmap":
		b.idmapped = true
	default:
		m, ok := strings.CutPrefix(o, "idmap=")
		b.idmapped, b.idmap = ok, m
		return ok
	}
	return true
}

func (b *bind) mount(s *Mounts, source, target string) (specs.Mount, error) {
	m := specs.Mount{Destination: target, Type: "bind", Source: path.Clean(source)}
	kind := "bind"
	if b.recursive {
		kind = "rbind"
	}
	m.Options = append(m.Options, kind)
	switch {
	case b.readonly && b.plainRO && b.forceRO:
		return m, fault.New(fault.Invalid, "mount %s: cannot be recursively read-only and not", target)
	case b.readonly && (b.plainRO || !b.recursive && !b.forceRO):
		m.Options = append(m.Options, "ro")
	case b.readonly:
		m.Options = append(m.Options, "rro") // needs mount_setattr, Linux 5.12
	case b.forceRO:
		return m, fault.New(fault.Invalid, "mount %s: recursively read-only without read-only", target)
	}
	for _, f := range [...]struct {
		on   bool
		name string
	}{{b.noexec, "noexec"}, {b.nosuid, "nosuid"}, {b.nodev, "nodev"}} {
		if f.on {
			m.Options = append(m.Options, f.name)
		}
	}
	switch b.propagation {
	case "":
		b.propagation = "rprivate"
	case "shared", "rshared":
		s.shared = true
	case "slave", "rslave":
		s.slave = true
	}
	m.Options = append(m.Options, b.propagation)
	if b.idmapped {
		name := "ridmap"
		if !b.recursive {
			name = "idmap"
		}
		m.Options = append(m.Options, name)
		var err error
		if m.UIDMappings, m.GIDMappings, err = parseIDMap(b.idmap); err != nil {
			return m, fault.New(fault.Invalid, "mount %s: %w", target, err)
		}
	}
	return m, nil
}

// mount reads one --mount.
func (s *Mounts) mount(m *api.Mount) error {
	switch m.Type {
	case api.MountBind, api.MountVolume:
		return s.bindMount(m)
	case api.MountTmpfs:
		return s.tmpfsMount(m)
	case "image", "cluster", "npipe":
		return fault.New(fault.Unsupported, "mount type %s is not supported", m.Type)
	default:
		return fault.New(fault.Invalid, "mount type unknown: %q", m.Type)
	}
}

func (s *Mounts) bindMount(m *api.Mount) error {
	o := m.BindOptions
	switch {
	case m.Source == "" && m.Type == api.MountBind:
		return fault.New(fault.Invalid, "invalid mount config for type %q: field Source must not be empty", m.Type)
	case m.Source == "":
		return s.anonymous(m.Target, m.ReadOnly)
	case !path.IsAbs(m.Source) && m.Type == api.MountBind:
		return fault.New(fault.Invalid, "invalid mount config for type %q: invalid mount path: '%s' mount path must be absolute", m.Type, m.Source)
	case !path.IsAbs(m.Source):
		return fault.WithHint(fault.New(fault.Unsupported, "volume %s: named volumes are not supported yet", m.Source), "use an absolute host path")
	}
	b := bind{recursive: true, readonly: m.ReadOnly}
	source, create := m.Source, m.Type == api.MountVolume
	if o != nil {
		b.recursive = !o.NonRecursive
		b.plainRO, b.forceRO = o.ReadOnlyNonRecursive, o.ReadOnlyForceRecursive
		switch o.Propagation {
		case "", "private", "rprivate", "slave", "rslave", "shared", "rshared":
			b.propagation = o.Propagation
		default:
			return fault.New(fault.Invalid, "mount %s: invalid propagation mode %q", m.Target, o.Propagation)
		}
		if o.IDMap != "" {
			b.idmapped, b.idmap = true, strings.TrimPrefix(o.IDMap, "auto")
		}
		create = create || o.CreateMountpoint
	}
	if v := m.VolumeOptions; v != nil && v.Subpath != "" {
		if path.IsAbs(v.Subpath) || strings.HasPrefix(path.Clean(v.Subpath), "..") {
			return fault.New(fault.Invalid, "mount %s: volume-subpath must be relative and inside the volume", m.Target)
		}
		return fault.New(fault.Unsupported, "mount %s: volume-subpath needs a named volume, and they are not supported yet", m.Target)
	}
	bm, err := b.mount(s, source, m.Target)
	if err != nil {
		return err
	}
	if create {
		s.Dirs = append(s.Dirs, bm.Source)
	}
	return s.add(bm)
}

func (s *Mounts) tmpfsMount(m *api.Mount) error {
	if m.Source != "" {
		return fault.New(fault.Invalid, "invalid mount config for type %q: field Source must not be specified", m.Type)
	}
	var options []string
	if m.ReadOnly {
		options = append(options, "ro")
	}
	if o := m.TmpfsOptions; o != nil {
		if o.Mode != 0 {
			options = append(options, "mode="+strconv.FormatUint(uint64(o.Mode), 8))
		}
		if o.SizeBytes < 0 {
			return fault.New(fault.Invalid, "mount %s: invalid tmpfs size %d", m.Target, o.SizeBytes)
		}
		if o.SizeBytes > 0 {
			options = append(options, "size="+strconv.FormatInt(o.SizeBytes, 10))
		}
		for _, kv := range o.Options {
			options = append(options, strings.Join(kv, "="))
		}
	}
	return s.tmpfs(m.Target, options)
}

// tmpfs adds a tmpfs. Its defaults are Docker's; of contradicting options the
// last one counts.
func (s *Mounts) tmpfs(target string, options []string) error {
	merged := []string{"noexec", "nosuid", "nodev"}
	for _, o := range options {
		key, value, hasValue := strings.Cut(o, "=")
		opposite := ""
		switch key {
		case "exec", "suid", "dev", "atime", "diratime", "relatime", "strictatime":
			opposite = "no" + key
		case "noexec", "nosuid", "nodev", "noatime", "nodiratime", "norelatime", "nostrictatime":
			opposite = key[2:]
		case "ro":
			opposite = "rw"
		case "rw":
			opposite = "ro"
		case "sync":
			opposite = "async"
		case "async":
			opposite = "sync"
		case "defaults", "dirsync", "private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable":
		case "size", "nr_blocks", "nr_inodes", "mode", "uid", "gid", "mpol", "huge":
			if !hasValue || value == "" {
				return fault.New(fault.Invalid, "tmpfs %s: option %q needs a value", target, key)
			}
			merged = slices.DeleteFunc(merged, func(m string) bool { return strings.HasPrefix(m, key+"=") })
			merged = append(merged, o)
			continue
		default:
			return fault.New(fault.Invalid, "tmpfs %s: invalid tmpfs option %q", target, o)
		}
		if hasValue {
			return fault.New(fault.Invalid, "tmpfs %s: invalid tmpfs option %q", target, o)
		}
		merged = slices.DeleteFunc(merged, func(m string) bool { return m == key || m == opposite })
		if key != "defaults" {
			merged = append(merged, key)
		}
	}
	return s.add(specs.Mount{Destination: target, Type: "tmpfs", Source: "tmpfs", Options: merged})
}

// parseIDMap reads Podman's form: uids=C-H-N#C-H-N;gids=C-H-N. C is the ID
// in the file system, H the one that the container sees; an at sign before C is
// accepted. Empty is the container's own map.
func parseIDMap(s string) (uids, gids []specs.LinuxIDMapping, err error) {
	if s == "" {
		return nil, nil, nil
	}
	for part := range strings.SplitSeq(s, ";") {
		key, list, ok := strings.Cut(part, "=")
		to := &uids
		switch {
		case ok && key == "uids":
		case ok && key == "gids":
			to = &gids
		default:
			return nil, nil, fault.New(fault.Invalid, "invalid idmap %q: it is uids=C-H-N;gids=C-H-N", s)
		}
		for entry := range strings.SplitSeq(list, "#") {
			f := strings.Split(strings.TrimPrefix(entry, "@"), "-")
			if len(f) != 3 {
				return nil, nil, fault.New(fault.Invalid, "invalid idmap %q: %q is not C-H-N", s, entry)
			}
			var n [3]uint32
			for i := range f {
				v, perr := strconv.ParseUint(f[i], 10, 32)
				if perr != nil {
					return nil, nil, fault.New(fault.Invalid, "invalid idmap %q: %q is not a number", s, f[i])
				}
				n[i] = uint32(v)
			}
			if n[2] == 0 || uint64(n[0])+uint64(n[2]) > 1<<32 || uint64(n[1])+uint64(n[2]) > 1<<32 {
				return nil, nil, fault.New(fault.Invalid, "invalid idmap %q: %q is out of range", s, entry)
			}
			*to = append(*to, specs.LinuxIDMapping{ContainerID: n[0], HostID: n[1], Size: n[2]})
		}
	}
	if len(uids) == 0 || len(gids) == 0 {
		return nil, nil, fault.New(fault.Invalid, "invalid idmap %q: it needs uids and gids", s)
	}
	return uids, gids, nil
}
