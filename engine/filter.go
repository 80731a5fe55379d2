package engine

import (
	"encoding/binary"
	"hash/fnv"
	"os"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/fsatomic"
	"github.com/tare-engine/tare/seccomp"
	"golang.org/x/sys/unix"
)

// Compiled default profiles are kept in the run root, which only root can
// write: RUN/seccomp/KEY holds flags, a checksum and the program, 8 bytes an
// instruction. Reading one takes a tenth of compiling it.

// cachedFilter returns the default profile for h, or nil with the draft's
// filter set when this very tare has compiled it before.
func (e *Engine) cachedFilter(d *draft, h seccomp.Host) *specs.LinuxSeccomp {
	path := e.filterPath(h)
	if path == "" {
		return seccomp.Default(h)
	}
	if b, err := os.ReadFile(path); err == nil {
		if prog, flags, ok := decodeFilter(b); ok {
			d.filter, d.filterFlags = prog, flags
			return nil
		}
	}
	d.compiled = func(prog []unix.SockFilter, flags uint32) {
		dir := e.opt.RunRoot + "/seccomp"
		if err := os.MkdirAll(dir, 0o700); err == nil {
			// Without it the next start compiles too.
			_ = fsatomic.WriteFile(path, encodeFilter(prog, flags), 0o600, fsatomic.Volatile)
		}
	}
	return seccomp.Default(h)
}

// filterPath names the program by all that it follows from: the profile and
// the compiler (the program file itself), the kernel, the capabilities.
func (e *Engine) filterPath(h seccomp.Host) string {
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
	return e.opt.RunRoot + "/seccomp/" + strconv.FormatUint(k.Sum64(), 16)
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
