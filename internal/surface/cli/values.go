package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/tare-engine/tare/internal/api"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/container/stdio"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
)

// absolute makes a path absolute; an empty one is an error.
func absolute(path string) (string, error) {
	if path == "" {
		return "", fault.New(fault.Invalid, "the path is empty")
	}
	return filepath.Abs(path)
}

// absoluteBind makes a relative source of -v absolute where it is clear that a
// path is meant: it starts with a dot. Everything else is the engine's to read.
func absoluteBind(v string) (string, error) {
	source, rest, ok := strings.Cut(v, ":")
	if ok && (source == "." || source == ".." || strings.HasPrefix(source, "./") || strings.HasPrefix(source, "../")) {
		abs, err := filepath.Abs(source)
		return abs + ":" + rest, err
	}
	return v, nil
}

func parseUint16(v string) (uint16, error) {
	n, err := strconv.ParseUint(v, 0, 16)
	if err != nil {
		return 0, fault.New(fault.Invalid, "not a whole number between 0 and 65535")
	}
	return uint16(n), nil
}

// parseCPUs reads a decimal into billionths, without a detour over floating
// point.
func parseCPUs(v string) (int64, error) {
	const digits = 9
	whole, fraction, _ := strings.Cut(v, ".")
	if len(fraction) > digits {
		return 0, fault.New(fault.Invalid, "value is too precise")
	}
	text := whole + fraction + strings.Repeat("0", digits-len(fraction))
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || whole+fraction == "" {
		return 0, fault.New(fault.Invalid, "not a number of CPUs")
	}
	return int64(n), nil
}

func parseUmask(v string) (*uint32, error) {
	n, err := strconv.ParseUint(v, 8, 32)
	if err != nil || n > 0o777 {
		return nil, fault.New(fault.Invalid, "not an octal number up to 0777")
	}
	u := uint32(n)
	return &u, nil
}

// parseDevice reads path[:path][:permissions].
func parseDevice(v string) (api.DeviceMapping, error) {
	f := strings.Split(v, ":")
	d := api.DeviceMapping{PathOnHost: f[0], PathInContainer: f[0], CgroupPermissions: "rwm"}
	access := func(s string) bool { return s != "" && len(s) <= 3 && strings.Trim(s, "rwm") == "" }
	switch {
	case f[0] == "" || len(f) > 3:
		return d, fault.New(fault.Invalid, "invalid device specification")
	case len(f) == 2 && access(f[1]):
		d.CgroupPermissions = f[1]
	case len(f) > 1:
		if f[1] != "" {
			d.PathInContainer = f[1]
		}
		if len(f) == 3 {
			d.CgroupPermissions = f[2]
		}
	}
	if !access(d.CgroupPermissions) {
		return d, fault.New(fault.Invalid, "invalid device mode %q: some of r, w and m", d.CgroupPermissions)
	}
	return d, nil
}

// devicePair splits path:value, where the path is below /dev.
func devicePair(v string) (path, value string, err error) {
	i := strings.LastIndexByte(v, ':')
	if i < 0 || v[:i] == "" || v[i+1:] == "" {
		return "", "", fault.New(fault.Invalid, "bad format: it is /dev/name:number")
	}
	if !strings.HasPrefix(v, "/dev/") {
		return "", "", fault.New(fault.Invalid, "bad format for device path: it starts with /dev/")
	}
	return v[:i], v[i+1:], nil
}

func parseWeightDevice(v string) (api.WeightDevice, error) {
	path, value, err := devicePair(v)
	if err != nil {
		return api.WeightDevice{}, err
	}
	w, err := parseUint16(value)
	if err == nil && w != 0 && (w < 10 || w > 1000) {
		err = fault.New(fault.Invalid, "invalid weight for device: it is between 10 and 1000")
	}
	return api.WeightDevice{Path: path, Weight: w}, err
}

func parseByteRate(v string) (api.ThrottleDevice, error) { return parseThrottle(v, api.ParseSize) }

func parseRate(v string) (api.ThrottleDevice, error) { return parseThrottle(v, flags.ParseInt) }

func parseThrottle(v string, parse func(string) (int64, error)) (api.ThrottleDevice, error) {
	path, value, err := devicePair(v)
	if err != nil {
		return api.ThrottleDevice{}, err
	}
	rate, err := parse(value)
	if err != nil || rate < 0 {
		return api.ThrottleDevice{}, fault.New(fault.Invalid, "invalid rate for device: it is /dev/name:number, with a unit for bytes")
	}
	return api.ThrottleDevice{Path: path, Rate: uint64(rate)}, nil
}

// parseSwap reads a size, or -1 for as much as there is.
func parseSwap(v string) (int64, error) {
	if v == "-1" {
		return -1, nil
	}
	return api.ParseSize(v)
}

// parseSeconds reads a number of seconds.
func parseSeconds(v string) (int, error) {
	n, err := flags.ParseInt(v)
	return int(n), err
}

// addTmpfs reads path[:options].
func addTmpfs(to *map[string]string, v string) error {
	path, options, _ := strings.Cut(v, ":")
	if *to == nil {
		*to = make(map[string]string, 2)
	}
	(*to)[path] = options
	return nil
}

// setDetachKeys takes keys only where they are some.
func setDetachKeys(to *string, v string) error {
	*to = v
	_, err := stdio.ParseDetachKeys(v)
	return err
}

// addTimeOffsets reads clock=duration[,clock=duration]. A duration is a number
// of seconds or has units, as 1h30m; its sign may be a plus.
func addTimeOffsets(to *[]api.TimeOffset, v string) error {
	for part := range strings.SplitSeq(v, ",") {
		clock, value, ok := strings.Cut(part, "=")
		if !ok || clock != "monotonic" && clock != "boottime" {
			return fault.New(fault.Invalid, "it is monotonic=OFFSET,boottime=OFFSET")
		}
		d, err := time.ParseDuration(value)
		if err != nil {
			d, err = time.ParseDuration(value + "s")
		}
		if err != nil {
			return fault.New(fault.Invalid, "%q is not a time such as +3600s or -1h", value)
		}
		o := api.TimeOffset{Clock: clock, Secs: int64(d / time.Second)}
		nanos := d % time.Second
		if nanos < 0 { // the kernel's are never negative
			o.Secs--
			nanos += time.Second
		}
		o.Nanosecs = uint32(nanos)
		*to = append(*to, o)
	}
	return nil
}

// securityOpt replaces the file of seccomp=FILE by its content: the engine
// does not know this process's directory.
func securityOpt(v string) (string, error) {
	file, ok := strings.CutPrefix(v, "seccomp=")
	if !ok {
		file, ok = strings.CutPrefix(v, "seccomp:")
	}
	switch file {
	case "unconfined", "builtin", "default":
		ok = false
	}
	if !ok {
		return v, nil
	}
	text, err := readSmall(file)
	if err != nil {
		return "", fault.New(fault.KindOf(err), "opening seccomp profile (%s): %w", file, Cause(err))
	}
	return "seccomp=" + string(text), nil
}

// Cause strips the operation and path that the message has already.
func Cause(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// consoleSize is the height and width of a terminal, or zeros.
func consoleSize(f *os.File) [2]uint {
	ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return [2]uint{}
	}
	return [2]uint{uint(ws.Row), uint(ws.Col)}
}
