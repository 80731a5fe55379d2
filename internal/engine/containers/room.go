// Package containers is the engine's room of containers: one way in which they
// begin, one in which they end, and what can be asked of them in between.
package containers

import (
	"context"
	"os"
	"time"

	"github.com/tare-engine/tare/internal/engine/keepers"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/ground"
	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/state"
)

// Room is the engine's containers.
type Room struct {
	*ground.Ground
	Parts

	keepers keepers.Keepers
	watch   func(where string, s *start) // tests of what a container is made from
}

// Parts are what the room asks of the others, which it does not know.
type Parts struct {
	Images    Images
	Volumes   Volumes
	Sandboxes Sandboxes
	Execs     Execs
}

// Images finds images.
type Images interface {
	// Find resolves a name, and brings in the built-in image where it is meant;
	// with plan it only says what that is.
	Find(ctx context.Context, ref string, plan bool) (store.Image, error)
	// DropOldBase removes a built-in image that another has replaced.
	DropOldBase()
}

// Volumes makes and removes the anonymous volumes of a container.
type Volumes interface {
	Dir(id string) string
	Make(ctx context.Context, w *ground.VolumeWant) error
	Remove(id string) error
}

// Sandboxes gives a container its network and namespaces.
type Sandboxes interface {
	Prepare(ctx context.Context, w *ground.SandboxWant) (*ground.Sandbox, error)
	// Leave is the end of a container's part in them.
	Leave(r *state.Record, c *api.ContainerConfig) error
	// Release takes back what an owner has, which may be nothing, unless others
	// hold it: of the network that c is in, or, with nil, of any.
	Release(owner string, c *api.ContainerConfig) error
	// Recover takes back what those have that do not run.
	Recover(ctx context.Context) error
}

// Execs runs commands in containers.
type Execs interface {
	// Check runs one with its output on out. Late says that it took too long.
	Check(ctx context.Context, id string, c *api.ExecConfig, out *os.File, timeout time.Duration) (code int, late bool, err error)
	// IDs lists the sessions of a container's run that have not ended.
	IDs(r *state.Record) ([]string, error)
}

// New returns a room, without I/O.
func New(g *ground.Ground, p Parts) *Room {
	return &Room{Ground: g, Parts: p, keepers: keepers.Keepers{Ground: g}}
}

// show shows tests what a container is made from.
func (s *start) show(where string) {
	if s.e.watch != nil {
		s.e.watch(where, s)
	}
}
