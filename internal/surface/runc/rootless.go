package runc

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/tare-engine/tare/internal/engine/rootless"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"github.com/tare-engine/tare/internal/linux/host"
)

// enteredEnv tells this program that it has started itself in a user
// namespace for the uid that it names: the ids of the configuration are those
// outside.
const enteredEnv = "_TARE_OCI_ENTERED"

// enter runs a command that an ordinary user has no right to inside a user
// namespace in which the user is root: a new one to make a container, the
// container's to exec in it. Engines that are rootless have done so already.
// The other commands only read, signal and remove what is the user's own.
func (a *App) enter(name string, args []string) (entered bool, err error) {
	if host.IsRoot() || a.rootless == "false" {
		return false, nil
	}
	// The program's name, in tared with what makes it tare-oci.
	again := slices.Clone(os.Args[:len(os.Args)-len(a.args)])
	again = append(append(again, "--root", a.root), a.args...)
	code := 0
	switch name {
	case "create", "run", "restore":
		code, err = rootless.Run(again, append(os.Environ(), enteredEnv+"="+strconv.Itoa(host.UID())), a.root)
	case "exec":
		id, ok := firstArgument(args)
		if !ok {
			return false, nil // it says what is wrong
		}
		c, oerr := a.open(id)
		if oerr != nil {
			return false, nil //nolint:nilerr // as above
		}
		p, _, perr := c.process()
		if perr != nil || p.Pidfd < 0 {
			return false, nil //nolint:nilerr // as above
		}
		defer p.Release()
		code, err = rootless.Join(p.Pidfd, again, os.Environ())
	default:
		return false, nil
	}
	if err == nil && code != 0 {
		err = &exitError{code: code}
	}
	return true, err
}

// firstArgument is the container of an exec.
func firstArgument(args []string) (string, bool) {
	rest, err := flags.ParseGo(execRows, &execFlags{}, args, true)
	if err != nil || len(rest) == 0 {
		return "", false
	}
	return rest[0], true
}

// idRange is a line of a uid_map: ids from Inner on are those from Outer on in
// the parent namespace.
type idRange struct{ inner, outer, count uint32 }

func idRanges(file string) ([]idRange, error) {
	b, err := fsatomic.ReadFile(file)
	if err != nil {
		return nil, err
	}
	list := []idRange{} // not nil: a map without a line maps nobody
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		var n [3]uint64
		for i := range n {
			if n[i], err = strconv.ParseUint(f[i], 10, 32); err != nil {
				return nil, fault.New(fault.Internal, "parse %s: %q", file, line)
			}
		}
		list = append(list, idRange{uint32(n[0]), uint32(n[1]), uint32(n[2])})
	}
	return list, nil
}

// rootlessCaller reports whether the caller's cgroups are made by systemd's
// manager of a user.
func rootlessCaller() bool { return host.InUserNS() || !host.IsRoot() }
