package ground

import (
	"encoding/binary"
	"hash/fnv"
	"os"
	"strconv"

	"github.com/tare-engine/tare/internal/engine/compose"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"github.com/tare-engine/tare/internal/spec/seccomp"
	"golang.org/x/sys/unix"
)

// Compiled default profiles are kept in the run root, which only root can
// write: RUN/seccomp/KEY holds flags, a checksum and the program, 8 bytes an
// instruction. Reading one takes a tenth of compiling it.

// Filter is a compiled seccomp program, or what keeps one that has to be
// compiled.
type Filter struct {
	Prog  []unix.SockFilter // nil: it is compiled from the profile
	Flags uint32            // SECCOMP_FILTER_FLAG_*
	Keep  func([]unix.SockFilter, uint32)
}

// CachedFilter finds the program of the default profile, compiled before by the
// same tare for the same capabilities.
func (g *Ground) CachedFilter(in *compose.Inputs) (f Filter) {
	h, isDefault := compose.DefaultFilter(in)
	if !isDefault {
		return f
	}
	path := g.filterPath(h)
	if path == "" {
		return f
	}
	if b, err := os.ReadFile(path); err == nil {
		if prog, flags, ok := decodeFilter(b); ok {
			return Filter{Prog: prog, Flags: flags}
		}
	}
	f.Keep = func(prog []unix.SockFilter, flags uint32) {
		dir := g.RunRoot + "/seccomp"
		if err := os.MkdirAll(dir, 0o700); err == nil {
			// Without it the next start compiles too.
			_ = fsatomic.WriteFile(path, encodeFilter(prog, flags), 0o600, fsatomic.Volatile)
		}
	}
	return f
}

// filterPath names the program by all that it follows from: the profile and
// the compiler (the program file itself), the kernel, the capabilities.
func (g *Ground) filterPath(h seccomp.Host) string {
	var exe unix.Stat_t
	if err := unix.Stat("/proc/self/exe", &exe); err != nil {
		return ""
	}
	k := fnv.New64a()
	var b [8]byte
	for _, v := range []uint64{exe.Dev, exe.Ino, uint64(exe.Size), uint64(exe.Mtim.Nano()), uint64(exe.Ctim.Nano()), uint64(h.Kernel.Major), uint64(h.Kernel.Minor)} {
		binary.LittleEndian.PutUint64(b[:], v)
		_, _ = k.Write(b[:]) // never fails
	}
	for _, s := range append([]string{h.GOARCH}, h.Caps...) {
		_, _ = k.Write([]byte(s))
		_, _ = k.Write([]byte{0})
	}
	return g.RunRoot + "/seccomp/" + strconv.FormatUint(k.Sum64(), 16)
}

func checksum(b []byte) uint64 {
	k := fnv.New64a()
	_, _ = k.Write(b) // never fails
	return k.Sum64()
}

func encodeFilter(prog []unix.SockFilter, flags uint32) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(flags))
	b = append(b, make([]byte, 8)...)
	for _, i := range prog {
		b = binary.LittleEndian.AppendUint16(b, i.Code)
		b = append(b, i.Jt, i.Jf)
		b = binary.LittleEndian.AppendUint32(b, i.K)
	}
	binary.LittleEndian.PutUint64(b[8:], checksum(b[16:]))
	return b
}

func decodeFilter(b []byte) ([]unix.SockFilter, uint32, bool) {
	if len(b) < 24 || len(b)%8 != 0 || checksum(b[16:]) != binary.LittleEndian.Uint64(b[8:]) {
		return nil, 0, false
	}
	prog := make([]unix.SockFilter, 0, len(b)/8)
	for p := b[16:]; len(p) > 0; p = p[8:] {
		prog = append(prog, unix.SockFilter{
			Code: binary.LittleEndian.Uint16(p), Jt: p[2], Jf: p[3], K: binary.LittleEndian.Uint32(p[4:]),
		})
	}
	return prog, binary.LittleEndian.Uint32(b), true
}
