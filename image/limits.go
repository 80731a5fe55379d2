package image

import (
	"cmp"

	"github.com/tare-engine/tare/layer"
)

// Limits bound what an image may hold. A zero field means the default.
type Limits struct {
	Manifest int64 // bytes of a manifest, an index or a config
	Layers   int
	Layer    layer.Limits // for each layer
}

// DefaultLimits are those that registries and other engines keep to, and far
// above any sane image. The kernel stacks 500 layers.
func DefaultLimits() Limits {
	return Limits{Manifest: 8 << 20, Layers: 499, Layer: layer.DefaultLimits()}
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	l.Manifest = cmp.Or(l.Manifest, d.Manifest)
	l.Layers = cmp.Or(l.Layers, d.Layers)
	l.Layer.Bytes = cmp.Or(l.Layer.Bytes, d.Layer.Bytes)
	return l
}
