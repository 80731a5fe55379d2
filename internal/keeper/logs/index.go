package logs

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// The index of a raw file is a sequence of entries of 24 bytes, little endian:
//
//	 0  when the chunk was read, nanoseconds since 1970 (clocks may jump back)
//	 8  where it ends in the raw file; it begins where the entry before ends
//	16  bytes lost (a gap), else 0
//	20  check sum of the other bytes
//	22  kind: the stream, a gap, or the end of a run
//	23  version of the format
//
// An entry is written before its bytes. So a crash may leave an entry that
// promises more than the raw file has, and never bytes without an entry: a
// reader stops where the raw file does, and what is missing is still in the
// pipe, where the next writer finds it. It corrects the entry first. What a
// power cut leaves beyond that (entries of zeros, a raw file that is longer
// than the index) is cut off.
type entry struct {
	time int64
	end  int64
	lost uint32 // at most, when more
	kind byte
}

const (
	entrySize    = 24
	indexVersion = 1
)

// The kinds of entry besides the streams.
const (
	kindGap byte = 3
	kindEnd byte = 4
)

func (e *entry) encode(b *[entrySize]byte) {
	binary.LittleEndian.PutUint64(b[0:], uint64(e.time))
	binary.LittleEndian.PutUint64(b[8:], uint64(e.end))
	binary.LittleEndian.PutUint32(b[16:], e.lost)
	b[22], b[23] = e.kind, indexVersion
	binary.LittleEndian.PutUint16(b[20:], checkSum(b[:]))
}

// decode reads an entry, unless it is damaged or of another version.
func (e *entry) decode(b []byte) bool {
	e.time = int64(binary.LittleEndian.Uint64(b[0:]))
	e.end = int64(binary.LittleEndian.Uint64(b[8:]))
	e.lost = binary.LittleEndian.Uint32(b[16:])
	e.kind = b[22]
	return b[23] == indexVersion && binary.LittleEndian.Uint16(b[20:]) == checkSum(b) &&
		e.kind >= Stdout && e.kind <= kindEnd && e.end >= 0
}

func checkSum(b []byte) uint16 {
	h := uint32(2166136261) // FNV-1a
	for i, c := range b[:entrySize] {
		if i != 20 && i != 21 {
			h = (h ^ uint32(c)) * 16777619
		}
	}
	return uint16(h ^ h>>16)
}

// lastEntry finds the last entry of an index that is whole and belongs to a
// raw file of the given size, corrected to it, and how many entries precede
// it. Without any n is 0 and the entry zero.
func lastEntry(idx int, rawSize int64) (e entry, n int64, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(idx, &st); err != nil {
		return e, 0, err
	}
	for n = st.Size / entrySize; n > 0; n-- {
		var b [2 * entrySize]byte // with the one before, for where it begins
		from := max(n-2, 0) * entrySize
		m, err := pread(idx, b[:n*entrySize-from], from)
		if err != nil {
			return e, 0, err
		}
		if int64(m) < n*entrySize-from || !e.decode(b[m-entrySize:m]) {
			continue
		}
		var before entry
		if n > 1 && !before.decode(b[:entrySize]) {
			continue
		}
		if e.end < before.end || before.end > rawSize || before.end == rawSize && e.end > rawSize {
			continue // nothing of it was written
		}
		e.end = min(e.end, rawSize)
		return e, n, nil
	}
	return entry{}, 0, nil
}

func pread(fd int, p []byte, off int64) (int, error) {
	for {
		n, err := unix.Pread(fd, p, off)
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}
