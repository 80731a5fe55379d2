// Package images is the engine's room of images: what is here, how it came, who
// uses it, and how it goes.
package images

import "github.com/tare-engine/tare/internal/engine/ground"

// Room is the engine's images. Whether one is in use the records tell; it asks
// no other room.
type Room struct {
	*ground.Ground

	carriers Carriers
	oldBase  string // the built-in image of another tare-base, now without a name
}

// New returns a room, without I/O.
func New(g *ground.Ground, carriers Carriers) *Room { return &Room{Ground: g, carriers: carriers} }
