// Package wire is what the keeper of a container, the engine and the clients
// that attach have to agree on: the keeper's arguments, the messages on its
// socket, and the file that tells how the container ended.
//
// The socket is a SOCK_SEQPACKET: a message is one byte that says what it is,
// and what follows. A client begins with Hello and gets one back; a keeper
// outlives the engine that started it, so both carry a version, and each side
// ignores messages that it does not know.
//
// Nothing here allocates more than it returns, or imports more than strconv:
// the keeper's memory is counted in pages.
package wire

import "strconv"

// Version is the version of the protocol.
const Version = 1

// Kind is the first byte of a message.
type Kind byte

// What a client sends.
const (
	Hello  Kind = 'H' // version, Want bits; the keeper's has version, Has bits
	Input  Kind = 'I' // bytes for standard input
	EOF    Kind = 'E' // the client's input has ended
	Resize Kind = 'R' // rows, columns: two bytes each, the low one first
	Signal Kind = 'S' // one byte: the number; answered with Reply
	Final  Kind = 'F' // whoever sends it cleans up: the keeper ends with the container
)

// What a keeper sends.
const (
	Output Kind = 'o' // bytes of standard output, or of the terminal
	Errors Kind = 'e' // bytes of standard error
	Exit   Kind = 'x' // the text of an End; the last message
	Reply  Kind = 'r' // one byte: an errno, 0 for success
)

// What a starter sends before it becomes the keeper.
const (
	Made    Kind = 'm' // the container's id: it exists, and does not run yet
	Started Kind = 's' // the same: it runs
	Failed  Kind = 'f' // the text of a Failure
)

// HelperCommand is the hidden command of tare that a keeper executes.
const HelperCommand = "__keep"

// Want bits of a client's Hello.
const (
	WantInput  = 1
	WantOutput = 2
	WantErrors = 4
)

// Has bits of a keeper's Hello.
const (
	HasTerminal = 1
	HasInput    = 2
)

// MaxData is the most that an Input, Output or Errors message carries.
const MaxData = 32 << 10

// End is how a container ended.
type End struct {
	Pid    int
	Start  uint64 // start time of the process, which tells its pid from a later one
	Code   int    // exit code, 128+n for signal n; -1 where nobody knows
	Signal int
	Cause  string // state.Cause…, where the keeper knows better than the code; or ""
	Time   int64  // ns since 1970
	LogErr int    // errno of the log that could not be written, or 0
}

// EndSize is the size in bytes of the file with an End, which is there from the
// beginning: a full disk must not lose an exit code.
const EndSize = 160

// Append appends the text of e: one line of fields.
func (e *End) Append(b []byte) []byte {
	b = strconv.AppendInt(b, int64(e.Pid), 10)
	b = strconv.AppendUint(append(b, ' '), e.Start, 10)
	b = strconv.AppendInt(append(b, ' '), int64(e.Code), 10)
	b = strconv.AppendInt(append(b, ' '), int64(e.Signal), 10)
	b = strconv.AppendInt(append(b, ' '), e.Time, 10)
	b = strconv.AppendInt(append(b, ' '), int64(e.LogErr), 10)
	b = append(append(b, ' '), e.Cause...)
	return append(b, '\n')
}

// ParseEnd reads the text of an End, up to the end of its line; ok is false
// for half of one.
func ParseEnd(text []byte) (e End, ok bool) {
	var f [7]string
	rest := string(text)
	for i := range len(rest) {
		if ok = rest[i] == '\n'; ok {
			rest = rest[:i]
			break
		}
	}
	if !ok {
		return e, false
	}
	for i := range f {
		f[i], rest = cut(rest, ' ')
	}
	var err [6]error
	e.Pid, err[0] = strconv.Atoi(f[0])
	e.Start, err[1] = strconv.ParseUint(f[1], 10, 64)
	e.Code, err[2] = strconv.Atoi(f[2])
	e.Signal, err[3] = strconv.Atoi(f[3])
	e.Time, err[4] = strconv.ParseInt(f[4], 10, 64)
	e.LogErr, err[5] = strconv.Atoi(f[5])
	e.Cause = f[6]
	return e, err == [6]error{}
}

// EndOf is what a wait status (wait(2)) says.
func EndOf(status int) End {
	if sig := status & 0x7f; sig != 0 {
		return End{Code: 128 + sig, Signal: sig}
	}
	return End{Code: status >> 8 & 0xff}
}

// Failure is why a starter did not start its container.
type Failure struct {
	Code int    // exit code of the run: 125, 126 or 127
	Kind uint8  // fault.Kind
	Hint string // fault.HintOf
	Text string
}

// Append appends the text of f.
func (f *Failure) Append(b []byte) []byte {
	b = append(b, byte(f.Code), f.Kind)
	b = append(append(b, f.Hint...), 0)
	return append(b, f.Text...)
}

// ParseFailure reads the text of a Failure.
func ParseFailure(b []byte) Failure {
	if len(b) < 2 {
		return Failure{Code: 125, Text: "starter ended without a word"}
	}
	hint, text := cut(string(b[2:]), 0)
	return Failure{int(b[0]), b[1], hint, text}
}

// Pair splits key=value.
func Pair(s string) (key, value string) { return cut(s, '=') }

func cut(s string, sep byte) (before, after string) {
	for i := range len(s) {
		if s[i] == sep {
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}
