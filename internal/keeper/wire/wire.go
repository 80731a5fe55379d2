// Package wire is what the keeper of a container, the engine and the clients
// that attach have to agree on: the keeper's settings and the messages on its
// socket. How the container ended is told by package exit.
//
// The socket is a SOCK_SEQPACKET: a message is one byte that says what it is,
// and what follows. A client begins with Hello, which the keeper answers; a
// keeper outlives the engine that started it, so both carry a version, and each
// side ignores messages that it does not know.
//
// Whatever is asked for has an id, which the answer repeats: an answer that
// comes too late is nobody's. A keeper of version 1 knows neither; what was
// asked of it then were the messages Signal and Final themselves, answered with
// Reply, and that is how they are still asked of it.
//
// Nothing here allocates more than it returns, or imports more than strconv:
// the keeper's memory is counted in pages.
package wire

// Version is the version of the protocol.
const Version = 2

// Kind is the first byte of a message.
type Kind byte

// What a client sends.
const (
	Hello   Kind = 'H' // version, Want bits, id; the keeper's is what a Greeting says
	Input   Kind = 'I' // bytes for standard input
	EOF     Kind = 'E' // the client's input has ended
	Resize  Kind = 'R' // rows, columns: two bytes each, the low one first
	Request Kind = 'Q' // id, the kind that is asked for, and what follows it
)

// What a client asks for.
const (
	Signal Kind = 'S' // one byte: the number
	Final  Kind = 'F' // whoever asks for it cleans up: the keeper ends with the container
	Reload Kind = 'L' // the settings have changed: those that are Tunable count
)

// What a keeper sends.
const (
	Output Kind = 'o' // bytes of standard output, or of the terminal
	Errors Kind = 'e' // bytes of standard error
	Exit   Kind = 'x' // the text of an exit.Seen; the last message
	Answer Kind = 'a' // id, one byte: an errno, 0 for success
	Reply  Kind = 'r' // one byte: an errno; in version 1
)

// What a starter sends before it becomes the keeper.
const (
	Made    Kind = 'm' // the container's id: it exists, and does not run yet
	Started Kind = 's' // the same: it runs
	Failed  Kind = 'f' // the text of a Failure
	Warned  Kind = 'w' // a line for the caller
)

// HelperCommand is the hidden command of tare that a keeper executes.
const HelperCommand = "__keeper"

// Want bits of a client's Hello.
const (
	WantInput  = 1
	WantOutput = 2
	WantErrors = 4
	WantEnd    = 8 // how it ended, which every client is told
)

// Has bits of a keeper's Hello.
const (
	HasTerminal = 1
	HasInput    = 2
)

// MaxData is the most that an Input, Output or Errors message carries.
const MaxData = 32 << 10

// IDSize is the size of the id of a request.
const IDSize = 4

// AppendID appends an id; numbers have their low byte first.
func AppendID(b []byte, id uint32) []byte {
	return append(b, byte(id), byte(id>>8), byte(id>>16), byte(id>>24))
}

// ID reads what AppendID has written; 0 where there is none.
func ID(b []byte) uint32 {
	if len(b) < IDSize {
		return 0
	}
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

// Greeting is a keeper's Hello.
type Greeting struct {
	Version byte
	Has     byte   // Has bits
	ID      uint32 // of the client's; from here on 0 in version 1
	Pid     int    // of the container's first process, and when it started
	Start   uint64
}

// Append appends the text of g.
func (g *Greeting) Append(b []byte) []byte {
	b = AppendID(append(b, g.Version, g.Has), g.ID)
	b = AppendID(b, uint32(g.Pid))
	return AppendID(AppendID(b, uint32(g.Start)), uint32(g.Start>>32))
}

// ParseGreeting reads the text of a Greeting; ok is false for half of one.
func ParseGreeting(b []byte) (g Greeting, ok bool) {
	if len(b) < 2 {
		return g, false
	}
	g.Version, g.Has = b[0], b[1]
	const id, pid, low, high, end = 2, 6, 10, 14, 18
	if len(b) < end {
		return g, g.Version == 1
	}
	g.ID, g.Pid = ID(b[id:]), int(ID(b[pid:]))
	g.Start = uint64(ID(b[low:])) | uint64(ID(b[high:]))<<32
	return g, true
}

// Failure is why a starter did not start its container.
type Failure struct {
	Code int    // exit code of the run: 125, 126 or 127
	Kind uint8  // fault.Kind
	Hint string // fault.HintOf
	// NoImage says that the image is not here: it may be brought, and the start
	// tried again.
	NoImage bool
	Text    string
}

// Append appends the text of f.
func (f *Failure) Append(b []byte) []byte {
	missing := byte(0)
	if f.NoImage {
		missing = 1
	}
	b = append(b, byte(f.Code), f.Kind, missing)
	b = append(append(b, f.Hint...), 0)
	return append(b, f.Text...)
}

// ParseFailure reads the text of a Failure.
func ParseFailure(b []byte) Failure {
	if len(b) < 3 {
		return Failure{Code: 125, Text: "starter ended without a word"}
	}
	hint, text := cut(string(b[3:]), 0)
	return Failure{int(b[0]), b[1], hint, b[2] == 1, text}
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
