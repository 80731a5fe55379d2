// Package exit says how a run of a container has ended: what was seen of it,
// and the one function that turns it, with what else is known, into the outcome
// that everybody shows.
//
// The keeper links it, whose memory is counted in pages: it imports little.
package exit

import (
	"strconv"
	"syscall"
	"time"
)

// Cause is why a run has ended.
type Cause string

// The causes.
const (
	ByItself  Cause = "exit"    // the program ended
	BySignal  Cause = "signal"  // a signal that tare did not send
	ByStop    Cause = "stop"    // tare stop, kill, restart or rm
	ByOOM     Cause = "oom"     // the kernel, for want of memory
	ByTimeout Cause = "timeout" // --timeout
	ByPolicy  Cause = "policy"  // --health-on-failure
	// ByNamespace is the kernel's end of all that is in a pid namespace, with the
	// container whose first process made it.
	ByNamespace Cause = "pid-namespace"
	Unknown     Cause = "unknown" // nobody saw it: whoever waited had been killed
)

// Exit codes of what did not get to one of its own, as Docker's.
const (
	Engine        = 125 // the engine failed
	NotExecutable = 126 // the command is there but cannot be executed
	NotFound      = 127 // the command is not there
)

// NoCode is the exit code where nobody knows it.
const NoCode = -1

// Seen is what was seen of an end by whoever waited for the first process.
type Seen struct {
	Pid    int    // of the process: with Start it tells this run from others
	Start  uint64 // when it started, in clock ticks since boot
	Code   int    // exit code, 128+n for signal n; NoCode where nobody knows
	Signal int
	Said   Cause // what it was ended for, where whoever waited did that; or ""
	Time   int64 // ns since 1970; 0 where nobody saw it
	LogErr int   // errno of the log that could not be written, or 0
}

// Status is what a wait status (wait(2)) says.
func Status(status int) Seen {
	if sig := status & 0x7f; sig != 0 {
		return Seen{Code: 128 + sig, Signal: sig}
	}
	return Seen{Code: status >> 8 & 0xff}
}

// Size is the size in bytes of a file with a Seen, which is there from the
// beginning: a full disk must not lose an exit code.
const Size = 160

// Append appends the text of s: one line of fields.
func (s *Seen) Append(b []byte) []byte {
	b = strconv.AppendInt(b, int64(s.Pid), 10)
	b = strconv.AppendUint(append(b, ' '), s.Start, 10)
	b = strconv.AppendInt(append(b, ' '), int64(s.Code), 10)
	b = strconv.AppendInt(append(b, ' '), int64(s.Signal), 10)
	b = strconv.AppendInt(append(b, ' '), s.Time, 10)
	b = strconv.AppendInt(append(b, ' '), int64(s.LogErr), 10)
	b = append(append(b, ' '), s.Said...)
	return append(b, '\n')
}

// Parse reads the text of a Seen, up to the end of its line; ok is false for
// half of one.
func Parse(text []byte) (s Seen, ok bool) {
	var f [7]string
	rest := string(text)
	for i := range len(rest) {
		if ok = rest[i] == '\n'; ok {
			rest = rest[:i]
			break
		}
	}
	if !ok {
		return s, false
	}
	for i := range f {
		f[i], rest = cut(rest)
	}
	var err [6]error
	s.Pid, err[0] = strconv.Atoi(f[0])
	s.Start, err[1] = strconv.ParseUint(f[1], 10, 64)
	s.Code, err[2] = strconv.Atoi(f[2])
	s.Signal, err[3] = strconv.Atoi(f[3])
	s.Time, err[4] = strconv.ParseInt(f[4], 10, 64)
	s.LogErr, err[5] = strconv.Atoi(f[5])
	s.Said = Cause(f[6])
	return s, err == [6]error{}
}

func cut(s string) (before, after string) {
	for i := range len(s) {
		if s[i] == ' ' {
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// Known is what else is known when a run has ended.
type Known struct {
	Said      Cause  // what tare was about to end it for, noted before it did; or ""
	StopAsked bool   // somebody stopped, killed or removed it
	OOMKills  uint64 // of the run's cgroup
	// NamespaceEnded says that it ran in the pid namespace of another container,
	// which has ended.
	NamespaceEnded bool
	Started        time.Time // of the run
	Now            time.Time // stands for the end where nobody saw it
}

// Outcome is how a run has ended. The record, the event, the receipt, the exit
// code and what the keeper tells are views of it.
type Outcome struct {
	Code     int // exit code, 128+n for signal n; NoCode where nobody knows
	Signal   int // that ended the first process, or 0
	Cause    Cause
	OOM      bool   // the kernel killed the first process, for want of memory
	Error    string // what went wrong besides; or ""
	Finished time.Time
}

// Of is the outcome of a run.
func Of(s Seen, f Known) Outcome {
	o := Outcome{Code: s.Code, Signal: s.Signal, Finished: time.Unix(0, s.Time).UTC()}
	if s.Time == 0 || o.Finished.Before(f.Started) { // unseen, or the clock was set back
		o.Finished = f.Now.UTC()
	}
	// The cgroup counts the kills of all its processes: one that tare ended was not
	// killed by the kernel, whatever became of the others.
	asked := f.StopAsked || s.Said != "" || f.Said != ""
	o.OOM = f.OOMKills > 0 && s.Signal == int(syscall.SIGKILL) && !asked
	switch {
	case o.OOM:
		o.Cause = ByOOM
	case s.Said != "":
		o.Cause = s.Said
	case f.Said != "":
		o.Cause = f.Said
	case f.StopAsked:
		o.Cause = ByStop
	case s.Code < 0:
		o.Cause = Unknown
	case f.NamespaceEnded && s.Signal == int(syscall.SIGKILL):
		o.Cause = ByNamespace
	case s.Signal != 0:
		o.Cause = BySignal
	default:
		o.Cause = ByItself
	}
	switch {
	case s.LogErr != 0:
		o.Error = "log: " + syscall.Errno(s.LogErr).Error()
	case o.Cause == ByNamespace:
		o.Error = "the container whose pid namespace it shares has ended"
	case s.Code < 0:
		o.Error = "exit code unknown: the keeper was killed"
	}
	return o
}
