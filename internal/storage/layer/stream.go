package layer

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/storage/inflate"
)

// Compression of a layer, found by its first bytes.
type Compression uint8

// The compressions that can be told apart.
const (
	Plain Compression = iota
	Gzip
	Zstd
	XZ
	Bzip2
)

func (c Compression) String() string {
	return [...]string{"plain", "gzip", "zstd", "xz", "bzip2"}[c]
}

// Detect tells the compression of data that starts with head, of which six
// bytes are enough.
func Detect(head []byte) Compression {
	for _, m := range [...]struct {
		magic string
		c     Compression
	}{
		{"\x1f\x8b", Gzip},
		{"\x28\xb5\x2f\xfd", Zstd},
		{"\xfd7zXZ\x00", XZ},
		{"BZh", Bzip2},
	} {
		if bytes.HasPrefix(head, []byte(m.magic)) {
			return m.c
		}
	}
	return Plain
}

// Encoder compresses what is written; Close ends the stream.
type Encoder func(io.Writer) io.WriteCloser

// Decoder decompresses a stream. Close frees what it holds, not r.
type Decoder func(r io.Reader) (io.ReadCloser, error)

// Decompress returns the tar stream in r, which is plain, gzip, or zstd where
// that decoder is not nil. The error is Unsupported for other compressions.
func Decompress(r io.Reader, zstd Decoder) (io.ReadCloser, error) {
	br := bufio.NewReaderSize(r, 64<<10) // larger reads pass it by
	head, err := br.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch c := Detect(head); c {
	case Plain:
		return io.NopCloser(br), nil
	case Gzip:
		return &gzipReader{z: inflate.NewReader(br)}, nil
	case Zstd:
		if zstd != nil {
			return zstd(br)
		}
		fallthrough
	case XZ, Bzip2:
		return nil, fault.WithHint(fault.New(fault.Unsupported, "decompress layer: %s is not supported", c), "recompress it with gzip")
	}
	return nil, fault.New(fault.Internal, "decompress layer: unknown compression")
}

// gzipReader gives the faults of damaged input a kind.
type gzipReader struct {
	z    *inflate.Reader
	buf  []byte // of Read
	rest []byte
	end  int // in buf
}

// Close implements io.Closer; there is nothing to free.
func (*gzipReader) Close() error { return nil }

// next implements chunker.
func (g *gzipReader) next(buf []byte, start int) (int, error) {
	end, err := g.z.Next(buf, start)
	switch {
	case err == nil, err == io.EOF: //nolint:errorlint // as io.Reader
		return end, err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return end, fault.New(fault.Invalid, "decompress layer: it is cut short")
	case errors.Is(err, inflate.ErrHeader), errors.Is(err, inflate.ErrData), errors.Is(err, inflate.ErrChecksum):
		return end, fault.New(fault.Invalid, "decompress layer: %w", err)
	}
	return end, err // of the source
}

// Read implements io.Reader.
func (g *gzipReader) Read(p []byte) (int, error) {
	if g.buf == nil {
		g.buf = make([]byte, chunkSize)
		g.end = inflate.Window
	}
	for len(g.rest) == 0 {
		copy(g.buf, g.buf[g.end-inflate.Window:g.end])
		end, err := g.next(g.buf, inflate.Window)
		if g.rest, g.end = g.buf[inflate.Window:end], end; err != nil && len(g.rest) == 0 {
			return 0, err
		}
	}
	n := copy(p, g.rest)
	g.rest = g.rest[n:]
	return n, nil
}
