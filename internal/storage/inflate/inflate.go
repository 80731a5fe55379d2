// Package inflate decompresses gzip (RFC 1951, RFC 1952), which is most of the
// work of unpacking an image's layer.
//
// It differs from other decoders in what it writes to: buffers of the caller
// that keep 32 KiB of history in front of them, so that a chunk is handed on
// without a copy, and a fast loop that keeps its state in registers, with 64
// bits of input at a time and one table look-up for most symbols, as in
// libdeflate. A test holds it equal to compress/flate.
package inflate

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

const (
	// Window is how far back a match can reach: the caller keeps as many
	// bytes in front of where a chunk starts.
	Window = 32 << 10
	// Slack is the room that a chunk needs behind its nominal end.
	Slack = maxMatch + 16

	maxMatch = 258
	inSize   = 128 << 10
	inPad    = 16 // of each iteration of the fast loop: two refills of 8 bytes
)

// The errors of damaged streams; one that is cut short is
// io.ErrUnexpectedEOF.
var (
	ErrHeader   = errors.New("no valid gzip header")
	ErrData     = errors.New("damaged deflate data")
	ErrChecksum = errors.New("wrong checksum")
)

type state uint8

const (
	inHeader state = iota
	inBlockHeader
	inStored
	inHuffman
	inTrailer
	atEnd
)

// Reader decompresses a gzip stream of one or more members.
type Reader struct {
	src    io.Reader
	srcErr error // io.EOF at the end of src

	in     []byte // with inPad bytes behind ie
	ip, ie int
	bb     uint64 // bits that were taken from in, the next one lowest
	bn     uint   // how many

	state  state
	last   bool // this is the member's last block
	stored int  // bytes that are left of a stored block
	first  bool // no member has been read
	hist   int  // bytes of this member, as far as matches can reach
	sum    uint32
	size   uint32

	isFixed bool // the tables are the fixed ones
	lit     [litSize]uint32
	dist    [distSize]uint32
	lens    [maxLens]uint8
}

// NewReader returns a Reader of src. It reads ahead.
func NewReader(src io.Reader) *Reader {
	return &Reader{src: src, in: make([]byte, inSize+inPad), first: true}
}

// Next decompresses into buf from start on and returns where it ended, at most
// Slack bytes before the end of buf. The Window bytes before start are what the
// call before has written last. io.EOF comes with no data.
func (r *Reader) Next(buf []byte, start int) (end int, err error) {
	at, sum := start, start // all before sum is in the checksum
	limit := len(buf) - Slack
	for at < limit {
		was := at
		switch r.state {
		case inHeader:
			err = r.header()
		case inBlockHeader:
			err = r.blockHeader()
		case inStored:
			at, err = r.copyStored(buf, at, limit)
		case inHuffman:
			at, err = r.huffman(buf, at, limit)
		case inTrailer:
			r.sum = crc32.Update(r.sum, crc32.IEEETable, buf[sum:at])
			sum = at
			err = r.trailer()
		case atEnd:
			err = io.EOF
		}
		r.hist = min(r.hist+at-was, Window)
		r.size += uint32(at - was)
		if r.state == inHeader {
			r.hist, r.size, r.sum = 0, 0, 0
		}
		if err != nil {
			break
		}
	}
	r.sum = crc32.Update(r.sum, crc32.IEEETable, buf[sum:at])
	if err == io.EOF && at > start { //nolint:errorlint // set above
		err = nil
	}
	return at, err
}

// fill reads until there are inPad bytes, or the end.
func (r *Reader) fill() error {
	if r.ie-r.ip >= inPad || r.srcErr != nil {
		return r.failed()
	}
	r.giveBack() // so that the bytes of r.bb stay in r.in
	copy(r.in, r.in[r.ip:r.ie])
	r.ie -= r.ip
	r.ip = 0
	for r.ie < inPad && r.srcErr == nil {
		var n int
		n, r.srcErr = r.src.Read(r.in[r.ie:inSize])
		r.ie += n
	}
	if r.srcErr != nil {
		clear(r.in[r.ie : r.ie+inPad]) // what is read there is found to be too much
	}
	return r.failed()
}

// failed returns the error of the source, or that more was taken than it had.
func (r *Reader) failed() error {
	if r.srcErr == nil {
		return nil
	}
	if r.srcErr != io.EOF { //nolint:errorlint // as io.Reader wants it
		return r.srcErr
	}
	if r.ip-int(r.bn/8) > r.ie {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// need makes sure of n bits, at most 32; at the end there may be fewer.
func (r *Reader) need(n uint) error {
	for r.bn < n {
		if r.ip >= r.ie {
			if err := r.fill(); err != nil || r.ip >= r.ie {
				return err
			}
		}
		r.bb |= uint64(r.in[r.ip]) << r.bn
		r.ip++
		r.bn += 8
	}
	return nil
}

// drop takes bits that need has asked for.
func (r *Reader) drop(n uint) error {
	if n > r.bn {
		return io.ErrUnexpectedEOF
	}
	r.bb >>= n
	r.bn -= n
	return nil
}

// bits takes n bits, at most 32.
func (r *Reader) bits(n uint) (uint32, error) {
	if err := r.need(n); err != nil {
		return 0, err
	}
	v := uint32(r.bb & (1<<n - 1))
	return v, r.drop(n)
}

// giveBack returns whole bytes from bb to in.
func (r *Reader) giveBack() {
	r.ip -= int(r.bn / 8)
	r.bn %= 8
	r.bb &= 1<<r.bn - 1
}

// align drops the bits up to the next byte.
func (r *Reader) align() {
	r.giveBack()
	r.bb, r.bn = 0, 0
}

const (
	flagHCRC    = 1 << 1
	flagExtra   = 1 << 2
	flagName    = 1 << 3
	flagComment = 1 << 4
)

// header reads a member's header. Zeroes may follow the last member, as gzip
// allows it.
func (r *Reader) header() error {
	first := r.first
	r.first = false
	id, err := r.bits(8)
	for !first && err == nil && id == 0 {
		id, err = r.bits(8)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) && !first {
		r.state = atEnd
		return nil
	}
	if err != nil {
		return err
	}
	rest, err := r.bits(24)
	if err != nil {
		return err
	}
	flags := rest >> 16
	if id != 0x1f || rest&0xffff != 0x088b || flags&^31 != 0 {
		return ErrHeader
	}
	if err := r.skip(6); err != nil { // time, level, system
		return err
	}
	if flags&flagExtra != 0 {
		n, err := r.bits(16)
		if err == nil {
			err = r.skip(int(n))
		}
		if err != nil {
			return err
		}
	}
	for _, f := range [...]uint32{flagName, flagComment} {
		for flags&f != 0 {
			c, err := r.bits(8)
			if err != nil {
				return err
			}
			if c == 0 {
				break
			}
		}
	}
	if flags&flagHCRC != 0 {
		if err := r.skip(2); err != nil {
			return err
		}
	}
	r.state = inBlockHeader
	return nil
}

func (r *Reader) skip(n int) error {
	for range n {
		if _, err := r.bits(8); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) trailer() error {
	r.align()
	sum, err := r.bits(16)
	hi, err2 := r.bits(16)
	size, err3 := r.bits(16)
	hi2, err4 := r.bits(16)
	if err := errors.Join(err, err2, err3, err4); err != nil {
		return io.ErrUnexpectedEOF
	}
	if sum|hi<<16 != r.sum || size|hi2<<16 != r.size {
		return ErrChecksum
	}
	r.state = inHeader
	return nil
}

func (r *Reader) blockHeader() error {
	if r.last {
		r.last = false
		r.state = inTrailer
		return nil
	}
	h, err := r.bits(3)
	if err != nil {
		return err
	}
	r.last = h&1 != 0
	switch h >> 1 {
	case 0:
		r.align()
		n, err := r.bits(16)
		if err != nil {
			return err
		}
		not, err := r.bits(16)
		if err != nil {
			return err
		}
		if n != ^not&0xffff {
			return ErrData
		}
		r.stored, r.state = int(n), inStored
		return nil
	case 1:
		if err := r.fixed(); err != nil {
			return err
		}
	case 2:
		if err := r.dynamic(); err != nil {
			return err
		}
	default:
		return ErrData
	}
	r.state = inHuffman
	return nil
}

func (r *Reader) copyStored(buf []byte, at, limit int) (int, error) {
	for r.stored > 0 && at < limit {
		if r.ip >= r.ie {
			if err := r.fill(); err != nil {
				return at, err
			}
			if r.ip >= r.ie {
				return at, io.ErrUnexpectedEOF
			}
		}
		n := copy(buf[at:limit], r.in[r.ip:min(r.ie, r.ip+r.stored)])
		at += n
		r.ip += n
		r.stored -= n
	}
	if r.stored == 0 {
		r.state = inBlockHeader
	}
	return at, nil
}

// huffman decodes symbols until the block, the room or the input ends.
func (r *Reader) huffman(buf []byte, at, limit int) (int, error) {
	if err := r.fill(); err != nil {
		return at, err
	}
	inLimit := r.ie - inPad
	if r.srcErr != nil {
		inLimit = r.ie // the zeroes behind it are read, too
	}
	was := r.ip
	at, err := r.symbols(buf, at, limit, inLimit)
	if r.srcErr != nil {
		if err := r.failed(); err != nil {
			return at, err
		}
		if err == nil && r.state == inHuffman && r.ip == was && at < limit {
			return at, io.ErrUnexpectedEOF
		}
	}
	return at, err
}

// symbols is the fast loop.
func (r *Reader) symbols(out []byte, op, limit, inLimit int) (int, error) {
	in, ip, bb, bn := r.in, r.ip, r.bb, r.bn
	oldest := op - r.hist // no match reaches before it
	lit, dist := &r.lit, &r.dist
	var err error
loop:
	for op < limit && ip <= inLimit {
		bb |= binary.LittleEndian.Uint64(in[ip:]) << (bn & 63)
		ip += int(63-bn) >> 3
		bn |= 56
		e := lit[bb&litMask]
		if e&isLiteral != 0 {
			bb >>= e & 63
			bn -= uint(e & 63)
			out[op] = byte(e >> 16)
			op++
			e = lit[bb&litMask]
			if e&isLiteral != 0 {
				bb >>= e & 63
				bn -= uint(e & 63)
				out[op] = byte(e >> 16)
				op++
				e = lit[bb&litMask]
				if e&isLiteral != 0 {
					bb >>= e & 63
					bn -= uint(e & 63)
					out[op] = byte(e >> 16)
					op++
					continue
				}
			}
		}
		// At most 22 of 56 bits are gone.
		if e&isSpecial != 0 {
			if e&isSub != 0 {
				e = lit[(e>>16+uint32(bb>>litBits)&(1<<(e>>8&15)-1))%litSize]
				if e&isLiteral != 0 {
					bb >>= e & 63
					bn -= uint(e & 63)
					out[op] = byte(e >> 16)
					op++
					continue
				}
			}
			if e&isSpecial != 0 {
				if e&isEnd == 0 {
					err = ErrData
					break loop
				}
				bb >>= e & 63
				bn -= uint(e & 63)
				r.state = inBlockHeader
				break loop
			}
		}
		length := int(e>>16) + int(bb&(1<<(e&63)-1)>>(e>>8&15))
		bb >>= e & 63
		bn -= uint(e & 63)

		bb |= binary.LittleEndian.Uint64(in[ip:]) << (bn & 63)
		ip += int(63-bn) >> 3
		bn |= 56
		e = dist[bb&distMask]
		if e&isSpecial != 0 {
			if e&isSub != 0 {
				e = dist[(e>>16+uint32(bb>>distBits)&(1<<(e>>8&15)-1))%distSize]
			}
			if e&isSpecial != 0 {
				err = ErrData
				break
			}
		}
		from := op - int(e>>16) - int(bb&(1<<(e&63)-1)>>(e>>8&15))
		bb >>= e & 63
		bn -= uint(e & 63)
		if from < oldest || from < 0 {
			err = ErrData
			break
		}

		end := op + length
		if op-from >= 8 {
			// Up to seven bytes too many are overwritten by what follows.
			for {
				binary.LittleEndian.PutUint64(out[op:], binary.LittleEndian.Uint64(out[from:]))
				op += 8
				from += 8
				if op >= end {
					break
				}
			}
			op = end
			continue
		}
		for op < end {
			out[op] = out[from]
			op++
			from++
		}
	}
	r.ip, r.bb, r.bn = ip, bb&(1<<bn-1), bn
	return op, err
}
