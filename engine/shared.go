package engine

import (
	"strings"

	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/state"
	"golang.org/x/sys/unix"
)

// shared opens the namespaces of other containers that c joins, and returns a
// path for each. The descriptors stay open for the rest of this process, which
// ends with the start.
func (e *Engine) shared(c *ContainerConfig) (map[string]string, error) {
	h := &c.HostConfig
	var paths map[string]string
	for _, n := range [...]struct{ option, mode, file string }{
		{"network", h.NetworkMode, "net"}, {"ipc", h.IpcMode, "ipc"}, {"pid", h.PidMode, "pid"},
	} {
		ref, ok := strings.CutPrefix(n.mode, "container:")
		if !ok {
			continue
		}
		path, err := e.namespaceOf(ref, n.file)
		if err != nil {
			return nil, fault.New(fault.KindOf(err), "--%s %s: %w", n.option, n.mode, err)
		}
		if paths == nil {
			paths = make(map[string]string, 3)
		}
		paths[n.option] = path
	}
	return paths, nil
}

// namespaceOf opens a namespace of a running container.
func (e *Engine) namespaceOf(ref, file string) (string, error) {
	id, err := e.state.Find(ref)
	if err != nil {
		return "", err
	}
	r, st, err := e.load(id)
	if err != nil {
		return "", err
	}
	if _, err := st.After(state.Attach); err != nil && st != state.Paused {
		return "", err
	}
	c, err := decodeConfig(r)
	if err != nil {
		return "", err
	}
	switch m := c.HostConfig.IpcMode; {
	case c.HostConfig.UsernsMode == "private":
		return "", fault.New(fault.Unsupported, "it has a user namespace of its own")
	case file == "ipc" && (m == "" || m == "private" || m == "none"):
		return "", fault.WithHint(fault.New(fault.Invalid, "non-shareable IPC"), "start it with --ipc shareable")
	}
	held, err := hold(r.Proc)
	if err != nil {
		return "", err
	}
	if held < 0 {
		return "", errNotRunning
	}
	defer func() { _ = unix.Close(held) }()
	fd, err := unix.Open("/proc/"+itoa(r.Proc.Pid)+"/ns/"+file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fault.New(fault.KindOf(err), "open its %s namespace: %w", file, err)
	}
	// Still its process, and so it was its namespace.
	if r.Proc.Look() == state.Gone {
		_ = unix.Close(fd)
		return "", errNotRunning
	}
	return "/proc/self/fd/" + itoa(fd), nil
}
