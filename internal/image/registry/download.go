package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/lib/fault"
)

// A blob is fetched in parts: what one request asks for.
const (
	partSize  = 8 << 20
	partConns = 4         // at once for one blob
	writeSize = 256 << 10 // pieces of a part

	defaultStall = 30 * time.Second
)

// Fetch is a blob on its way.
type Fetch struct {
	Digest  string
	Size    int64         // bytes
	Missing []store.Range // what of it is to be fetched, ascending
	To      io.WriterAt   // takes pieces, in any order
	Got     func(n int)   // is called with the number of bytes that came in
}

// Fetch fetches a blob in ranges, several at once where it is large, the
// lowest first. It checks the length and leaves the digest to the taker, who
// reads it anyway.
func (r *Repo) Fetch(ctx context.Context, f Fetch) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d := &download{r: r, f: f, todo: parts(f.Missing), cancel: cancel}
	p := d.take()
	if p == nil {
		return nil
	}
	// The first part shows whether the server knows ranges.
	first, err := d.open(ctx, p)
	if err != nil {
		return d.wrap(err)
	}
	if first.whole {
		// It does not: one stream for all, from the start.
		p.end, d.todo = f.Size, nil
		return d.wrap(d.part(ctx, p, first))
	}
	var wg sync.WaitGroup
	for range min(partConns-1, len(d.todo)) {
		wg.Go(func() { d.work(ctx) })
	}
	if err := d.part(ctx, p, first); err != nil {
		cancel(err)
	} else {
		d.work(ctx)
	}
	wg.Wait()
	return d.wrap(context.Cause(ctx))
}

// download is what the connections of one blob share.
type download struct {
	r      *Repo
	f      Fetch
	cancel context.CancelCauseFunc

	mu     sync.Mutex
	todo   []*span
	direct *url.URL // where the registry redirects to, asked at once by the parts that follow
}

// span is a part: [at, end) is still missing.
type span struct{ at, end int64 }

// parts cuts what is missing at multiples of the size of a part.
func parts(missing []store.Range) []*span {
	var list []*span
	for _, m := range missing {
		for at, end := m.Off, m.Off+m.Len; at < end; {
			next := min((at/partSize+1)*partSize, end)
			list = append(list, &span{at, next})
			at = next
		}
	}
	return list
}

func (d *download) wrap(err error) error {
	if err == nil {
		return nil
	}
	kind := fault.KindOf(err)
	if kind == fault.Internal {
		kind = fault.Unavailable // what a network does
	}
	return fault.New(kind, "fetch %s: %w", short(d.f.Digest), plainError(err))
}

func short(digest string) string {
	_, hex, _ := strings.Cut(digest, ":")
	return hex[:min(12, len(hex))]
}

// take returns the lowest part that nobody fetches, or nil.
func (d *download) take() *span {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.todo) == 0 {
		return nil
	}
	p := d.todo[0]
	d.todo = d.todo[1:]
	return p
}

func (d *download) work(ctx context.Context) {
	for p := d.take(); p != nil && ctx.Err() == nil; p = d.take() {
		if err := d.part(ctx, p, nil); err != nil {
			d.cancel(err)
			return
		}
	}
}

// body is the answer to a request for a part.
type body struct {
	io.ReadCloser
	k     *conn
	at    int64 // of its first byte in the blob
	whole bool  // it is all of the blob, range or not
}

// ask asks where the last part was redirected to, and the registry when that
// does not answer any more: such addresses are good for some minutes.
func (d *download) ask(ctx context.Context, q call) (*http.Response, *conn, error) {
	d.mu.Lock()
	direct := d.direct
	d.mu.Unlock()
	if direct != nil {
		direct := *direct
		k := d.r.own() // for its connections; no credentials are sent elsewhere
		q := q
		q.abs, q.once = &direct, true
		resp, err := k.try(ctx, &q, "")
		if err == nil && resp.StatusCode < 300 {
			return resp, k, nil
		}
		if err == nil {
			drain(resp)
		}
		d.learn(nil)
	}
	resp, k, err := d.r.pull(ctx, q)
	if err == nil && resp.Request.URL.Host != k.e.Host && !k.e.Mirror {
		d.learn(resp.Request.URL)
	}
	return resp, k, err
}

func (d *download) learn(u *url.URL) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.direct = u
}

// errLength is what a wrong length is.
var errLength = errors.New("the registry has another length than the manifest says")

// open asks for a part.
func (d *download) open(ctx context.Context, p *span) (*body, error) {
	q := call{method: http.MethodGet, path: "/blobs/" + d.f.Digest}
	if p.at > 0 || p.end < d.f.Size {
		q.header = http.Header{"Range": {fmt.Sprintf("bytes=%d-%d", p.at, p.end-1)}}
	}
	resp, k, err := d.ask(ctx, q)
	if err != nil {
		return nil, err
	}
	b := &body{ReadCloser: resp.Body, k: k}
	switch resp.StatusCode {
	case http.StatusOK:
		b.whole = true
		if resp.ContentLength >= 0 && resp.ContentLength != d.f.Size {
			_ = resp.Body.Close()
			return nil, lengthError(resp.ContentLength, d.f.Size)
		}
	case http.StatusPartialContent:
		at, total, ok := contentRange(resp.Header.Get("Content-Range"))
		if !ok || at != p.at {
			_ = resp.Body.Close()
			return nil, fault.New(fault.Unavailable, "%s answers with another range (%q) than it was asked for", k.e.Host, resp.Header.Get("Content-Range"))
		}
		if total >= 0 && total != d.f.Size {
			_ = resp.Body.Close()
			return nil, lengthError(total, d.f.Size)
		}
		b.at = at
	case http.StatusRequestedRangeNotSatisfiable:
		drain(resp)
		return nil, fault.New(fault.Invalid, "%w: fewer than %d bytes", errLength, p.end)
	default:
		err := statusError(resp)
		drain(resp)
		return nil, err
	}
	return b, nil
}

func lengthError(have, want int64) error {
	return fault.New(fault.Invalid, "%w: %d bytes in place of %d", errLength, have, want)
}

// contentRange reads "bytes 0-99/200", where the total may be "*" (RFC 9110,
// 14.4).
func contentRange(s string) (at, total int64, ok bool) {
	s, ok = strings.CutPrefix(s, "bytes ")
	first, rest, ok2 := strings.Cut(s, "-")
	_, all, ok3 := strings.Cut(rest, "/")
	at, err := strconv.ParseInt(first, 10, 64)
	if !ok || !ok2 || !ok3 || err != nil {
		return 0, 0, false
	}
	if all == "*" {
		return at, -1, true
	}
	total, err = strconv.ParseInt(all, 10, 64)
	return at, total, err == nil
}

// part fetches p, again from where a connection broke.
func (d *download) part(ctx context.Context, p *span, b *body) error {
	failures := 0
	for {
		start := p.at
		var err error
		if b == nil {
			b, err = d.open(ctx, p)
		}
		if err == nil {
			err = d.copy(ctx, p, b)
			b = nil
		}
		if err == nil {
			return nil
		}
		if p.at > start {
			failures = 0
		}
		failures++
		if ctx.Err() != nil || !worthAnother(err) || failures >= attempts {
			return err
		}
		if err := wait(ctx, d.r.own().pause(failures)); err != nil {
			return err
		}
	}
}

// worthAnother reports whether what failed in the middle of a blob may go well
// the next time: there has been a connection, so that the server is there.
func worthAnother(err error) bool {
	if errors.Is(err, errLength) || errors.Is(err, errWrite) {
		return false
	}
	var st *StatusError
	if errors.As(err, &st) {
		return passing(st.Status)
	}
	return fault.KindOf(err) != fault.Denied
}

// errWrite is a failure of this side.
var errWrite = errors.New("write")

// errStall is a server that does not speak any more.
var errStall = errors.New("the server sends nothing any more")

// copy reads a part from b.
func (d *download) copy(ctx context.Context, p *span, b *body) error {
	stall := d.r.c.Stall
	if stall == 0 {
		stall = defaultStall
	}
	stalled := false
	var mu sync.Mutex
	timer := time.AfterFunc(stall, func() {
		mu.Lock()
		stalled = true
		mu.Unlock()
		_ = b.Close() // makes the read end
	})
	defer timer.Stop()
	stop := context.AfterFunc(ctx, func() { _ = b.Close() })
	defer stop()
	defer func() { _ = b.Close() }()

	err := d.copyBody(p, b, func() { timer.Reset(stall) })
	mu.Lock()
	defer mu.Unlock()
	if stalled && err != nil && !errors.Is(err, errWrite) {
		return fault.New(fault.Unavailable, "%s: %w", b.k.e.Host, errStall)
	}
	return err
}

func (d *download) copyBody(p *span, b *body, alive func()) error {
	buf := make([]byte, writeSize)
	for skip := p.at - b.at; skip > 0; { // of a server without ranges
		n, err := b.Read(buf[:min(skip, int64(len(buf)))])
		skip -= int64(n)
		alive()
		if err != nil && skip > 0 {
			return cutShort(err)
		}
	}
	for p.at < p.end {
		n, err := readSome(b, buf[:min(writeSize, p.end-p.at)], alive, d.f.Got)
		if n > 0 {
			if _, werr := d.f.To.WriteAt(buf[:n], p.at); werr != nil {
				return &fault.Error{Kind: fault.KindOf(werr), Err: errors.Join(errWrite, werr), Text: werr.Error()}
			}
			p.at += int64(n)
		}
		if err != nil {
			return cutShort(err)
		}
	}
	if b.whole || p.end == d.f.Size {
		var one [1]byte
		if n, _ := io.ReadFull(b, one[:]); n > 0 {
			return fault.New(fault.Invalid, "%w: more than %d bytes", errLength, d.f.Size)
		}
	}
	return nil
}

// readSome fills buf unless the stream ends.
func readSome(r io.Reader, buf []byte, alive func(), got func(int)) (n int, err error) {
	for n < len(buf) {
		k, err := r.Read(buf[n:])
		n += k
		if k > 0 {
			alive()
			got(k)
		}
		if err != nil && n < len(buf) {
			return n, err
		}
	}
	return n, nil
}

// cutShort makes the end of a body that came too early an error.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
