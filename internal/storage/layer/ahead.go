package layer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"sync/atomic"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/storage/inflate"
)

// ahead reads a stream in a goroutine of its own and hashes it in another, so
// that inflating, hashing and writing files overlap. Both the hash and the
// reader use the same chunks, in place.
type ahead struct {
	ctx   context.Context //nolint:containedctx // lives for one call
	stop  context.CancelFunc
	full  chan *chunk
	toSum chan *chunk
	empty chan *chunk
	sum   hash.Hash
	done  chan struct{} // the hash is complete

	cur   *chunk
	rest  []byte
	total int64
	limit int64 // of total; 0 is none
}

type chunk struct {
	buf  []byte // history, data, slack
	data []byte
	err  error
	uses atomic.Int32
}

const (
	chunkData  = 256 << 10
	chunkSize  = inflate.Window + chunkData + inflate.Slack
	chunkCount = 6
)

// chunker is a stream that decompresses into chunks with their history in
// front, see [inflate.Reader.Next].
type chunker interface {
	next(buf []byte, start int) (end int, err error)
}

// readAhead starts reading r. close must be called.
func readAhead(ctx context.Context, r io.Reader, digest bool, limit int64) *ahead {
	ctx, stop := context.WithCancel(ctx)
	a := &ahead{
		ctx: ctx, stop: stop, limit: limit, done: make(chan struct{}),
		full: make(chan *chunk, chunkCount), toSum: make(chan *chunk, chunkCount), empty: make(chan *chunk, chunkCount),
	}
	for range chunkCount {
		a.empty <- &chunk{}
	}
	if digest {
		a.sum = sha256.New()
	}
	go a.read(r)
	go a.hash()
	return a
}

func (a *ahead) read(r io.Reader) {
	defer close(a.full)
	defer close(a.toSum)
	var last *chunk
	for {
		var c *chunk
		select {
		case c = <-a.empty:
		case <-a.ctx.Done():
			return
		}
		if c.buf == nil {
			c.buf = make([]byte, chunkSize)
		}
		end := inflate.Window
		if z, ok := r.(chunker); ok {
			// The chunk before may be in use, but nobody changes it: it is
			// not empty before this one is full.
			if last != nil {
				copy(c.buf, last.buf[inflate.Window+len(last.data)-inflate.Window:inflate.Window+len(last.data)])
			}
			end, c.err = z.next(c.buf, end)
		} else {
			var n int
			n, c.err = io.ReadFull(r, c.buf[end:end+chunkData])
			if errors.Is(c.err, io.ErrUnexpectedEOF) {
				c.err = io.EOF
			}
			end += n
		}
		c.data = c.buf[inflate.Window:end]
		last = c
		c.uses.Store(2)
		a.full <- c // never waits: there is room for all
		a.toSum <- c
		if c.err != nil {
			return
		}
	}
}

func (a *ahead) hash() {
	defer close(a.done)
	for c := range a.toSum {
		if a.sum != nil {
			a.sum.Write(c.data) // never fails, says package hash
		}
		a.release(c)
	}
}

func (a *ahead) release(c *chunk) {
	if c.uses.Add(-1) == 0 {
		a.empty <- c
	}
}

// Read implements io.Reader.
func (a *ahead) Read(p []byte) (int, error) {
	if err := a.more(); err != nil {
		return 0, err
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// more makes sure that rest has something.
func (a *ahead) more() error {
	for len(a.rest) == 0 {
		if a.cur != nil {
			if a.cur.err != nil {
				return a.cur.err
			}
			a.release(a.cur)
			a.cur = nil
		}
		c, ok := <-a.full
		if !ok {
			return a.ctx.Err()
		}
		a.cur, a.rest = c, c.data
		if a.total += int64(len(c.data)); a.limit > 0 && a.total > a.limit {
			a.cur.err = fault.New(fault.Invalid, "unpack layer: it decompresses to more than %d bytes, far too much for its size", a.limit)
			return a.cur.err
		}
	}
	return nil
}

// drain reads what is left.
func (a *ahead) drain() error {
	for {
		a.rest = nil
		if err := a.more(); err != nil {
			if err == io.EOF { //nolint:errorlint // as io.Reader
				return nil
			}
			return err
		}
	}
}

// digest returns the digest of the whole stream, once that is drained; "" if
// none was asked for.
func (a *ahead) digest() string {
	if a.sum == nil {
		return ""
	}
	<-a.done
	return "sha256:" + hex.EncodeToString(a.sum.Sum(nil))
}

// close ends the goroutines. It waits for a read that has begun.
func (a *ahead) close() {
	a.stop()
	for range a.full { // until it is closed
	}
	<-a.done
}
