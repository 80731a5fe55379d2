package layer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"hash"
	"io"

	"github.com/klauspost/compress/gzip"

	"github.com/tare-engine/tare/fault"
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

// Decoder decompresses a stream. Close frees what it holds, not r.
type Decoder func(r io.Reader) (io.ReadCloser, error)

// Decompress returns the tar stream in r, which is plain, gzip, or zstd where
// that decoder is not nil. The error is Unsupported for other compressions.
func Decompress(r io.Reader, zstd Decoder) (io.ReadCloser, error) {
	br := bufio.NewReaderSize(r, 128<<10)
	head, err := br.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch c := Detect(head); c {
	case Plain:
		return io.NopCloser(br), nil
	case Gzip:
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, fault.New(fault.Invalid, "decompress layer: %w", err)
		}
		return gzipReader{z}, nil
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
type gzipReader struct{ z *gzip.Reader }

// Close implements io.Closer; there is nothing to free.
func (gzipReader) Close() error { return nil }

// Read implements io.Reader.
func (g gzipReader) Read(p []byte) (int, error) {
	n, err := g.z.Read(p)
	switch {
	case err == nil, errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return n, err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return n, fault.New(fault.Invalid, "decompress layer: it is cut short")
	}
	return n, fault.New(fault.Invalid, "decompress layer: %w", err)
}

// ahead reads a stream in a goroutine of its own, so that inflating, hashing
// and writing files overlap.
type ahead struct {
	full  chan chunk
	empty chan []byte
	ctx   context.Context
	stop  context.CancelFunc
	done  chan struct{}
	cur   chunk
	rest  []byte
}

type chunk struct {
	buf []byte
	n   int
	err error
}

const (
	aheadChunk = 256 << 10
	aheadDepth = 4
)

// readAhead starts reading r; everything read is also written to h, when it is
// not nil. close must be called.
func readAhead(ctx context.Context, r io.Reader, h hash.Hash) *ahead {
	ctx, stop := context.WithCancel(ctx)
	a := &ahead{
		full:  make(chan chunk, aheadDepth),
		empty: make(chan []byte, aheadDepth),
		ctx:   ctx,
		stop:  stop,
		done:  make(chan struct{}),
	}
	for range aheadDepth {
		a.empty <- make([]byte, aheadChunk)
	}
	go func() {
		defer close(a.done)
		defer close(a.full)
		for {
			var c chunk
			select {
			case c.buf = <-a.empty:
			case <-ctx.Done():
				return
			}
			c.n, c.err = io.ReadFull(r, c.buf)
			if errors.Is(c.err, io.ErrUnexpectedEOF) {
				c.err = io.EOF
			}
			if h != nil {
				h.Write(c.buf[:c.n]) // never fails, says package hash
			}
			select {
			case a.full <- c:
			case <-ctx.Done():
				return
			}
			if c.err != nil {
				return
			}
		}
	}()
	return a
}

// Read implements io.Reader.
func (a *ahead) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.cur.err != nil {
			return 0, a.cur.err
		}
		if a.cur.buf != nil {
			a.empty <- a.cur.buf
		}
		var ok bool
		if a.cur, ok = <-a.full; !ok {
			a.cur.err = a.ctx.Err()
		}
		a.rest = a.cur.buf[:a.cur.n]
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// close ends the goroutine. It waits for a read that has begun.
func (a *ahead) close() {
	a.stop()
	<-a.done
}
