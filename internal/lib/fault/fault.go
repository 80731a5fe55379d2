// Package fault holds the kinds of error that a caller can act on.
//
// Every error that leaves a package of tare has a [Kind]; a surface maps the
// kind once (exit code, HTTP status, gRPC code) and prints the text as one
// line. Texts are lower case, of the form "verb object: cause", and carry at
// most one hint.
package fault

import (
	"errors"
	"fmt"
	"syscall"
)

// Kind says what class of thing went wrong.
type Kind uint8

// The kinds. Internal is the zero value: an error nobody classified.
const (
	Internal    Kind = iota // a bug, or a kernel answer that has no better kind
	NotFound                // the named object does not exist
	Invalid                 // the request is malformed
	Conflict                // the object is in a state that forbids it
	Exists                  // an object of that name is already there
	Denied                  // permission is missing
	Unsupported             // the kernel, the host or tare lacks the feature
	Unavailable             // a resource is exhausted or busy; try again
)

func (k Kind) String() string {
	return [...]string{"internal", "not found", "invalid", "conflict", "exists", "denied", "unsupported", "unavailable"}[k]
}

// Error is an error with a kind and an optional hint.
type Error struct {
	Kind Kind
	Text string // "verb object: cause"; empty when Err says it all
	Err  error  // the wrapped cause, may be nil
	Hint string // one thing to try, without a full stop; may be empty
	Code int    // the exit code that it stands for, where the kind does not say; or 0
}

func (e *Error) Error() string {
	if e.Text != "" {
		return e.Text
	}
	return e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// New returns an error of kind k. The format may use %w.
func New(k Kind, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: k, Text: err.Error(), Err: errors.Unwrap(err)}
}

// WithHint adds a hint to err, keeping kind and text.
func WithHint(err error, hint string) error {
	return &Error{Kind: KindOf(err), Text: err.Error(), Err: err, Hint: hint}
}

// CodeOf returns the outermost exit code in err's chain, or 0: that of an Error,
// or what an error of another type says with a method FaultCode.
func CodeOf(err error) int {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			var other interface{ FaultCode() int }
			if errors.As(err, &other) {
				return other.FaultCode()
			}
			return 0
		}
		if e.Code != 0 {
			return e.Code
		}
		err = e.Err
	}
	return 0
}

// KindOf returns the kind of the outermost Error in err's chain, or the kind
// that an errno in the chain stands for, or Internal.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	var no syscall.Errno
	if errors.As(err, &no) {
		return ofErrno(no)
	}
	return Internal
}

// HintOf returns the outermost hint in err's chain, or "".
func HintOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}

func ofErrno(no syscall.Errno) Kind {
	switch no {
	case syscall.ENOENT, syscall.ESRCH, syscall.ENODEV, syscall.ENXIO:
		return NotFound
	case syscall.EEXIST:
		return Exists
	case syscall.EPERM, syscall.EACCES, syscall.EROFS:
		return Denied
	case syscall.EINVAL, syscall.ENAMETOOLONG, syscall.ENOTDIR, syscall.EISDIR, syscall.ELOOP:
		return Invalid
	case syscall.EBUSY, syscall.ENOTEMPTY:
		return Conflict
	case syscall.ENOSYS, syscall.EOPNOTSUPP:
		return Unsupported
	case syscall.EAGAIN, syscall.ENOMEM, syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE:
		return Unavailable
	default:
		return Internal
	}
}
