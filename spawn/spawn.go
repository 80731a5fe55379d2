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
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/tare-engine/tare/plan"
	"golang.org/x/sys/unix"
)

// cloneArgs is struct clone_args of clone3(2).
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal, stack,
	stackSize, tls, setTID, setTIDSize, cgroup uint64
}

func clone(args *cloneArgs, size, arena uintptr) uintptr

// Options are what the clone itself needs.
type Options struct {
	Flags  uint64    // CLONE_NEW*, created with the child
	Cgroup plan.Slot // directory for CLONE_INTO_CGROUP; 0 for none

	// After, if set, is called after every host op with its index, and after
	// the clone with the number of host ops. Crash tests kill there.
	After func(i int)
}

// Run is a plan on its way through the kernel. It is not for concurrent use.
type Run struct {
	plan   *plan.Plan
	arena  *arena
	status int // read end: EOF on exec or death; -1 before Clone
	first  int // ops in front of the plan's own
	child  Process
}

// Process is a child of this process, held by pidfd.
type Process struct {
	Pid   int
	Pidfd int
}

// New maps the memory that p needs. Close the Run when done.
func New(p *plan.Plan) (*Run, error) {
	a, err := newArena(p, len(p.Kept())+5)
	if err != nil {
		return nil, err
	}
	return &Run{plan: p, arena: a, status: -1}, nil
}

// Get returns the value of a slot.
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

func (r *Run) hostOp(op *plan.Op) error {
	switch v := r.arena.slot(op.On); {
	case op.Cond == plan.IfOK && v <= 0, op.Cond == plan.IfErr && v >= 0:
		return nil
	case op.Do != nil:
		return op.Do(r)
	}
	var args [6]uintptr
	for i := range op.Args[:op.N] {
		v, slot := r.arena.operand(r.plan, op.Args[i])
		if slot {
			v = uint64(r.arena.slot(plan.Slot(v)))
		}
		args[i] = uintptr(v)
	}
	if op.Nr == plan.Store {
		// The address is inside the arena: it came from operand.
		off := int(args[0] - r.arena.base)
		copy(r.arena.mem[off:off+4], unsafe.Slice((*byte)(unsafe.Pointer(&args[1])), 4))
		return nil
	}
	ret, _, no := unix.Syscall6(uintptr(op.Nr), args[0], args[1], args[2], args[3], args[4], args[5])
	if no == unix.EINTR {
		return r.hostOp(op)
	}
	v := int64(ret)
	if no != 0 {
		v = -int64(no)
		if op.OK[0] != plan.AnyErrno && !slices.Contains(op.OK[:], no) {
			return &OpError{Op: op, Step: r.plan.StepName(op), Call: r.plan.FormatOp(op), Errno: no}
		}
	} else if op.Want >= 0 && v != op.Want {
		return &OpError{Op: op, Step: r.plan.StepName(op), Call: r.plan.FormatOp(op), Errno: unix.EPIPE}
	}
	if op.Out != 0 {
		r.arena.set(op.Out, v)
	}
	return nil
}

// Clone starts the child. On return it runs (or has ended); gates hold it.
func (r *Run) Clone(o Options) (Process, error) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return Process{}, fmt.Errorf("status pipe: %w", err)
	}
	defer closeFD(pipe[1])
	r.status = pipe[0]

	keep := []uint32{0, 1, 2, uint32(pipe[1])}
	for _, s := range r.plan.Kept() {
		if v := r.arena.slot(s); v >= 0 {
			keep = append(keep, uint32(v))
		}
	}
	first := closeOps(keep)
	r.first = len(first)
	r.arena.encode(r.plan, first)

	args := cloneArgs{
		flags:      o.Flags | unix.CLONE_CLEAR_SIGHAND | unix.CLONE_PIDFD,
		pidfd:      uint64(r.arena.base) + hdrPidfd,
		exitSignal: uint64(unix.SIGCHLD),
	}
	if o.Cgroup != 0 {
		args.flags |= unix.CLONE_INTO_CGROUP
		args.cgroup = uint64(r.arena.slot(o.Cgroup))
	}
	ret := int(clone(&args, unsafe.Sizeof(args), r.arena.base))
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
// process that took its place, which is a child of this process too.
func (r *Run) Forked() (Process, error) {
	st, err := r.child.Wait()
	if err != nil {
		return Process{}, err
	}
	r.child.Release()
	pid := int(r.arena.get64(hdrForked))
	if pid == 0 {
		return Process{}, r.failure(st)
	}
	// The process is our child and not reaped: its pid cannot be another's.
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return Process{}, fmt.Errorf("pidfd of process %d: %w", pid, err)
	}
	r.child = Process{Pid: pid, Pidfd: fd}
	return r.child, nil
}

// closeOps computes op 0: the calls that close every descriptor but the kept
// ones. O_CLOEXEC does not help before exec, and a copy of another child's
// status pipe or gate, held while this child waits, would hide its end.
func closeOps(keep []uint32) []plan.Op {
	slices.Sort(keep)
	keep = slices.Compact(keep)
	var ops []plan.Op
	from := uint32(0)
	add := func(first, last uint32) {
		ops = append(ops, plan.Op{
			Nr: unix.SYS_CLOSE_RANGE, Want: -1, N: 3,
			Args: [6]plan.Arg{plan.Int(first), plan.Int(last), plan.Int(0)},
		})
	}
	for _, fd := range keep {
		if fd > from {
			add(from, fd-1)
		}
		from = fd + 1
	}
	add(from, ^uint32(0))
	return ops
}

// WaitExec waits until the child has executed its program, and returns why
// it did not otherwise. A child that failed is reaped.
func (r *Run) WaitExec() error {
	var b [1]byte
	for {
		n, err := unix.Read(r.status, b[:])
		if err == unix.EINTR {
			continue
		}
		if err != nil || n != 0 {
			return fmt.Errorf("status pipe: read %d bytes: %w", n, err)
		}
		break
	}
	closeFD(r.status)
	r.status = -1
	at := int(r.arena.get64(hdrProgress)) - r.first
	no := unix.Errno(r.arena.get64(hdrErrno))
	if at >= 0 && at < len(r.plan.Child) && no == 0 && r.plan.Child[at].Nr == unix.SYS_EXECVE {
		return nil
	}
	st, err := r.child.Wait()
	if err != nil {
		return err
	}
	return r.failure(st)
}

// failure says which op ended the child.
func (r *Run) failure(st Status) error {
	at := int(r.arena.get64(hdrProgress)) - r.first
	no := unix.Errno(r.arena.get64(hdrErrno))
	switch {
	case at < 0:
		return &OpError{Step: "close", Call: "close_range", Errno: no, Signal: st.Signal}
	case at >= len(r.plan.Child):
		return r.execError()
	}
	op := &r.plan.Child[at]
	return &OpError{Op: op, Step: r.plan.StepName(op), Call: r.plan.FormatOp(op), Errno: no, Signal: st.Signal}
}

// execError sums up the candidates of a PATH search, as execvp(3) does: if
// one was there but could not be used, that is the error.
func (r *Run) execError() error {
	e := &OpError{Step: "exec", Call: "execve", Errno: unix.ENOENT, Exec: true}
	for i := range r.plan.Child {
		op := &r.plan.Child[i]
		if op.Nr != unix.SYS_EXECVE {
			continue
		}
		if no := unix.Errno(-r.arena.ret(r.first + i)); no == unix.EACCES {
			e.Errno = no
		}
	}
	return e
}

// Result returns what call i of Plan.Child returned: -errno where a tolerated
// errno was met. It is meaningful once the child has passed the call.
func (r *Run) Result(i int) int { return int(r.arena.ret(r.first + i)) }

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
		if s := r.plan.Host[i].Out; s != 0 {
			if fd := r.arena.slot(s); fd > 2 {
				closeFD(int(fd))
			}
			r.arena.set(s, -1)
		}
	}
	r.arena.unmap()
}

// OpError says which call failed.
type OpError struct {
	Op     *plan.Op // nil for the clone itself and op 0
	Step   string
	Call   string
	Errno  unix.Errno // 0 when the child was killed
	Signal unix.Signal
	Exec   bool // every candidate of the program's path was tried
}

// IsExec reports whether the program itself could not be executed.
func (e *OpError) IsExec() bool { return e.Exec || e.Op != nil && e.Op.Nr == unix.SYS_EXECVE }

func (e *OpError) Error() string {
	what := e.Call
	if e.Op != nil && e.Op.Note != "" {
		what = e.Op.Note
	}
	if e.Errno == 0 {
		return fmt.Sprintf("%s: killed by signal %d before exec (step %s)", what, e.Signal, e.Step)
	}
	return fmt.Sprintf("%s: %v (step %s)", what, e.Errno, e.Step)
}

// Unwrap returns the errno.
func (e *OpError) Unwrap() error {
	if e.Errno == 0 {
		return errKilled
	}
	return e.Errno
}

var errKilled = errors.New("killed before exec")

func closeFD(fd int) { _ = unix.Close(fd) }
