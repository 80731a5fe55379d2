package ground

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/engine/compose"
	"github.com/tare-engine/tare/internal/image/store"
)

// VolumeWant is what is to be made for a container.
type VolumeWant struct {
	ID      string       // of the container
	Image   *store.Image // whose contents they get; nil: they are empty
	IDs     *specs.Linux // the container's id maps
	Volumes []compose.Volume
}
