// Package unzstd decompresses zstd layers. It is a package of its own because
// the hot programs do without it: it costs each start 0.2 ms.
package unzstd

import (
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// maxWindow is the largest window that a stream may ask for: 8 MiB is what RFC
// 8878 wants decoders to support at least, and zstd -19 uses it; --long=27
// wants 128 MiB.
const maxWindow = 128 << 20

// New is a layer.Decoder.
func New(r io.Reader) (io.ReadCloser, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("decompress layer: %w", err)
	}
	return reader{z}, nil
}

type reader struct{ z *zstd.Decoder }

func (r reader) Read(p []byte) (int, error) {
	n, err := r.z.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // the decoder returns io.EOF itself
		err = fault.New(fault.Invalid, "decompress layer: %w", err)
	}
	return n, err
}

func (r reader) Close() error {
	r.z.Close()
	return nil
}
