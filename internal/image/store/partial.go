package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// Range is a piece of a blob, in bytes.
type Range struct{ Off, Len int64 }

// partial is a blob that is on its way: a file partial/HEX, whose flock says
// that somebody fetches it, and partial/HEX.got, a byte for each chunk of it
// that is there. They outlive the process, so that the next one goes on where
// it ended. Whatever they hold is hashed before it is believed.
//
// A blob without a digest has neither lock nor record, and lies in staging.
type partial struct {
	dir    string // ROOT/partial
	digest string // "" when not known before the end
	size   int64  // -1 when not known
	f      *os.File
	got    *os.File // nil for blobs of one chunk, and of unknown size

	mu      sync.Mutex
	more    sync.Cond
	have    []Range // sorted, none touches another
	resumed int64   // bytes that an earlier process fetched
	ended   bool    // no more will come
	err     error   // why not
}

const (
	gotChunk = 1 << 20
	gotMark  = 1
)

// openPartial waits until nobody else fetches the blob, and opens what is
// there of it. It returns nil when done says that the blob has come meanwhile.
func (s *Store) openPartial(ctx context.Context, d *Descriptor, done func() bool) (*partial, error) {
	dir := s.root + "/partial"
	if err := unix.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("fetch %s: %w", d.Digest, err)
	}
	path := dir + "/" + d.Digest[len("sha256:"):]
	f, err := lockFile(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", d.Digest, err)
	}
	p := &partial{dir: dir, digest: d.Digest, size: d.Size, f: f}
	p.more.L = &p.mu
	if done() {
		p.remove()
		return nil, p.close()
	}
	if err := p.load(path + ".got"); err != nil {
		return nil, errors.Join(fault.New(fault.KindOf(err), "fetch %s: %w", d.Digest, err), p.close())
	}
	return p, nil
}

// lockFile opens a file, which it makes, and locks it. Who removes such a file
// holds its lock; so it may be another file by the time we have it.
func lockFile(ctx context.Context, path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		err = flockContext(ctx, int(f.Fd()))
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		mine, err := f.Stat()
		now, serr := os.Stat(path)
		if err == nil && serr == nil && os.SameFile(mine, now) {
			return f, nil
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
}

// flockContext waits for a lock; a signal cannot be told from a cancelled
// context, so it asks again and again, ever more seldom.
func flockContext(ctx context.Context, fd int) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		_, err := eintr(func() (int, error) { return 0, unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
	}
}

// load reads which chunks are there, and makes room for the record.
func (p *partial) load(gotPath string) error {
	if whole, err := p.adopt(); whole || err != nil {
		return err
	}
	if p.size <= gotChunk {
		return p.f.Truncate(0) // not worth the record
	}
	var err error
	if p.got, err = os.OpenFile(gotPath, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	st, err := p.f.Stat()
	if err != nil {
		return err
	}
	marks := make([]byte, p.chunks())
	n, err := p.got.ReadAt(marks, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for i, m := range marks[:n] {
		r := p.chunk(i)
		if m == gotMark && r.Off+r.Len <= st.Size() {
			p.have = addRange(p.have, r)
			p.resumed += r.Len
		}
	}
	return nil
}

// adopt takes the blob whole when another ingest has verified it and not
// committed it yet. That has links to the same file, which must not be written
// to any more: whoever serves this image may serve something else.
func (p *partial) adopt() (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(p.f.Fd()), &st); err != nil || st.Nlink < 2 {
		return false, err
	}
	if p.size >= 0 && st.Size != p.size {
		return false, fault.New(fault.Invalid, "it has %d bytes, not %d", st.Size, p.size)
	}
	p.size, p.resumed = st.Size, st.Size
	if st.Size > 0 {
		p.have = []Range{{0, st.Size}}
	}
	return true, nil
}

func (p *partial) chunks() int { return int((p.size + gotChunk - 1) / gotChunk) }

func (p *partial) chunk(i int) Range {
	off := int64(i) * gotChunk
	return Range{off, min(gotChunk, p.size-off)}
}

// addRange returns the sorted list with r, joined with what it touches.
func addRange(list []Range, r Range) []Range {
	i, _ := slices.BinarySearchFunc(list, r.Off, func(a Range, off int64) int {
		if a.Off+a.Len < off {
			return -1
		}
		return 1
	})
	j := i
	for ; j < len(list) && list[j].Off <= r.Off+r.Len; j++ {
		end := max(r.Off+r.Len, list[j].Off+list[j].Len)
		r.Off = min(r.Off, list[j].Off)
		r.Len = end - r.Off
	}
	return slices.Replace(list, i, j, r)
}

// missing returns what is not there, in order.
func (p *partial) missing() []Range {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []Range
	at := int64(0)
	for _, r := range p.have {
		if r.Off > at {
			list = append(list, Range{at, r.Off - at})
		}
		at = r.Off + r.Len
	}
	if p.size > at {
		list = append(list, Range{at, p.size - at})
	}
	return list
}

// WriteAt implements io.WriterAt. Several ranges may be written at once.
func (p *partial) WriteAt(data []byte, off int64) (int, error) {
	if off < 0 || p.size >= 0 && off+int64(len(data)) > p.size {
		return 0, fault.New(fault.Invalid, "fetch %s: more than the %d bytes announced", p.digest, p.size)
	}
	if err := p.failed(); err != nil {
		return 0, err
	}
	n, err := p.f.WriteAt(data, off)
	if err != nil {
		p.fail(err) // nobody need go on
		return n, err
	}
	p.mu.Lock()
	p.have = addRange(p.have, Range{off, int64(len(data))})
	i, _ := slices.BinarySearchFunc(p.have, off, func(a Range, off int64) int {
		if a.Off+a.Len <= off {
			return -1
		}
		return 1
	})
	around := p.have[min(i, len(p.have)-1)]
	p.mu.Unlock()
	p.more.Broadcast()
	return n, p.mark(Range{off, int64(len(data))}, around)
}

// mark records the chunks that a write has completed; around is all that is
// there without a gap.
func (p *partial) mark(r, around Range) error {
	if p.got == nil || r.Len == 0 {
		return nil
	}
	for i := int(r.Off / gotChunk); i <= int((r.Off+r.Len-1)/gotChunk); i++ {
		c := p.chunk(i)
		if c.Off < around.Off || c.Off+c.Len > around.Off+around.Len {
			continue
		}
		if _, err := p.got.WriteAt([]byte{gotMark}, int64(i)); err != nil {
			return err
		}
	}
	return nil
}

func (p *partial) failed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// end says that nothing more comes, and why if it is not all.
func (p *partial) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	p.ended = true
	if p.err == nil {
		p.err = err
	}
	p.more.Broadcast()
}

// fail makes writers and readers stop.
func (p *partial) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
	p.more.Broadcast()
}

// front returns how much is there from the start on without a gap.
func (p *partial) front() int64 {
	if len(p.have) == 0 || p.have[0].Off > 0 {
		return 0
	}
	return p.have[0].Len
}

// reader reads the blob while it grows.
type partialReader struct {
	p   *partial
	off int64
}

// Read implements io.Reader. It waits for what has not come yet.
func (r *partialReader) Read(b []byte) (int, error) {
	p := r.p
	p.mu.Lock()
	for p.err == nil && p.front() <= r.off && !p.ended && (p.size < 0 || r.off < p.size) {
		p.more.Wait()
	}
	front, err := p.front(), p.err
	p.mu.Unlock()
	switch {
	case err != nil:
		return 0, err
	case front > r.off:
		n, err := p.f.ReadAt(b[:min(int64(len(b)), front-r.off)], r.off)
		r.off += int64(n)
		if n > 0 {
			err = nil
		}
		return n, err
	case p.size >= 0 && r.off < p.size:
		return 0, fault.New(fault.Unavailable, "fetch %s: it ended after %d of %d bytes", p.digest, r.off, p.size)
	}
	return 0, io.EOF
}

// peek returns the first n bytes, or all if there are fewer.
func (r *partialReader) peek(n int) ([]byte, error) {
	head := make([]byte, n)
	at := partialReader{p: r.p}
	k, err := io.ReadFull(&at, head)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	return head[:k], err
}

// link gives the file that was read a name. Its own may be gone, or another
// file's: an ingest that had the blob, too, has published it then.
func (p *partial) link(published, to string) error {
	self := "/proc/self/fd/" + strconv.Itoa(int(p.f.Fd()))
	err := unix.Linkat(unix.AT_FDCWD, self, unix.AT_FDCWD, to, unix.AT_SYMLINK_FOLLOW)
	if errors.Is(err, fs.ErrNotExist) {
		err = unix.Link(published, to)
	}
	return err
}

// remove removes the blob: what is there of it is wrong.
func (p *partial) remove() {
	// What stays is found to be wrong again.
	_ = os.Remove(p.f.Name() + ".got")
	_ = os.Remove(p.f.Name())
}

// dropPartial removes what has come of a blob that nobody fetches.
func (s *Store) dropPartial(digest string) error {
	path := s.root + "/partial/" + digest[len("sha256:"):]
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err = eintr(func() (int, error) { return 0, unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }); err == nil {
		_ = os.Remove(path + ".got") // nothing without the other
		err = os.Remove(path)
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// close gives up the lock. What is there stays for the next one.
func (p *partial) close() error {
	err := p.f.Close()
	if p.got != nil {
		err = errors.Join(err, p.got.Close())
	}
	return err
}
