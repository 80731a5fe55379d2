// Package spawn executes a plan: the host's calls in this process, the
// child's in a fresh process between clone3 and execve.
//
// The child never enters Go. clone3 is made by a few lines of assembly with
// all signals blocked; the child walks the encoded ops in the same assembly
// and ends in execve or exit. It has a copy of the engine's memory, not the
// memory itself: a shared-memory child is faster, but lets any process of the
// uid it switches to write a root engine's memory, and an OOM in the
// container's cgroup would kill the engine (docs/adr/0001).
package spawn

import (
	"fmt"
	"unsafe"

	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

// cloneArgs is struct clone_args of clone3(2).
type cloneArgs struct {
	flags, pidfd  uint64
	_, _          uint64 // child_tid, parent_tid
	exitSignal    uint64
	_, _, _, _, _ uint64 // stack, stack_size, tls, set_tid, set_tid_size
	cgroup        uint64
}

//go:noescape
func clone(args *cloneArgs, size, arena uintptr) uintptr

// Options are what a run needs apart from the plan.
type Options struct {
	Flags  uint64    // for clone3, besides the plan's
	Cgroup plan.Slot // instead of the plan's

	// After, if set, is called after every host op with its index, and after
	// the clone with the number of host ops. Crash tests kill there.
	After func(i int)
}

// Run is a plan on its way through the kernel. It is not for concurrent use.
type Run struct {
	plan   *plan.Plan
	arena  *arena
	status int       // read end: EOF on exec or death; -1 before Clone
	first  []plan.Op // ops in front of the plan's own
	child  Process
}

// New maps the memory that p needs. Close the Run when done.
func New(p *plan.Plan) (*Run, error) { return NewIn(p, -1) }

// NewIn is New with the memory in an empty file, from which another process
// can learn how far the child has come: see [ReadProgress].
func NewIn(p *plan.Plan, file int) (*Run, error) {
	if err := p.Err(); err != nil {
		return nil, err
	}
	a, err := newArena(p, maxFirst(len(p.Kept())), file)
	if err != nil {
		return nil, err
	}
	return &Run{plan: p, arena: a, status: -1}, nil
}

// Get returns the value of a slot, plan.Unset if it has none yet.
func (r *Run) Get(s plan.Slot) int { return int(r.arena.slot(s)) }

// Set gives a host slot its value.
func (r *Run) Set(s plan.Slot, v int) { r.arena.set(s, int64(v)) }

// Host makes the plan's host calls, in order, up to the first failure.
func (r *Run) Host(o Options) error {
	for i := range r.plan.Host {
		op := &r.plan.Host[i]
		if err := r.hostOp(op); err != nil {
			return err
		}
		if o.After != nil {
			o.After(i)
		}
	}
	return nil
}

// hostOp does for one op what the assembly does in the child.
func (r *Run) hostOp(op *plan.Op) error {
	switch v := r.arena.slot(op.On); {
	case op.Cond == plan.IfOK && v <= 0,
		op.Cond == plan.IfErr && (v >= 0 || v <= plan.Unset):
		return nil
	case op.Do != nil:
		return op.Do.Run(r)
	}
	var args [6]uintptr
	for i := range int(op.N) {
		v, slot := r.arena.operand(r.plan, op.Arg(i))
		if slot {
			v = uint64(r.arena.slot(plan.Slot(v)))
		}
		args[i] = uintptr(v)
	}
	if op.Nr == plan.Store {
		r.arena.store(args[0], uint32(args[1]))
		return nil
	}
	if op.Nr == plan.Load {
		v := int64(r.arena.load(args[0]))
		if want, wanted := op.Want(); wanted && v != want {
			return r.opError(op, unix.EPIPE)
		}
		r.arena.set(op.Out, v)
		return nil
	}
	if s, ok := op.Arg(0).Slot(); ok && op.Nr == unix.SYS_CLOSE {
		r.arena.set(s, plan.Unset) // not closed again by Close
	}
	ret, no := retry(uintptr(op.Nr), args)
	v := int64(ret)
	want, wanted := op.Want()
	switch {
	case no != 0 && !op.Tolerates(no):
		return r.opError(op, no)
	case no != 0:
		v = -int64(no)
	case wanted && v != want:
		return r.opError(op, unix.EPIPE)
	}
	if op.Out != 0 {
		r.arena.set(op.Out, v)
	}
	return nil
}

// maxRaces bounds the tries of an openat2(2) that says EAGAIN: something on the
// machine was renamed, or mounted, while a ".." was resolved. On a host with many
// containers that is all the time.
const maxRaces = 100_000

// retry makes a system call until no signal interrupts it, and nothing races it.
// close(2) is done even when it is interrupted.
func retry(nr uintptr, a [6]uintptr) (uintptr, unix.Errno) {
	for races := 0; ; {
		ret, _, no := unix.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
		switch {
		case no == unix.EINTR && nr != unix.SYS_CLOSE:
		case no == unix.EAGAIN && nr == unix.SYS_OPENAT2 && races < maxRaces:
			races++
		default:
			return ret, no
		}
	}
}

// Clone starts the child. On return it runs (or has ended); gates hold it.
func (r *Run) Clone(o Options) (Process, error) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return Process{}, fmt.Errorf("status pipe: %w", err)
	}
	defer closeFD(pipe[1])
	r.status = pipe[0]

	kept := r.plan.Kept()
	keep := make([]uint32, 0, len(kept)+4)
	keep = append(keep, 0, 1, 2, uint32(pipe[1]))
	for _, s := range kept {
		if v := r.arena.slot(s); v >= 0 {
			keep = append(keep, uint32(v))
		}
	}
	r.first = firstOps(keep, r.arena.base+hdrZeros)
	r.arena.encode(r.plan, r.first)

	args := cloneArgs{
		flags:      r.plan.Flags | o.Flags | unix.CLONE_CLEAR_SIGHAND | unix.CLONE_PIDFD,
		pidfd:      uint64(r.arena.base) + hdrPidfd,
		exitSignal: uint64(unix.SIGCHLD),
	}
	if s := max(r.plan.Cgroup, o.Cgroup); s != 0 && r.arena.slot(s) >= 0 {
		args.flags |= unix.CLONE_INTO_CGROUP
		args.cgroup = uint64(r.arena.slot(s))
	}
	start := func() int { return int(clone(&args, unsafe.Sizeof(args), r.arena.base)) }
	var ret int
	if args.flags&unix.CLONE_VM == 0 {
		ret = withoutHeap(unsafe.Pointer(r), start)
	} else { // tests only
		ret = start()
	}
	if ret < 0 {
		return Process{}, &OpError{Step: "clone", Call: "clone3", Errno: unix.Errno(-ret)}
	}
	r.child = Process{Pid: ret, Pidfd: int(int32(r.arena.get64(hdrPidfd)))}
	if o.After != nil {
		o.After(len(r.plan.Host))
	}
	return r.child, nil
}

// Forked waits until the child has gone through its Fork op and returns the
// process that took its place, which is a child of this process too. The
// first process is reaped and released, on error as well.
func (r *Run) Forked() (Process, error) {
	st, err := r.child.Wait()
	r.child.Release()
	r.child.Pidfd = -1
	if err != nil {
		return Process{}, err
	}
	mem, ok := r.plan.Forked()
	if !ok {
		return Process{}, r.failure(st)
	}
	pid := int(r.arena.get64(r.arena.data + int(r.plan.Mem[mem].Off)))
	if pid == 0 {
		return Process{}, r.failure(st)
	}
	// The process is our child and not reaped: its pid cannot be another's.
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		_ = unix.Kill(pid, unix.SIGKILL)
		for {
			if _, werr := unix.Wait4(pid, nil, 0, nil); werr != unix.EINTR {
				break
			}
		}
		return Process{}, fmt.Errorf("pidfd of process %d: %w", pid, err)
	}
	r.child = Process{Pid: pid, Pidfd: fd}
	return r.child, nil
}

// WaitExec waits until the child has executed its program, and returns why
// it did not otherwise. A child that failed is reaped; its pidfd stays open.
// With a Fork op in the plan, call Forked first.
func (r *Run) WaitExec() error {
	var b [1]byte
	for {
		n, err := unix.Read(r.status, b[:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("read status pipe: %w", err)
		}
		if n == 0 {
			break
		}
	}
	closeFD(r.status)
	r.status = -1
	if op, no := r.progress(); op != nil && no == 0 && op.Nr == unix.SYS_EXECVE && r.child.executed() {
		return nil
	}
	st, err := r.child.Wait()
	if err != nil {
		return err
	}
	return r.failure(st)
}

// WaitEnd waits for the end of a child whose plan ends with exit_group(0)
// instead of a program, and reaps it.
func (r *Run) WaitEnd() error {
	st, err := r.child.Wait()
	if err != nil {
		return err
	}
	if st != (Status{}) {
		return r.failure(st)
	}
	return nil
}

// progress returns the op that the child has come to, nil before and behind
// the plan's ops, and its errno if it failed.
func (r *Run) progress() (*plan.Op, unix.Errno) {
	at, no := int(r.arena.get64(hdrProgress)), unix.Errno(r.arena.get64(hdrErrno))
	at -= len(r.first)
	if at < 0 || at >= len(r.plan.Child) {
		return nil, no
	}
	return &r.plan.Child[at], no
}

// Result returns what call i of Plan.Child returned: -errno where a tolerated
// errno was met. It is meaningful once the child has passed the call.
func (r *Run) Result(i int) int { return int(r.arena.ret(len(r.first) + i)) }

// Close closes every descriptor that the host calls opened, and the plan's
// memory. The child is not affected.
func (r *Run) Close() {
	if r.status >= 0 {
		closeFD(r.status)
		r.status = -1
	}
	if r.arena.mem == nil {
		return
	}
	for i := range r.plan.Host {
		op := &r.plan.Host[i]
		if s := op.Out; s != 0 && op.Nr != plan.Load {
			if fd := r.arena.slot(s); fd > 2 {
				closeFD(int(fd))
			}
			r.arena.set(s, plan.Unset)
		}
	}
	r.arena.unmap()
}

func closeFD(fd int) { _ = unix.Close(fd) }
