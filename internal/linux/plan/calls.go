package plan

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// The methods below append one call each, for the calls that starts need.
// They take the side that makes the call, then the operands in the order of
// the manual page.

// Fd is a descriptor operand that is a constant, such as unix.AT_FDCWD.
func Fd(n int) Arg { return Int(int64(n)) }

// CWD is AT_FDCWD.
var CWD = Fd(unix.AT_FDCWD)

// InRoot resolves a path as if the directory were "/", and refuses the magic
// links of procfs: no path of an image leaves the root (CVE-2021-30465,
// CVE-2024-21626).
const InRoot = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS

// Openat2 opens path below dir. O_CLOEXEC is added.
func (p *Plan) Openat2(side Side, name string, dir Arg, path string, flags, mode int, resolve uint64, opts ...Opt) Slot {
	how := p.Words(MemOpenHow, uint64(flags|unix.O_CLOEXEC), uint64(mode), resolve)
	return p.Open(side, name, unix.SYS_OPENAT2, []Arg{dir, p.Str(path), how, Int(24)}, opts...)
}

// OpenInto is Openat2 into a slot that exists, for a second try.
func (p *Plan) OpenInto(side Side, s Slot, dir Arg, path string, flags int, resolve uint64, opts ...Opt) {
	how := p.Words(MemOpenHow, uint64(flags|unix.O_CLOEXEC), 0, resolve)
	p.call(side, unix.SYS_OPENAT2, []Arg{dir, p.Str(path), how, Int(24)}, opts).Out = s
}

// Mkdirat makes a directory.
func (p *Plan) Mkdirat(side Side, dir Arg, path string, mode uint32, opts ...Opt) {
	p.Call(side, unix.SYS_MKDIRAT, []Arg{dir, p.Str(path), Int(mode)}, opts...)
}

// Mknodat makes a device node, or with S_IFREG an empty file.
func (p *Plan) Mknodat(side Side, dir Arg, path string, mode uint32, dev uint64, opts ...Opt) {
	p.Call(side, unix.SYS_MKNODAT, []Arg{dir, p.Str(path), Int(mode), Int(dev)}, opts...)
}

// Symlinkat makes a symbolic link.
func (p *Plan) Symlinkat(side Side, target string, dir Arg, path string, opts ...Opt) {
	p.Call(side, unix.SYS_SYMLINKAT, []Arg{p.Str(target), dir, p.Str(path)}, opts...)
}

// Write writes all of text in one call; less is a failure.
func (p *Plan) Write(side Side, fd Arg, text string, opts ...Opt) {
	// Str would refuse a NUL, which may be written.
	p.align()
	off := len(p.Data)
	p.Data = append(append(p.Data, text...), 0)
	from := p.piece(off, len(text), MemString)
	p.call(side, unix.SYS_WRITE, []Arg{fd, from, Int(len(text))}, opts).want = int32(len(text))
}

// Close closes a descriptor.
func (p *Plan) Close(side Side, fd Arg) { p.Call(side, unix.SYS_CLOSE, []Arg{fd}) }

// Fsopen opens a file system context.
func (p *Plan) Fsopen(side Side, fstype string, opts ...Opt) Slot {
	return p.Open(side, "fs:"+fstype, unix.SYS_FSOPEN, []Arg{p.Str(fstype), Int(unix.FSOPEN_CLOEXEC)}, opts...)
}

// FsString sets a string parameter of a file system context.
func (p *Plan) FsString(side Side, fs Slot, key, value string) {
	p.Call(side, unix.SYS_FSCONFIG, []Arg{fs.Arg(), Int(unix.FSCONFIG_SET_STRING), p.Str(key), p.Str(value), Int(0)})
}

// FsFlag sets a parameter without value.
func (p *Plan) FsFlag(side Side, fs Slot, key string) {
	p.Call(side, unix.SYS_FSCONFIG, []Arg{fs.Arg(), Int(unix.FSCONFIG_SET_FLAG), p.Str(key), Int(0), Int(0)})
}

// FsFd sets a parameter to a descriptor.
func (p *Plan) FsFd(side Side, fs Slot, key string, fd Arg) {
	p.Call(side, unix.SYS_FSCONFIG, []Arg{fs.Arg(), Int(unix.FSCONFIG_SET_FD), p.Str(key), Int(0), fd})
}

// FsCreate makes the superblock.
func (p *Plan) FsCreate(side Side, fs Slot, opts ...Opt) {
	p.Call(side, unix.SYS_FSCONFIG, []Arg{fs.Arg(), Int(unix.FSCONFIG_CMD_CREATE), Int(0), Int(0), Int(0)}, opts...)
}

// Fsmount makes a detached mount of a file system context. The attrs are
// MOUNT_ATTR_*.
func (p *Plan) Fsmount(side Side, name string, fs Slot, attrs int, opts ...Opt) Slot {
	return p.Open(side, name, unix.SYS_FSMOUNT, []Arg{fs.Arg(), Int(unix.FSMOUNT_CLOEXEC), Int(attrs)}, opts...)
}

// OpenTree makes a detached copy of the mount at dir/path. An empty path
// means dir itself.
func (p *Plan) OpenTree(side Side, name string, dir Arg, path string, recursive bool, opts ...Opt) Slot {
	flags := unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC
	if path == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	return p.Open(side, name, unix.SYS_OPEN_TREE, []Arg{dir, p.Str(path), Int(flags)}, opts...)
}

// Attrs is what mount_setattr changes.
type Attrs struct {
	Set, Clear, Propagation uint64
	UserNS                  Slot // for MOUNT_ATTR_IDMAP
}

// MountSetattr changes the attributes of the mount that fd stands for.
func (p *Plan) MountSetattr(side Side, fd Arg, recursive bool, a Attrs, opts ...Opt) {
	flags := unix.AT_EMPTY_PATH
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	attr := p.Words(MemMountAttr, a.Set, a.Clear, a.Propagation, 0)
	if a.UserNS != 0 {
		p.StoreSlot(side, attr, 24, a.UserNS)
	}
	p.Call(side, unix.SYS_MOUNT_SETATTR, []Arg{fd, p.Str(""), Int(flags), attr, Int(32)}, opts...)
}

// MoveMount attaches the mount that from stands for on top of the file or
// directory that to stands for.
func (p *Plan) MoveMount(side Side, from, to Arg, opts ...Opt) {
	empty := p.Str("")
	p.Call(side, unix.SYS_MOVE_MOUNT, []Arg{
		from, empty, to, empty,
		Int(unix.MOVE_MOUNT_F_EMPTY_PATH | unix.MOVE_MOUNT_T_EMPTY_PATH),
	}, opts...)
}

// StoreSlot writes the low 32 bits of s to offset off of the memory in.
func (p *Plan) StoreSlot(side Side, in Arg, off int, s Slot) {
	at := p.piece(int(p.Mem[in.val].Off)+off, 4, MemBytes)
	p.Call(side, Store, []Arg{at, s.Arg()})
}

// LoadSlot reads the 32 bits at offset off of the memory in.
func (p *Plan) LoadSlot(side Side, name string, in Arg, off int, opts ...Opt) Slot {
	return p.Open(side, name, Load, []Arg{p.piece(int(p.Mem[in.val].Off)+off, 4, MemBytes)}, opts...)
}

// ModeOf returns the type and permission bits of the file that fd stands for.
func (p *Plan) ModeOf(side Side, fd Slot, opts ...Opt) Slot {
	// struct statx is the same on every architecture; stx_mode is a u16 at 28,
	// with zeros behind it.
	buf := p.Bytes(make([]byte, 256))
	p.Call(side, unix.SYS_STATX, []Arg{fd.Arg(), p.Str(""), Int(unix.AT_EMPTY_PATH), Int(unix.STATX_MODE), buf}, opts...)
	return p.LoadSlot(side, "mode", buf, 28, opts...)
}

// WantDevice makes everything but the device of these numbers a failure.
func (p *Plan) WantDevice(side Side, fd Slot, major, minor int) {
	// stx_rdev_major and stx_rdev_minor are u32 at 128 and 132; they are 0 for
	// what is no device.
	buf := p.Bytes(make([]byte, 256))
	p.Call(side, unix.SYS_STATX, []Arg{fd.Arg(), p.Str(""), Int(unix.AT_EMPTY_PATH), Int(unix.STATX_BASIC_STATS), buf})
	p.LoadSlot(side, "major", buf, 128, Want(major))
	p.LoadSlot(side, "minor", buf, 132, Want(minor))
}

// CheckDevice fails with EINVAL unless name is the device of these numbers.
func (p *Plan) CheckDevice(side Side, dir Slot, name string, major, minor uint32, when Opt) {
	// stx_rdev_major and stx_rdev_minor are at 128 and 132.
	buf := p.Bytes(make([]byte, 256))
	p.Call(side, unix.SYS_STATX, []Arg{dir.Arg(), p.Str(name), Int(unix.AT_SYMLINK_NOFOLLOW), Int(unix.STATX_TYPE), buf}, when)
	p.LoadSlot(side, "major", buf, 128, when, Want(int(major)))
	p.LoadSlot(side, "minor", buf, 132, when, Want(int(minor)))
}

// Prctl appends a prctl call.
func (p *Plan) Prctl(side Side, option int, a2, a3 uint64, opts ...Opt) {
	p.Call(side, unix.SYS_PRCTL, []Arg{Int(option), Int(a2), Int(a3), Int(0), Int(0)}, opts...)
}

// Setns joins the namespace that fd stands for.
func (p *Plan) Setns(side Side, fd Slot, nstype int, opts ...Opt) {
	p.Call(side, unix.SYS_SETNS, []Arg{fd.Arg(), Int(nstype)}, opts...)
}

// Rlimit sets a limit of the calling process.
func (p *Plan) Rlimit(side Side, resource int, soft, hard uint64, opts ...Opt) {
	p.Call(side, unix.SYS_PRLIMIT64, []Arg{Int(0), Int(resource), p.Words(MemRlimit, soft, hard), Int(0)}, opts...)
}

// Gate makes the child wait until one byte can be read from fd. The end of
// the pipe (the engine is gone) is a failure.
func (p *Plan) Gate(fd Slot) {
	p.Call(InChild, unix.SYS_READ, []Arg{fd.Arg(), p.Bytes(make([]byte, 8)), Int(1)}, Want(1))
}

// Fork puts a fresh process in the child's place: one that is in the pid
// namespace that the child has joined or unshared. It is a child of the
// engine as well (CLONE_PARENT). A plan has one Fork at most, and no gate
// before it: the engine waits for the first process to end.
func (p *Plan) Fork() {
	if p.forked.kind == memory {
		p.invalid("plan: more than one fork")
	}
	// The kernel writes the pid before the new process runs: it is known
	// whatever happens to the caller then.
	args := p.Words(MemCloneArgs, unix.CLONE_PARENT|unix.CLONE_PARENT_SETTID, 0, 0, 0, 0, 0, 0, 0)
	p.forked = p.Words(MemBytes, 0)
	p.Pointer(args, 24, p.forked)
	p.Call(InChild, unix.SYS_CLONE3, []Arg{args, Int(64)}, Opt{apply: optFork})
}

// Program puts a classic BPF program and its sock_fprog into memory. It has
// 4096 instructions at most (BPF_MAXINSNS).
func (p *Plan) Program(insns []unix.SockFilter) Arg {
	if len(insns) > unix.BPF_MAXINSNS {
		p.invalid("BPF program: %d instructions, the kernel takes %d", len(insns), unix.BPF_MAXINSNS)
	}
	p.align()
	off := len(p.Data)
	for _, i := range insns {
		p.Data = binary.LittleEndian.AppendUint16(p.Data, i.Code)
		p.Data = append(p.Data, i.Jt, i.Jf)
		p.Data = binary.LittleEndian.AppendUint32(p.Data, i.K)
	}
	code := p.piece(off, len(p.Data)-off, MemBytes)
	prog := p.Words(MemProgram, uint64(uint16(len(insns))), 0)
	p.Pointer(prog, 8, code)
	return prog
}

// Exec appends one execve for each candidate path, as execvp(3) searches:
// what is not there or may not be executed does not end the search. With a
// single candidate every error is final.
func (p *Plan) Exec(candidates, argv, env []string) {
	av, ev := p.Vector(argv), p.Vector(env)
	var opt Opt
	if len(candidates) > 1 {
		opt = OK(unix.ENOENT, unix.ENOTDIR, unix.EACCES, unix.ESTALE)
	}
	for _, c := range candidates {
		p.Call(InChild, unix.SYS_EXECVE, []Arg{p.Str(c), av, ev}, opt)
	}
}
