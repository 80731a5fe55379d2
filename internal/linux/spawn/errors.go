package spawn

import (
	"errors"
	"fmt"

	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

// OpError says which call failed.
type OpError struct {
	Op     *plan.Op // nil for the clone itself and what comes before the plan's ops
	Step   string
	Call   string
	Errno  unix.Errno  // 0 when the child was killed
	Signal unix.Signal // that killed it
	Exec   bool        // every candidate of the program's path was tried
}

// IsExec reports whether the program itself could not be executed.
func (e *OpError) IsExec() bool { return e.Exec || e.Op != nil && e.Op.Nr == unix.SYS_EXECVE }

func (e *OpError) Error() string {
	what := e.Call
	if e.Op != nil && e.Op.Note != "" {
		what = e.Op.Note
	}
	if e.Errno == 0 && e.Signal == 0 { // not our child
		return fmt.Sprintf("%s: killed before exec (step %s)", what, e.Step)
	}
	if e.Errno == 0 {
		return fmt.Sprintf("%s: killed by signal %d before exec (step %s)", what, int(e.Signal), e.Step)
	}
	return fmt.Sprintf("%s: %v (step %s)", what, e.Errno, e.Step)
}

// Unwrap returns the errno, or ErrKilled.
func (e *OpError) Unwrap() error {
	if e.Errno == 0 {
		return ErrKilled
	}
	return e.Errno
}

// ErrKilled is what an OpError wraps when a signal ended the child.
var ErrKilled = errors.New("killed before exec")

// opError describes the failure of an op. An unexpected result is EPIPE: a
// short read or write. From any other call it means that an object is not
// what it should be.
func (r *Run) opError(op *plan.Op, no unix.Errno) *OpError {
	if _, wanted := op.Want(); wanted && no == unix.EPIPE &&
		op.Nr != unix.SYS_READ && op.Nr != unix.SYS_WRITE && op.Nr != unix.SYS_SENDMSG {
		no = unix.EINVAL
	}
	return &OpError{Op: op, Step: r.plan.StepName(op), Call: r.plan.FormatOp(op), Errno: no}
}

// failure says which op ended the child.
func (r *Run) failure(st Status) error {
	op, no := r.progress()
	if op != nil {
		e := r.opError(op, no)
		e.Signal = st.Signal
		return e
	}
	at := int(r.arena.get64(hdrProgress))
	if at >= len(r.first) {
		return r.execError()
	}
	return &OpError{Step: "begin", Call: r.plan.FormatOp(&r.first[at]), Errno: no, Signal: st.Signal}
}

// execError sums up the candidates of a PATH search, as execvp(3) does: if
// one was there but could not be used, that is the error.
func (r *Run) execError() error {
	e := &OpError{Step: "exec", Call: "execve", Errno: unix.ENOENT, Exec: true}
	for i := range r.plan.Child {
		op := &r.plan.Child[i]
		if op.Nr == unix.SYS_EXECVE && r.Result(i) == -int(unix.EACCES) {
			e.Errno = unix.EACCES
		}
	}
	return e
}
