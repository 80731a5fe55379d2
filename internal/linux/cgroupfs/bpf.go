package cgroupfs

import (
	"errors"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// The parts of union bpf_attr that are used here (linux/bpf.h). Pointers are
// pointers, so that the collector sees them; tare runs on 64 bits only.
type (
	bpfLoad struct {
		progType, insnCount uint32
		insns               unsafe.Pointer
		license             unsafe.Pointer
		logLevel, logSize   uint32
		log                 unsafe.Pointer
		kernVersion, flags  uint32
		name                [16]byte
		ifindex, attachType uint32
	}
	bpfAttach struct {
		target, prog, attachType, flags, replace uint32
	}
	bpfQuery struct {
		target, attachType, queryFlags, attachFlags uint32
		ids                                         unsafe.Pointer
		count                                       uint32
		_                                           uint32
	}
	bpfByID struct{ id, next, flags uint32 }
)

func bpf(cmd int, attr unsafe.Pointer, size uintptr) (int, error) {
	for {
		fd, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(cmd), uintptr(attr), size)
		if errno == 0 {
			return int(fd), nil
		}
		if errno != unix.EINTR && errno != unix.EAGAIN { // the verifier gives way to signals
			return -1, errno
		}
	}
}

// attachDevices loads a device program and makes it the only one of the group:
// what is there from before is replaced, in one step where it is one program.
// Groups above keep theirs, and all of them have to allow an access. A fresh
// group has none.
func attachDevices(dir int, insns []uint64, fresh bool) error {
	prog, err := loadDevices(insns)
	if err != nil {
		return err
	}
	defer closeFD(&prog)

	var old []int
	if !fresh {
		old, err = attached(dir)
	}
	defer func() {
		for i := range old {
			closeFD(&old[i])
		}
	}()
	if err != nil {
		return err
	}
	a := bpfAttach{target: uint32(dir), prog: uint32(prog), attachType: unix.BPF_CGROUP_DEVICE, flags: unix.BPF_F_ALLOW_MULTI}
	if len(old) == 1 {
		a.flags |= unix.BPF_F_REPLACE // 5.6
		a.replace = uint32(old[0])
	}
	if _, err := bpf(unix.BPF_PROG_ATTACH, unsafe.Pointer(&a), unsafe.Sizeof(a)); err != nil {
		return err
	}
	if len(old) == 1 {
		return nil
	}
	for _, fd := range old {
		d := bpfAttach{target: uint32(dir), prog: uint32(fd), attachType: unix.BPF_CGROUP_DEVICE}
		if _, err := bpf(unix.BPF_PROG_DETACH, unsafe.Pointer(&d), unsafe.Sizeof(d)); err != nil {
			return err
		}
	}
	return nil
}

// loadDevices returns the fd of a verified program.
func loadDevices(insns []uint64) (int, error) {
	license := [...]byte{'A', 'p', 'a', 'c', 'h', 'e', '-', '2', '.', '0', 0}
	a := bpfLoad{
		progType:   unix.BPF_PROG_TYPE_CGROUP_DEVICE,
		insnCount:  uint32(len(insns)),
		insns:      unsafe.Pointer(unsafe.SliceData(insns)),
		license:    unsafe.Pointer(&license),
		attachType: unix.BPF_CGROUP_DEVICE,
	}
	copy(a.name[:], "tare_devices")
	fd, err := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&a), unsafe.Sizeof(a))
	if err == nil || errors.Is(err, unix.EPERM) {
		return fd, err
	}
	// Again, for the verifier's reason.
	log := make([]byte, 64<<10)
	a.logLevel, a.logSize, a.log = 1, uint32(len(log)), unsafe.Pointer(unsafe.SliceData(log))
	fd, again := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&a), unsafe.Sizeof(a))
	runtime.KeepAlive(log)
	if again == nil {
		return fd, nil
	}
	text, _, _ := strings.Cut(string(log), "\x00")
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return -1, fault.New(fault.KindOf(err), "load device program: %w (%s)", err, lines[max(0, len(lines)-2)])
}

// attached returns fds of the device programs that dir itself has.
func attached(dir int) ([]int, error) {
	var ids [64]uint32 // BPF_CGROUP_MAX_PROGS
	q := bpfQuery{target: uint32(dir), attachType: unix.BPF_CGROUP_DEVICE, ids: unsafe.Pointer(&ids), count: uint32(len(ids))}
	if _, err := bpf(unix.BPF_PROG_QUERY, unsafe.Pointer(&q), unsafe.Sizeof(q)); err != nil {
		return nil, err
	}
	var fds []int
	for _, id := range ids[:min(int(q.count), len(ids))] {
		b := bpfByID{id: id}
		fd, err := bpf(unix.BPF_PROG_GET_FD_BY_ID, unsafe.Pointer(&b), unsafe.Sizeof(b))
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return fds, err
		}
		fds = append(fds, fd)
	}
	return fds, nil
}
