package store

import (
	"cmp"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/storage/layer"
)

// Limits bound what an image may hold. A zero field means the default.
type Limits struct {
	Bytes    int64 // of file content in all layers that one pull or load brings
	Ratio    int64 // of a layer to its blob, beyond ratioFloor bytes
	Manifest int64 // bytes of a manifest, an index or a config
	Layers   int
	Layer    layer.Limits // for each layer
}

// ratioFloor is what any blob may decompress to.
const ratioFloor = 256 << 20

// DefaultLimits are those that registries and other engines keep to, and far
// above any sane image. The kernel stacks 500 layers. gzip cannot do better
// than 1:1032; files that are all the same reach it, programs 1:10.
func DefaultLimits() Limits {
	return Limits{Bytes: 1 << 40, Ratio: 200, Manifest: 8 << 20, Layers: 499, Layer: layer.DefaultLimits()}
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	l.Bytes = cmp.Or(l.Bytes, d.Bytes)
	l.Ratio = cmp.Or(l.Ratio, d.Ratio)
	l.Manifest = cmp.Or(l.Manifest, d.Manifest)
	l.Layers = cmp.Or(l.Layers, d.Layers)
	l.Layer.Bytes = cmp.Or(l.Layer.Bytes, d.Layer.Bytes)
	return l
}

// unpackOptions are for a layer whose blob has size bytes, or -1.
func (in *Ingest) unpackOptions(size int64) layer.Options {
	o := layer.Options{Limits: in.limits.Layer, UserXattr: in.s.UserXattr, Charge: in.charge}
	if size >= 0 && size < (1<<62)/in.limits.Ratio {
		o.MaxStream = max(ratioFloor, size*in.limits.Ratio)
	}
	return o
}

// charge counts the file content of all layers.
func (in *Ingest) charge(n int64) error {
	if in.bytes.Add(n) > in.limits.Bytes {
		return fault.New(fault.Invalid, "unpack layer: the images have more than %d bytes together", in.limits.Bytes)
	}
	return nil
}
