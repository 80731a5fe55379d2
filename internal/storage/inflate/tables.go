package inflate

import "math/bits"

// A table entry, low byte: how many bits it takes, extra bits included. Bits 8
// to 11: how many of those are the code. From bit 16 on: the literal, or the
// base of a length or distance, or where the second table starts; its width is
// in bits 8 to 11 then.
const (
	isLiteral = 1 << 31
	isSpecial = 1 << 15 // neither literal, length nor distance
	isSub     = 1 << 14 // a second table
	isEnd     = 1 << 13 // end of the block; none of the two: no such code

	litBits  = 11
	distBits = 8
	litMask  = 1<<litBits - 1
	distMask = 1<<distBits - 1

	// Room for the second tables: each code of more than litBits bits takes
	// at most 1<<(15-litBits) entries. The sizes are powers of two for cheap
	// bounds.
	litSize  = 1 << 13
	distSize = 1 << 10

	numLit  = 288
	numDist = 32
	numPre  = 19
	maxLens = numLit + numDist + 138
	maxCode = 15
)

// symbol returns the entry of a symbol, without the length of its code.
func litSymbol(sym int) uint32 {
	switch {
	case sym < 256:
		return isLiteral | uint32(sym)<<16
	case sym == 256:
		return isSpecial | isEnd
	case sym < 265:
		return uint32(sym-254) << 16
	case sym < 285:
		extra := uint32(sym-261) / 4
		return (3+uint32(4+(sym-261)%4)<<extra)<<16 | extra
	case sym == 285:
		return maxMatch << 16
	}
	return isSpecial
}

func distSymbol(sym int) uint32 {
	switch {
	case sym < 4:
		return uint32(sym+1) << 16
	case sym < 30:
		extra := uint32(sym-2) / 2
		return (1+uint32(2+sym%2)<<extra)<<16 | extra
	}
	return isSpecial
}

func preSymbol(sym int) uint32 { return uint32(sym) << 16 }

// build fills a table for the code whose lengths are lens. An incomplete code
// is allowed if it has one symbol or none, as zlib does.
func build(table []uint32, width uint, lens []uint8, symbol func(int) uint32) error {
	var count [maxCode + 2]int
	for _, n := range lens {
		count[n]++
	}
	used := len(lens) - count[0]
	count[0] = 0
	left := 1
	for n := 1; n <= maxCode; n++ {
		left = left<<1 - count[n]
		if left < 0 {
			return ErrData
		}
	}
	if left > 0 && (used > 1 || used == 1 && count[1] != 1) {
		return ErrData
	}
	if left > 0 {
		for i := range table[:1<<width] {
			table[i] = isSpecial
		}
	}
	var next [maxCode + 2]uint32 // first code of each length
	code := uint32(0)
	for n := 1; n <= maxCode; n++ {
		code = (code + uint32(count[n-1])) << 1
		next[n] = code
	}
	sub := uint32(1) << width // where the next second table starts
	subOf := ^uint32(0)       // the prefix that the last one is for
	var subBits uint
	// Symbols in the order of their codes, so that a second table is filled
	// at once.
	var sorted [numLit]uint16
	var at [maxCode + 2]int
	for n := 1; n <= maxCode; n++ {
		at[n+1] = at[n] + count[n]
	}
	for s, n := range lens {
		if n > 0 {
			sorted[at[n]] = uint16(s)
			at[n]++
		}
	}
	for _, s := range sorted[:used] {
		n := uint(lens[s])
		rev := bits.Reverse32(next[n]) >> (32 - n)
		next[n]++
		e := symbol(int(s))
		e += uint32(n) | uint32(n)<<8 // code and extra bits together, and the code's
		if n <= width {
			for i := rev; i < 1<<width; i += 1 << n {
				table[i] = e
			}
			continue
		}
		prefix := rev & (1<<width - 1)
		if prefix != subOf {
			if subOf != ^uint32(0) {
				sub += 1 << subBits
			}
			subOf = prefix
			// As wide as the codes that are left need: they fill it.
			subBits = n - width
			for room := count[n]; room < 1<<subBits && width+subBits < maxCode; {
				subBits++
				room = room<<1 + count[width+subBits]
			}
			table[prefix] = isSpecial | isSub | sub<<16 | uint32(subBits)<<8
		}
		count[n]--
		for i := rev >> width; i < 1<<subBits; i += 1 << (n - width) {
			table[sub+i] = e
		}
	}
	return nil
}

// fixed makes the tables of RFC 1951, 3.2.6.
func (r *Reader) fixed() error {
	if r.isFixed {
		return nil
	}
	for i := range numLit {
		n := uint8(8)
		switch {
		case i >= 280:
		case i >= 256:
			n = 7
		case i >= 144:
			n = 9
		}
		r.lens[i] = n
	}
	for i := range numDist {
		r.lens[numLit+i] = 5
	}
	if err := build(r.lit[:], litBits, r.lens[:numLit], litSymbol); err != nil {
		return err
	}
	r.isFixed = true
	return build(r.dist[:], distBits, r.lens[numLit:numLit+numDist], distSymbol)
}

// preOrder is the order of the code length code (RFC 1951, 3.2.7).
var preOrder = [numPre]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

const preBits = 7

// dynamic reads the codes of a block.
func (r *Reader) dynamic() error {
	r.isFixed = false
	h, err := r.bits(14)
	if err != nil {
		return err
	}
	nlit, ndist, npre := int(h&31)+257, int(h>>5&31)+1, int(h>>10)+4
	if nlit > 286 || ndist > 30 {
		return ErrData // as zlib
	}
	var preLens [numPre]uint8
	for _, s := range preOrder[:npre] {
		n, err := r.bits(3)
		if err != nil {
			return err
		}
		preLens[s] = uint8(n)
	}
	var pre [1 << preBits]uint32
	if err := build(pre[:], preBits, preLens[:], preSymbol); err != nil {
		return err
	}
	for i := 0; i < nlit+ndist; {
		if err := r.need(preBits + 7); err != nil {
			return err
		}
		e := pre[r.bb&(1<<preBits-1)]
		if e&isSpecial != 0 {
			return ErrData
		}
		if err := r.drop(uint(e & 63)); err != nil {
			return err
		}
		sym := uint8(e >> 16)
		if sym < 16 {
			r.lens[i] = sym
			i++
			continue
		}
		var n uint32
		value := uint8(0)
		switch sym {
		case 16:
			if i == 0 {
				return ErrData
			}
			value = r.lens[i-1]
			n, err = r.bits(2)
			n += 3
		case 17:
			n, err = r.bits(3)
			n += 3
		case 18:
			n, err = r.bits(7)
			n += 11
		}
		if err != nil {
			return err
		}
		if i+int(n) > nlit+ndist {
			return ErrData
		}
		for range n {
			r.lens[i] = value
			i++
		}
	}
	if r.lens[256] == 0 {
		return ErrData // no end
	}
	if err := build(r.lit[:], litBits, r.lens[:nlit], litSymbol); err != nil {
		return err
	}
	return build(r.dist[:], distBits, r.lens[nlit:nlit+ndist], distSymbol)
}
