package ground

import (
	"strconv"
	"strings"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/container"
	"github.com/tare-engine/tare/internal/network"
	"github.com/tare-engine/tare/internal/state"
	"golang.org/x/sys/unix"
)

// SandboxWant is what a container wants of its sandbox.
type SandboxWant struct {
	ID        string
	Config    *api.ContainerConfig
	Resolved  *state.Resolved
	Addresses []string // that it had before; may be empty
	Preview   bool     // nothing is taken: for a plan
	Runs      bool     // its namespaces are made, for it starts now
	Again     bool     // it ran before: others may hold what it had
}

// Sandbox is what a container begins in and shares with those who join it.
type Sandbox struct {
	NetNS *container.NetNS  // being made by a thread; nil: by the plan
	Net   *network.Prepared // nil: the network is another's
	Gates []container.Gate  // where its links are made

	// Shared are the paths of namespaces that are there already, by option: of
	// others that the container joins, or its own that others hold. Held are their
	// descriptors.
	Shared map[string]string
	Held   []int
	// Hosts and Resolv are the files of the container whose network it joins.
	Hosts, Resolv []byte
	PIDOf         state.Proc // first process of the one whose pid namespace it joins

	// Owners are the sandboxes that it joins, by their ids.
	Owners []string
	// Lock keeps others from joining what it joins, until Drop.
	Lock *state.Lock
	// Enter notes that the container's first process is in the namespaces that it
	// joins.
	Enter func(state.Proc) error
	// Release takes back what Prepare has taken.
	Release func() error
}

// Share notes the path of a namespace that is there already.
func (s *Sandbox) Share(option, path string) {
	if s.Shared == nil {
		s.Shared = make(map[string]string, 3)
	}
	s.Shared[option] = path
}

// Hold takes over a descriptor of such a namespace.
func (s *Sandbox) Hold(option string, fd int) {
	s.Share(option, "/proc/self/fd/"+strconv.Itoa(fd))
	s.Held = append(s.Held, fd)
}

// Drop gives up the namespace, which the container has or does not get, and the
// lock.
func (s *Sandbox) Drop() {
	if s != nil {
		s.NetNS.Close()
		s.NetNS = nil
		s.Lock.Unlock()
	}
}

// Close closes the namespaces of others, which the container has joined, or does
// not.
func (s *Sandbox) Close() {
	if s != nil {
		for _, fd := range s.Held {
			_ = unix.Close(fd)
		}
		s.Held = nil
	}
}

// Join is a namespace of another container, or of a sandbox, that is to be joined.
type Join struct {
	Option  string // network, ipc, uts or pid
	Ref     string // of the container, as it was given, or id of the sandbox
	File    string // below /proc/PID/ns
	Sandbox bool   // of a sandbox without a container
}

// What the mode of such a namespace begins with.
const (
	ofContainer = "container:"
	OfSandbox   = "sandbox:"
)

// Mode is the mode as it was asked for.
func (j *Join) Mode() string {
	if j.Sandbox {
		return OfSandbox + j.Ref
	}
	return ofContainer + j.Ref
}

// Joins lists them, as they were asked for.
func Joins(c *api.ContainerConfig) []Join {
	h := &c.HostConfig
	var list []Join
	for _, n := range [...]struct{ option, mode, file string }{
		{"network", h.NetworkMode, "net"}, {"ipc", h.IpcMode, "ipc"}, {"uts", h.UTSMode, "uts"}, {"pid", h.PidMode, "pid"},
	} {
		if ref, ok := strings.CutPrefix(n.mode, ofContainer); ok {
			list = append(list, Join{n.option, ref, n.file, false})
		} else if id, ok := strings.CutPrefix(n.mode, OfSandbox); ok {
			list = append(list, Join{n.option, id, n.file, true})
		}
	}
	return list
}

// Alone is the configuration of one that joins nobody, for a look at its files: those
// that it joins need not be there any more.
func Alone(c *api.ContainerConfig) *api.ContainerConfig {
	alone := *c
	h := &alone.HostConfig
	for _, mode := range []*string{&h.NetworkMode, &h.IpcMode, &h.UTSMode, &h.PidMode} {
		if strings.HasPrefix(*mode, ofContainer) || strings.HasPrefix(*mode, OfSandbox) {
			*mode = ""
		}
	}
	return &alone
}

// PlainNetwork reports whether the container will have a new network namespace
// that belongs to the engine's user namespace.
func PlainNetwork(c *api.ContainerConfig) bool {
	h := &c.HostConfig
	return (h.NetworkMode == "" || h.NetworkMode == "none") && (h.UsernsMode == "" || h.UsernsMode == "host")
}
