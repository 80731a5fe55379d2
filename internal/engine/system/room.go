// Package system is the engine's room for what concerns all of it: what this machine
// can do, what takes up space, what has happened.
package system

import (
	"context"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/ground"
)

// Room answers for the machine and the whole engine.
type Room struct {
	*ground.Ground

	containers Containers
	images     Images
}

// Containers lists the containers that there are.
type Containers interface {
	List(ctx context.Context, o api.ListOptions) ([]api.ContainerSummary, error)
}

// Images lists the images that there are.
type Images interface {
	List(o api.ImageListOptions) ([]api.ImageSummary, error)
}

// New returns a room, without I/O.
func New(g *ground.Ground, c Containers, i Images) *Room { return &Room{g, c, i} }
