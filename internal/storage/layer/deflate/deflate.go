// Package deflate compresses layers. It is a package of its own because the
// hot programs do without it: it is 0.2 MB of them.
package deflate

import (
	"io"

	"github.com/klauspost/compress/gzip"
)

// New is a layer.Encoder: gzip with the default level, which the same build
// compresses to the same bytes.
func New(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }
