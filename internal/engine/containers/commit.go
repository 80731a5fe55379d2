package containers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/ground"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/state"
	"github.com/tare-engine/tare/internal/storage/layer"
)

// CommitOptions describe the image that is made of a container.
type CommitOptions struct {
	Name    string // name[:tag], or ""
	Author  string
	Message string
	Changes []string // Dockerfile instructions
	Pause   bool     // freeze the container while its files are read
}

// Commit makes an image of a container: its image, what it has written as one
// more layer, and its configuration as the defaults. It returns the image's
// ID. What lies in volumes is not part of it.
func (e *Room) Commit(ctx context.Context, ref string, o *CommitOptions) (_ string, err error) {
	r, parent, err := e.layers(ref, "commit")
	if err != nil {
		return "", err
	}
	c, err := ground.Config(r)
	if err != nil {
		return "", err
	}
	if o.Pause && !r.Exited && r.Proc.Look() != state.Gone && !r.Paused {
		if err := e.Pause(r.ID); err != nil {
			return "", err
		}
		defer func() { err = errors.Join(err, e.Unpause(r.ID)) }()
	}
	upper, err := unix.Open(e.Snapshots.At(r.ID, parentOf(parent), false).Upper, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("open the writable layer: %w", err)
	}
	defer func() { _ = unix.Close(upper) }() // read only
	effective := effectiveConfig(r.ID, &c.Config, &parent.Config)
	m, err := e.ImageStore.Derive(ctx, parent, &store.DeriveOptions{
		Name: o.Name, Config: imageDefaults(&effective, parent), Changes: o.Changes,
		Author: o.Author, Comment: o.Message, CreatedBy: strings.Join(r.Command, " "), Created: time.Now(),
		Pack: func(ctx context.Context, w io.Writer) error {
			return layer.Pack(ctx, upper, w, layer.PackOptions{Whiteouts: true, UserXattr: e.Host.UserNS})
		},
	})
	if err != nil {
		return "", err
	}
	e.Note("commit", r, "comment", o.Message)
	return m.ID, nil
}

// imageDefaults is what of a container's configuration an image can say.
func imageDefaults(c *api.Config, parent *store.Image) api.ImageDefaults {
	out := api.ImageDefaults{
		User: c.User, Env: c.Env, Entrypoint: c.Entrypoint, Cmd: c.Cmd, WorkingDir: c.WorkingDir,
		Volumes: slices.Sorted(maps.Keys(c.Volumes)), ExposedPorts: slices.Sorted(maps.Keys(c.ExposedPorts)),
		Labels: c.Labels, StopSignal: c.StopSignal, Shell: c.Shell, OnBuild: parent.Config.OnBuild,
	}
	if c.Healthcheck != nil {
		out.Healthcheck = c.Healthcheck.Append(nil)
	}
	return out
}
