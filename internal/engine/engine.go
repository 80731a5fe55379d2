// Package engine opens the rooms of tare: containers, execs, images and what
// concerns the machine. Surfaces (the command line, a Docker API) translate into
// their calls and render what those answer. It has no other method: what can be
// done is in the rooms, which do not know each other.
package engine

import (
	"path/filepath"

	"github.com/tare-engine/tare/internal/engine/containers"
	"github.com/tare-engine/tare/internal/engine/execs"
	"github.com/tare-engine/tare/internal/engine/ground"
	"github.com/tare-engine/tare/internal/engine/images"
	"github.com/tare-engine/tare/internal/engine/sandboxes"
	"github.com/tare-engine/tare/internal/engine/system"
	"github.com/tare-engine/tare/internal/engine/volumes"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/network"
)

// Options say where an engine keeps its things.
type Options struct {
	Root    string // data root: images, containers; survives a reboot
	RunRoot string // state of running containers, on a tmpfs
	Debug   bool   // log what is done to stderr
	Program string // the path of tare, where this process is another program; see ground.Ground

	Carriers images.Carriers           // what moves images from and to other places
	Networks map[string]network.Driver // besides none and host, by name

	// Warn is called with one line for what [Open] could not clean up after
	// another start, which must not keep this one from working. With nil it
	// is an error.
	Warn func(msg string)
}

// The defaults of Options.
const (
	DefaultRoot    = "/var/lib/tare"
	DefaultRunRoot = "/run/tare"
)

// Engine is one opened data root.
type Engine struct {
	Containers *containers.Room
	Execs      *execs.Room
	Sandboxes  *sandboxes.Room
	Images     *images.Room
	Volumes    *volumes.Room
	System     *system.Room
}

// Open opens the engine of a data root, which need not exist, and cleans up
// after starts that were cut off. It is the one place that wires.
func Open(o Options) (*Engine, error) {
	g, err := ground.Open(o.Root, o.RunRoot, o.Warn)
	if err != nil {
		return nil, err
	}
	if o.Program != "" { // the keeper executes it from another directory
		if g.Program, err = filepath.Abs(o.Program); err != nil {
			return nil, err
		}
	}
	e := &Engine{
		Execs: execs.New(g), Sandboxes: sandboxes.New(g, o.Networks), Images: images.New(g, o.Carriers), Volumes: volumes.New(g),
	}
	e.Containers = containers.New(g, containers.Parts{Images: e.Images, Volumes: e.Volumes, Sandboxes: e.Sandboxes, Execs: e.Execs})
	e.System = system.New(g, e.Containers, e.Images)
	if err := e.Containers.Recover(); err != nil {
		err = fault.New(fault.KindOf(err), "clean up after a start that was cut off: %w", err)
		if o.Warn == nil {
			return nil, err
		}
		o.Warn(err.Error())
	}
	return e, nil
}
