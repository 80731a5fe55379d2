package state

import (
	"bytes"
	"errors"
	"os"
	"time"

	"github.com/tare-engine/tare/fsatomic"
	"github.com/tare-engine/tare/monitor/wire"
	"golang.org/x/sys/unix"
)

// RUN/live/ID holds, for a container that has a monitor:
//
//	in out err   fifos of its standard streams
//	sock         the monitor's socket (package wire)
//	notify       the service manager's, as the container sees it
//	end          how it ended, from the moment that the monitor has seen it

// LiveDir is where a container's live things are.
func (s *Store) LiveDir(id string) string { return s.run + "/live/" + id }

// MakeLive makes the directory anew.
func (s *Store) MakeLive(id string) error {
	dir := s.LiveDir(id)
	err := unix.Mkdir(dir, 0o700)
	switch {
	case errors.Is(err, unix.ENOENT):
		if err = os.MkdirAll(s.run+"/live", 0o700); err == nil {
			err = unix.Mkdir(dir, 0o700)
		}
	case errors.Is(err, unix.EEXIST):
		if err = s.RemoveLive(id); err == nil {
			err = unix.Mkdir(dir, 0o700)
		}
	}
	if err != nil {
		return err
	}
	return fsatomic.CreateFile(dir+"/end", bytes.Repeat([]byte{' '}, wire.EndSize), 0o600)
}

// liveFiles are all that is ever in the directory.
var liveFiles = [...]string{"/in", "/out", "/err", "/sock", "/notify", "/end"}

// RemoveLive removes the directory, if it is there.
func (s *Store) RemoveLive(id string) error {
	dir := s.LiveDir(id)
	for {
		err := unix.Rmdir(dir)
		switch {
		case err == nil || errors.Is(err, unix.ENOENT):
			return nil
		case !errors.Is(err, unix.ENOTEMPTY):
			return err
		}
		removed := false
		for _, f := range liveFiles {
			removed = unix.Unlink(dir+f) == nil || removed
		}
		if !removed {
			return fsatomic.RemoveTree(unix.AT_FDCWD, dir)
		}
	}
}

// ReadEnd adds to r what the monitor has noted of its end, if it has, and
// reports whether it had.
func (s *Store) ReadEnd(r *Record) bool {
	b, err := os.ReadFile(s.LiveDir(r.ID) + "/end")
	if err != nil {
		return false
	}
	e, ok := wire.ParseEnd(b)
	if !ok || e.Pid != r.Proc.Pid || e.Start != r.Proc.Start {
		return false
	}
	r.SetEnd(&e)
	return true
}

// SetEnd notes an end.
func (r *Record) SetEnd(e *wire.End) {
	r.Exited, r.ExitCode, r.ExitSignal = true, e.Code, e.Signal
	r.Finished = time.Unix(0, e.Time).UTC()
	r.Paused, r.Error, r.OOM = false, "", false
	switch {
	case e.Cause != "":
		r.Cause = e.Cause
	case r.Cause == CauseHealth: // noted before it was done
	case r.StopRequested:
		r.Cause = CauseStop
	case e.Code < 0:
		r.Cause = CauseUnknown
	case e.Signal != 0:
		r.Cause = CauseSignal
	default:
		r.Cause = CauseExit
	}
	switch {
	case e.LogErr != 0:
		r.Error = "log: " + unix.Errno(e.LogErr).Error()
	case e.Code < 0:
		r.Error = "exit code unknown: the monitor was killed"
	}
}
