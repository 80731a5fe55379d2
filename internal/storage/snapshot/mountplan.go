package snapshot

import (
	"path/filepath"
	"strings"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// Features says what the kernel's overlay can take.
type Features struct {
	LayerFD   bool // layers by fd, Linux 6.13
	AppendLow bool // "lowerdir+" by path, Linux 6.8
	UserXattr bool // user.overlay.* instead of trusted.overlay.* (rootless)
}

// FeaturesOf returns the features of a kernel release, such as 6, 18.
// Source: Documentation/filesystems/overlayfs.rst.
func FeaturesOf(major, minor int) Features {
	at := func(ma, mi int) bool { return major > ma || major == ma && minor >= mi }
	return Features{LayerFD: at(6, 13), AppendLow: at(6, 8)}
}

// Cmd is a command of fsconfig(2), with the kernel's numbers.
type Cmd uint32

// The commands that an overlay needs.
const (
	SetFlag   Cmd = 0 // FSCONFIG_SET_FLAG
	SetString Cmd = 1 // FSCONFIG_SET_STRING
	SetFD     Cmd = 5 // FSCONFIG_SET_FD
)

func (c Cmd) String() string {
	switch c {
	case SetFlag:
		return "flag"
	case SetString:
		return "string"
	case SetFD:
		return "fd"
	}
	return "?"
}

// FSConfig is one fsconfig call.
type FSConfig struct {
	Cmd   Cmd
	Key   string
	Value string // for SetString
	// Open is, for SetFD, the directory to open and pass as aux. O_PATH is
	// refused before Linux 6.14: open it O_RDONLY|O_DIRECTORY.
	Open string
}

// Mount is how to mount a snapshot: exactly one of Bind, Config and Options is
// set. None of it contains the target.
type Mount struct {
	// Bind is a directory that is the root as it stands.
	Bind string
	// Recursive takes what is mounted below Bind as well.
	Recursive bool

	// Config is the sequence between fsopen("overlay") and
	// FSCONFIG_CMD_CREATE.
	Config []FSConfig

	// Options is the data of mount(2), valid in the working directory Base.
	Options string
	Base    string

	ReadOnly bool // mount attribute, not an option of overlay
}

const (
	maxLayers  = 500  // OVL_MAX_STACK
	maxString  = 255  // fsconfig copies 256 bytes with the NUL
	maxOptions = 4095 // mount(2) copies one page with the NUL
)

// option is a setting of the overlay besides its layers.
type option struct{ key, value string }

// options are those that do not depend on the layers. index, metacopy and
// redirect_dir are off by default, unless the kernel was configured otherwise;
// with them the upper directory would not be a layer that others can read.
func options(s Snapshot, f Features) []option {
	var list []option
	if s.Upper != "" {
		list = append(list, option{"index", "off"}, option{"metacopy", "off"})
		if !f.UserXattr { // userxattr implies it and refuses to be told
			list = append(list, option{"redirect_dir", "off"})
		}
	}
	if f.UserXattr {
		list = append(list, option{"userxattr", ""})
	}
	if s.Upper != "" && s.Volatile {
		list = append(list, option{"volatile", ""})
	}
	return list
}

// MountPlan computes how to mount s. The error is Unsupported when there are
// more layers than the kernel can take.
func MountPlan(s Snapshot, f Features) (Mount, error) {
	switch {
	case s.Dir != "":
		return Mount{Bind: s.Dir, ReadOnly: s.ReadOnly}, nil
	case len(s.Lower) == 0:
		return Mount{}, fault.New(fault.Invalid, "mount overlay: no layers")
	case len(s.Lower) == 1 && s.Upper == "":
		return Mount{Bind: s.Lower[0], ReadOnly: true}, nil // overlay wants two layers
	case len(s.Lower) > maxLayers:
		return Mount{}, fault.New(fault.Unsupported, "mount overlay: %d layers, the kernel takes %d", len(s.Lower), maxLayers)
	case f.LayerFD:
		return config(s, f, func(key, path string) FSConfig { return FSConfig{Cmd: SetFD, Key: key, Open: path} }), nil
	case f.AppendLow && plain(s):
		return config(s, f, func(key, path string) FSConfig { return FSConfig{Cmd: SetString, Key: key, Value: path} }), nil
	}
	return legacy(s, f)
}

// plain reports whether all paths fit the strings of fsconfig, and have
// nothing that overlay would take for an escape in some of them.
func plain(s Snapshot) bool {
	for _, p := range append([]string{s.Upper, s.Work}, s.Lower...) {
		if len(p) > maxString || strings.Contains(p, `\`) {
			return false
		}
	}
	return true
}

func config(s Snapshot, f Features, layer func(key, path string) FSConfig) Mount {
	m := Mount{ReadOnly: s.ReadOnly, Config: make([]FSConfig, 0, len(s.Lower)+6)}
	for _, dir := range s.Lower {
		m.Config = append(m.Config, layer("lowerdir+", dir))
	}
	if s.Upper != "" {
		m.Config = append(m.Config, layer("upperdir", s.Upper), layer("workdir", s.Work))
	}
	for _, o := range options(s, f) {
		cmd := SetString
		if o.value == "" {
			cmd = SetFlag
		}
		m.Config = append(m.Config, FSConfig{Cmd: cmd, Key: o.key, Value: o.value})
	}
	return m
}

// legacy writes the layers relative to the directory that they share, so that
// about 150 of them fit one page.
func legacy(s Snapshot, f Features) (Mount, error) {
	m := Mount{ReadOnly: s.ReadOnly, Base: commonDir(s.Lower)}
	// A comma ends an option, a colon a layer.
	lowerEscape := strings.NewReplacer(`\`, `\\`, `,`, `\,`, `:`, `\:`)
	upperEscape := strings.NewReplacer(`\`, `\\`, `,`, `\,`)
	var b strings.Builder
	write := func(key, value string) {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(key)
		if value != "" {
			b.WriteByte('=')
			b.WriteString(value)
		}
	}
	lower := make([]string, len(s.Lower))
	for i, dir := range s.Lower {
		lower[i] = lowerEscape.Replace(relative(m.Base, dir))
	}
	write("lowerdir", strings.Join(lower, ":"))
	if s.Upper != "" {
		write("upperdir", upperEscape.Replace(relative(m.Base, s.Upper)))
		write("workdir", upperEscape.Replace(relative(m.Base, s.Work)))
	}
	for _, o := range options(s, f) {
		write(o.key, o.value)
	}
	m.Options = b.String()
	if len(m.Options) > maxOptions {
		return Mount{}, fault.New(fault.Unsupported,
			"mount overlay: %d layers need %d bytes of options, mount takes %d; Linux 6.8 has no such limit", len(s.Lower), len(m.Options), maxOptions)
	}
	return m, nil
}

// commonDir returns the deepest directory that is above all of paths.
func commonDir(paths []string) string {
	dir := filepath.Dir(paths[0])
	for _, p := range paths[1:] {
		for dir != "/" && !strings.HasPrefix(p, dir+"/") {
			dir = filepath.Dir(dir)
		}
	}
	return dir
}

// relative returns path as seen from base; both are absolute.
func relative(base, path string) string {
	rel, err := filepath.Rel(base, path)
	if err != nil {
		return path // Rel fails only for relative paths
	}
	return rel
}
