package systemd

import (
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// timeout bounds what systemd takes for a unit.
const timeout = 30 * time.Second

// Unit is the scope of one container, and the manager that makes it.
type Unit struct {
	Scope
	Socket      string // SystemSocket, or a user's
	Description string

	V2        bool                  // limits are those of cgroup v2
	Resources *specs.LinuxResources // that it begins with; may be nil
}

// Create makes the scope with a process in it.
func (u *Unit) Create(pid int) error {
	c, err := Dial(u.Socket, timeout)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.StartScope(u.Unit, append(u.Properties(u.Description, pid, u.V2), Resources(u.Resources, u.V2)...))
}

// Update changes the limits that systemd knows too.
func (u *Unit) Update(r *specs.LinuxResources) error {
	props := Resources(r, u.V2)
	if len(props) == 0 {
		return nil
	}
	c, err := Dial(u.Socket, timeout)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.SetProperties(u.Unit, props)
}
