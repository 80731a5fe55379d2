package snapshot

import "github.com/tare-engine/tare/fault"

// Features says what the kernel's overlay can take.
type Features struct {
	LayerFD   bool // layers by fd, Linux 6.13
	AppendLow bool // "lowerdir+" by path, Linux 6.7
	UserXattr bool // user.overlay.* instead of trusted.overlay.* (rootless)
}

// FeaturesOf returns the features of a kernel release, such as 6, 18.
func FeaturesOf(major, minor int) Features {
	at := func(ma, mi int) bool { return major > ma || major == ma && minor >= mi }
	return Features{LayerFD: at(6, 13), AppendLow: at(6, 7)}
}

// Cmd is a command of fsconfig(2), with the kernel's numbers.
type Cmd uint32

// The commands that an overlay needs.
const (
	SetFlag   Cmd = 0 // FSCONFIG_SET_FLAG
	SetString Cmd = 1 // FSCONFIG_SET_STRING
	SetFD     Cmd = 5 // FSCONFIG_SET_FD
)

// FSConfig is one fsconfig call.
type FSConfig struct {
	Cmd   Cmd
	Key   string
	Value string // for SetString
	Open  string // for SetFD: the directory to open (O_PATH|O_DIRECTORY) and pass as aux
}

// Mount is how to mount a snapshot: exactly one of Bind, Config and Options is
// set. None of it contains the target.
type Mount struct {
	FSType string // "overlay"

	// Bind is a directory that is the root as it stands.
	Bind string

	// Config is the sequence between fsopen and FSCONFIG_CMD_CREATE.
	Config []FSConfig

	// Options is the data of mount(2), valid in the working directory Base.
	Options string
	Base    string

	ReadOnly bool // mount attribute, not an option of overlay
}

// MountPlan computes how to mount s. The error is Unsupported when there are
// more layers than the kernel can take.
func MountPlan(s Snapshot, f Features) (Mount, error) {
	return Mount{}, fault.New(fault.Unsupported, "mount overlay: not built yet")
}
