package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"github.com/tare-engine/tare/internal/storage/layer"
)

// Ingest is images on their way into the store. Blobs come in any order, from
// any number of goroutines; layers are unpacked while they come. Nothing is
// visible before Commit. An Ingest holds all that it got by links of its own,
// so that no removal elsewhere takes it away.
type Ingest struct {
	s     *Store
	ctx   context.Context //nolint:containedctx // lives until Close
	stop  context.CancelFunc
	stage *fsatomic.Staging

	limits Limits
	bytes  atomic.Int64 // of file content, see charge
	full   atomic.Bool  // the disk is
	mu     sync.Mutex
	blobs  map[string]int64  // digests and sizes, staged under their hex digits
	layers map[string]*Layer // by digest of the blob
	trees  int               // names given to trees in staging
	all    []*Layer
	slots  chan struct{} // of unpackers, each of which has 2 MB of buffers
	lock   *os.File      // of the manifest
}

// Ingest begins an ingest, which must be closed.
func (s *Store) Ingest(ctx context.Context) (*Ingest, error) {
	stage, err := s.stage()
	if err != nil {
		return nil, err
	}
	if err := s.agePartial(DefaultPartial); err != nil {
		return nil, errors.Join(err, stage.Discard())
	}
	ctx, stop := context.WithCancel(ctx)
	return &Ingest{
		s: s, limits: s.Limits.orDefault(), ctx: ctx, stop: stop, stage: stage,
		blobs: map[string]int64{}, layers: map[string]*Layer{},
		slots: make(chan struct{}, maxUnpackers),
	}, nil
}

// maxUnpackers bounds the memory of an ingest; the blobs of further layers wait
// on the disk.
const maxUnpackers = 8

// Close ends the ingest and removes what was not committed. What came of the
// blobs stays in partial for the next one, unless the disk is full.
func (in *Ingest) Close() error {
	in.stop()
	in.mu.Lock()
	all := in.all
	in.mu.Unlock()
	var err error
	for _, l := range all {
		l.abort()
	}
	if in.full.Load() {
		for _, l := range all {
			if l.spec.Digest != "" {
				err = errors.Join(err, in.s.dropPartial(l.spec.Digest))
			}
		}
	}
	err = errors.Join(err, in.stage.Discard())
	if in.lock != nil {
		_ = os.Remove(in.lock.Name()) // whoever waits for it finds that out
		err = errors.Join(err, in.lock.Close())
		in.lock = nil
	}
	return err
}

// noteFull looks whether an error means that there is no room for what would
// be kept for the next try.
func (in *Ingest) noteFull(err error) {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		in.full.Store(true)
	}
}

// Lock waits for whoever else ingests what digest names (a manifest or an
// index); the caller then looks whether there is still something to do. Several
// processes that pull one image so do the work once. Once an ingest.
func (in *Ingest) Lock(digest string) error {
	dir := in.s.root + "/partial"
	if err := unix.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("lock %s: %w", digest, err)
	}
	f, err := lockFile(in.ctx, dir+"/"+digest[len("sha256:"):]+".lock")
	if err != nil {
		return fmt.Errorf("lock %s: %w", digest, err)
	}
	in.lock = f
	return nil
}

// HasBlob reports whether the store or the ingest has a blob.
func (in *Ingest) HasBlob(digest string) bool {
	_, err := in.hold(digest)
	return err == nil
}

// ReadBlob returns a small blob that the store or the ingest has. The error
// wraps ENOENT when there is none.
func (in *Ingest) ReadBlob(digest string) ([]byte, error) {
	if _, err := in.hold(digest); err != nil {
		return nil, fmt.Errorf("read blob %s: %w", digest, err)
	}
	text, err := readSmall(in.staged(digest))
	return []byte(text), err
}

// Blob adds a small blob whole: an index, a manifest, a config. It is checked
// against digest unless that is "".
func (in *Ingest) Blob(digest string, data []byte) (string, error) {
	got := digestOf(data)
	if digest != "" && got != digest {
		return "", fault.New(fault.Invalid, "add blob %s: the content has digest %s", digest, got)
	}
	if int64(len(data)) > in.limits.Manifest {
		return "", fault.New(fault.Invalid, "add blob %s: larger than %d bytes", got, in.limits.Manifest)
	}
	if err := writeStaged(in.staged(got), data); err != nil {
		return "", err
	}
	in.mu.Lock()
	in.blobs[got] = int64(len(data))
	in.mu.Unlock()
	return got, nil
}

func (in *Ingest) staged(digest string) string {
	return in.stage.Path + "/" + digest[len("sha256:"):]
}

// hold makes sure that the ingest has a link of its own to a blob of the
// store.
func (in *Ingest) hold(digest string) (size int64, err error) {
	if !validID(digest) {
		return 0, fault.New(fault.Unsupported, "digest %.80q is not supported", digest)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if size, ok := in.blobs[digest]; ok {
		return size, nil
	}
	if err := unix.Link(in.s.blobPath(digest), in.staged(digest)); err != nil && !errors.Is(err, fs.ErrExist) {
		return 0, err
	}
	var st unix.Stat_t
	if err := unix.Lstat(in.staged(digest), &st); err != nil {
		return 0, err
	}
	in.blobs[digest] = st.Size
	return st.Size, nil
}

// LayerSpec says what is known of a layer before it comes.
type LayerSpec struct {
	// Descriptor names the blob. An empty digest is for archives that do not
	// say; Size is -1 when it is not known.
	Descriptor
	DiffID  string // digest of the uncompressed stream, or ""
	ChainID string // see ChainIDs, or ""; an unpacked layer that is there is used
}

// Layer is a layer on its way. WriteAt takes pieces of the blob in any order,
// from several goroutines; Finish must follow.
type Layer struct {
	in   *Ingest
	spec LayerSpec
	same *Layer   // the same blob, asked for before
	p    *partial // nil when the blob is there
	off  int64    // of Write

	done chan struct{} // closed when nothing works on it any more
	err  error
	tree string // name in staging; "" when it is not unpacked
	diff string
	kind layer.Compression
	size int64 // of the blob
	res  layer.Result
	once sync.Once
}

// Layer begins a layer. It waits while another process fetches the same blob.
func (in *Ingest) Layer(spec LayerSpec) (*Layer, error) {
	l := &Layer{in: in, spec: spec, done: make(chan struct{}), size: spec.Size}
	if spec.Digest == "" {
		return l, in.beginUnnamed(l)
	}
	if !validID(spec.Digest) {
		return nil, fault.New(fault.Unsupported, "add layer: digest %.80q is not supported", spec.Digest)
	}
	in.mu.Lock()
	l.same = in.layers[spec.Digest]
	if l.same == nil {
		in.layers[spec.Digest] = l
		in.all = append(in.all, l)
	}
	in.mu.Unlock()
	if l.same != nil {
		return l, nil
	}
	have := func() bool {
		size, err := in.hold(spec.Digest)
		l.size = size
		return err == nil
	}
	var err error
	if !have() {
		l.p, err = in.s.openPartial(in.ctx, &spec.Descriptor, have)
	}
	if err != nil || l.p == nil {
		l.err = err
		close(l.done)
		if err != nil {
			in.mu.Lock()
			delete(in.layers, spec.Digest)
			in.mu.Unlock()
		}
		return l, err
	}
	in.start(l)
	return l, nil
}

// beginUnnamed begins a layer whose digest is not known.
func (in *Ingest) beginUnnamed(l *Layer) error {
	in.mu.Lock()
	in.all = append(in.all, l)
	path := in.stage.Path + "/blob" + strconv.Itoa(len(in.all))
	in.mu.Unlock()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		l.err = err
		close(l.done)
		return err
	}
	l.p = &partial{size: l.spec.Size, f: f}
	l.p.more.L = &l.p.mu
	in.start(l)
	return nil
}

func (in *Ingest) start(l *Layer) {
	unpack := l.spec.ChainID == "" || !in.s.hasLayer(l.spec.ChainID)
	if unpack {
		in.mu.Lock()
		l.tree = "layer" + strconv.Itoa(in.trees)
		in.trees++
		in.mu.Unlock()
	}
	go func() {
		defer close(l.done)
		in.slots <- struct{}{}
		l.err = l.receive()
		<-in.slots
		in.mu.Lock()
		defer in.mu.Unlock()
		if l.err != nil {
			in.noteFull(l.err)
			l.p.fail(l.err)
			delete(in.layers, l.spec.Digest) // it may be tried again
			return
		}
		in.layers[l.spec.Digest] = l
	}()
}

// hasLayer reports whether a layer is there, unpacked.
func (s *Store) hasLayer(chain string) bool {
	meta, err := readSmall(s.layerDir(layerKey(chain)) + "/meta")
	return err == nil && metaField(meta, "chain") == chain
}

// receive reads the blob as it comes, unpacks and verifies it.
func (l *Layer) receive() error {
	src := &partialReader{p: l.p}
	head, err := src.peek(6)
	if err != nil {
		return err
	}
	// The digest of a layer that is not compressed is its diff id.
	l.kind = layer.Detect(head)
	plain := l.tree != "" && l.kind == layer.Plain
	var blob io.Reader = src
	sum := sha256.New()
	if !plain {
		blob = io.TeeReader(src, sum)
	}
	if l.tree != "" {
		err = l.in.unpack(l.in.ctx, l, blob)
	} else {
		l.diff, err = l.in.hashDiff(blob, l.spec.Size)
		if err == nil && l.spec.DiffID != "" && l.diff != l.spec.DiffID {
			err = l.wrongDiff(l.spec.DiffID)
		}
	}
	if err != nil && fault.KindOf(err) != fault.Invalid {
		return err
	}
	if plain && err == nil {
		return l.verify(l.res.DiffID)
	}
	if plain {
		src.off, blob = 0, io.TeeReader(src, sum)
	}
	// What follows the compressed stream belongs to the blob, and a wrong
	// digest says more than whatever is wrong with the content.
	if _, cerr := io.Copy(io.Discard, blob); cerr != nil {
		return cerr
	}
	return cmp.Or(l.verify(hexSum(sum)), err)
}

// unpack makes the tree of l in staging from its blob.
func (in *Ingest) unpack(ctx context.Context, l *Layer, blob io.Reader) error {
	plain, err := layer.Decompress(blob, in.s.Zstd)
	if err != nil {
		return err
	}
	err = withTree(in.stage.Path+"/"+l.tree, func(fd int) (err error) {
		o := in.unpackOptions(l.spec.Size)
		o.Digest = true
		l.res, err = layer.Unpack(ctx, plain, fd, o)
		return err
	})
	err = errors.Join(err, plain.Close())
	if err != nil {
		return err
	}
	l.diff = l.res.DiffID
	if l.spec.DiffID != "" && l.diff != l.spec.DiffID {
		return l.wrongDiff(l.spec.DiffID)
	}
	return nil
}

func (l *Layer) wrongDiff(want string) error {
	return fault.New(fault.Invalid, "unpack layer %s: the diff id is %s, not %s", l.spec.Digest, l.diff, want)
}

// hashDiff computes the diff id of a layer whose tree is there: that must not
// come to belong to a blob of something else.
func (in *Ingest) hashDiff(blob io.Reader, size int64) (string, error) {
	plain, err := layer.Decompress(blob, in.s.Zstd)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	var r io.Reader = plain
	if limit := in.unpackOptions(size).MaxStream; limit > 0 {
		r = io.LimitReader(plain, limit)
	}
	_, err = io.Copy(sum, r)
	return hexSum(sum), errors.Join(err, plain.Close())
}

// ErrDigest says that a layer's blob has another digest: it may have been
// damaged on its way.
var ErrDigest = errors.New("wrong digest")

// verify checks the digest and keeps the blob.
func (l *Layer) verify(digest string) error {
	in, p := l.in, l.p
	if p.digest != "" && p.digest != digest {
		p.remove()
		return &fault.Error{Kind: fault.Invalid, Text: "fetch " + p.digest + ": the content has digest " + digest, Err: ErrDigest}
	}
	p.mu.Lock()
	l.size = p.front()
	p.mu.Unlock()
	l.spec.Digest = digest
	err := p.link(in.s.blobPath(digest), in.staged(digest))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("keep blob %s: %w", digest, err)
	}
	in.mu.Lock()
	in.blobs[digest] = l.size
	in.mu.Unlock()
	return nil
}

// Missing returns what has to be fetched: nothing when the blob is there, one
// range of length -1 when its size is not known.
func (l *Layer) Missing() []Range {
	switch {
	case l.same != nil || l.p == nil:
		return nil
	case l.p.size < 0:
		return []Range{{0, -1}}
	}
	return l.p.missing()
}

// Resumed returns how many bytes an earlier process has left.
func (l *Layer) Resumed() int64 {
	if l.p == nil {
		return 0
	}
	return l.p.resumed
}

// WriteAt implements io.WriterAt. It fails once the layer has turned out to be
// unusable, so that the rest need not be fetched. Ranges that start at a
// multiple of 1 MiB are resumed best.
func (l *Layer) WriteAt(b []byte, off int64) (int, error) {
	if l.p == nil {
		return 0, fault.New(fault.Internal, "write layer %s: the blob is there", l.spec.Digest)
	}
	return l.p.WriteAt(b, off)
}

// Write implements io.Writer: the blob from its start.
func (l *Layer) Write(b []byte) (int, error) {
	n, err := l.WriteAt(b, l.off)
	l.off += int64(n)
	return n, err
}

// Finish says that nothing more comes, and why not if err is not nil. It
// returns when the layer is unpacked and its digests are verified. Invalid
// errors blame the content; nothing of the blob is kept then.
func (l *Layer) Finish(err error) error {
	if l.same != nil {
		<-l.same.done
		return l.same.err
	}
	if l.p != nil {
		l.p.end(err)
	}
	<-l.done
	return errors.Join(l.err, l.close())
}

func (l *Layer) close() (err error) {
	l.once.Do(func() {
		if l.p != nil {
			err = l.p.close()
		}
	})
	return err
}

// abort ends the work on a layer that was not finished.
func (l *Layer) abort() {
	if l.p != nil {
		l.p.fail(context.Canceled)
	}
	<-l.done
	_ = l.close() // read again by the next one
}

// DiffID returns the digest of the uncompressed stream once Finish has
// returned, or "" when it was not unpacked.
func (l *Layer) DiffID() string {
	if l.same != nil {
		return l.same.diff
	}
	return l.diff
}
