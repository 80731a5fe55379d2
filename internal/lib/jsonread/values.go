package jsonread

import (
	"strconv"
	"time"
	"unsafe"
)

// The functions below read a value into *p. As encoding/json has it, null
// leaves one alone that cannot be nil, and what is there stays where the text
// says nothing of it.

// Decode reads the one value of text by read.
func Decode[T any](text []byte, p *T, read func(*Reader, *T)) error {
	r := New(string(text))
	read(r, p)
	return r.End()
}

// Bool reads true or false.
func Bool[T ~bool](r *Reader, p *T) {
	if !r.Null() {
		*p = T(r.bool())
	}
}

// String reads a string.
func String[T ~string](r *Reader, p *T) {
	if !r.Null() {
		*p = T(r.quoted("a string"))
	}
}

// Int reads an integer.
func Int[T ~int | ~int8 | ~int16 | ~int32 | ~int64](r *Reader, p *T) {
	if !r.Null() {
		*p = T(r.int(int(unsafe.Sizeof(*p)) * 8))
	}
}

// Uint reads an integer that is not negative.
func Uint[T ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64](r *Reader, p *T) {
	if !r.Null() {
		*p = T(r.uint(int(unsafe.Sizeof(*p)) * 8))
	}
}

func (r *Reader) int(bits int) int64 {
	text, integer := r.number()
	n, err := strconv.ParseInt(text, 10, bits)
	if r.err == nil && (!integer || err != nil) {
		r.fail("%s is not an integer of %d bits", text, bits)
	}
	return n
}

func (r *Reader) uint(bits int) uint64 {
	text, integer := r.number()
	n, err := strconv.ParseUint(text, 10, bits)
	if r.err == nil && (!integer || err != nil) {
		r.fail("%s is not an unsigned integer of %d bits", text, bits)
	}
	return n
}

// Time reads a time of RFC 3339.
func Time(r *Reader, p *time.Time) {
	text := r.raw()
	if r.err != nil {
		return
	}
	if err := p.UnmarshalJSON([]byte(text)); err != nil {
		r.fail("%w", err)
	}
}

// Raw reads the text of any value, as it is.
func Raw[T ~[]byte](r *Reader, p *T) { *p = T(r.raw()) }

func (r *Reader) raw() string {
	r.space()
	start := r.pos
	r.Skip()
	return r.text[start:r.pos]
}

// Empty reads an object of which nothing is kept.
func Empty(r *Reader, _ *struct{}) {
	if r.Null() {
		return
	}
	for r.Begin('{'); r.More('}'); {
		r.Key()
		r.Skip()
	}
}

// Ignore reads any value, of which nothing is kept.
func Ignore[T any](r *Reader, _ *T) { r.Skip() }

// Pointer reads a value by read into what *p points to; null is nil.
func Pointer[E any](r *Reader, p **E, read func(*Reader, *E)) {
	if r.Null() {
		*p = nil
		return
	}
	if *p == nil {
		*p = new(E)
	}
	read(r, *p)
}

// Slice reads an array whose elements read reads; null is nil.
func Slice[S ~[]E, E any](r *Reader, p *S, read func(*Reader, *E)) {
	if r.Null() {
		*p = nil
		return
	}
	n := 0
	for r.Begin('['); r.More(']'); n++ {
		// Elements of an array that came before are read into, not replaced.
		if n == cap(*p) {
			var zero E
			*p = append(*p, zero)
		} else if n == len(*p) {
			*p = (*p)[:n+1]
		}
		read(r, &(*p)[n])
	}
	if *p = (*p)[:n]; n == 0 {
		*p = S{}
	}
}

// Array reads an array of a length that is known: elements too many are
// passed over, and those that are missing are zero.
func Array[E any](r *Reader, list []E, read func(*Reader, *E)) {
	if r.Null() {
		return
	}
	n := 0
	for r.Begin('['); r.More(']'); n++ {
		if n < len(list) {
			read(r, &list[n])
		} else {
			r.Skip()
		}
	}
	if n < len(list) {
		clear(list[n:])
	}
}

// Map reads an object whose members read reads; null is nil.
func Map[M ~map[string]E, E any](r *Reader, p *M, read func(*Reader, *E)) {
	if r.Null() {
		*p = nil
		return
	}
	if *p == nil {
		*p = M{}
	}
	for r.Begin('{'); r.More('}'); {
		k := r.Key()
		var e E
		read(r, &e)
		(*p)[k] = e
	}
}

// Strings reads an array of strings; null is nil.
func Strings(r *Reader, p *[]string) { Slice(r, p, String) }

// StringMap reads an object of strings; null is nil.
func StringMap(r *Reader, p *map[string]string) { Map(r, p, String) }
