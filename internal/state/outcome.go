package state

import (
	"time"

	"github.com/tare-engine/tare/internal/lib/exit"
	"golang.org/x/sys/unix"
)

// What a record says of the beginning and the end of a run is written here and
// nowhere else (TestWriters): every view of an end is of one exit.Outcome.

// Begin notes that a run has begun: what the last one left is no longer true.
// Finished and ExitCode stay, for a start that is cut off.
func (r *Record) Begin(p Proc, cgroup string, now time.Time) {
	r.Proc, r.Started, r.Cgroup = p, now, cgroup
	r.Exited, r.StopRequested, r.OOM, r.Paused, r.Error, r.Cause, r.Said = false, false, false, false, "", "", ""
	r.RestartAt, r.Receipt, r.seen = time.Time{}, nil, exit.Seen{}
}

// End notes how the run has ended. oomKills is what its cgroup counted; now
// stands for the time of an end that nobody saw.
func (r *Record) End(s exit.Seen, oomKills uint64, now time.Time) {
	o := exit.Of(s, exit.Known{
		Said: exit.Cause(r.Said), StopAsked: r.StopRequested, OOMKills: oomKills, Started: r.Started, Now: now,
		NamespaceEnded: r.PIDOf.Pid != 0 && s.Signal == int(unix.SIGKILL) && r.PIDOf.Ends(),
	})
	r.seen = s
	r.Exited, r.Paused = true, false
	r.ExitCode, r.ExitSignal, r.Cause = o.Code, o.Signal, string(o.Cause)
	r.OOM, r.Error, r.Finished = o.OOM, o.Error, o.Finished
}

// Seen is what was seen of the end that the record tells of.
func (r *Record) Seen() exit.Seen { return r.seen }

// EndWritten reports whether the end that the record tells of is on disk, and
// not only known to [Store.Load].
func (r *Record) EndWritten() bool { return r.Exited && r.seen == (exit.Seen{}) }

// Unstarted notes that a start failed, with what exit code it answers, and why.
// The run before it is the last.
func (r *Record) Unstarted(code int, why string) {
	r.ExitCode, r.Error = code, why
	r.Keeper, r.RestartAt = Proc{}, time.Time{}
}

// CutOff takes back a Begin: its program was never executed.
func (r *Record) CutOff() {
	if r.Exited = !r.Finished.IsZero(); !r.Exited {
		r.Proc, r.Started = Proc{}, time.Time{}
	}
	r.Keeper = Proc{}
}
