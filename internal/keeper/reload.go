package keeper

import (
	"time"

	"github.com/tare-engine/tare/internal/keeper/wire"
	"golang.org/x/sys/unix"
)

// reload reads the settings again, and takes what may change while the
// container runs. Where they are not for this run, or cannot be read, it keeps
// what it has.
func (k *keeper) reload() unix.Errno {
	var s wire.Settings
	if !s.Parse(readFile(k.dir+"/settings", k.request[:])) {
		return unix.EINVAL
	}
	c := s.Container
	if s.Keeper != k.settings.Keeper || c == nil || c.Pid != k.Pid || c.Start != k.Start {
		return unix.ESTALE
	}
	was := k.Tunable
	k.Tunable = c.Tunable
	if k.Timeout != was.Timeout && k.cause == "" {
		k.limit()
	}
	if k.Probe != was.Probe && k.probe.fd < 0 { // one that runs says when the next is due
		k.probe.at = time.Time{}
		k.firstProbe()
	}
	k.Log.MaxSize, k.Log.MaxFiles = c.Log.MaxSize, c.Log.MaxFiles
	if k.log != nil {
		k.log.Limit(k.Log.MaxSize, int(k.Log.MaxFiles))
	}
	return 0
}

// limit sets the alarm of --timeout, which counts from the container's start.
func (k *keeper) limit() {
	k.stopAt = time.Time{}
	if k.Timeout > 0 {
		k.stopAt = time.Now().Add(timeLeft(k.Timeout, sinceBoot(), k.Start))
	}
}

func (k *keeper) firstProbe() {
	if k.Probe > 0 {
		k.probe.at = time.Now().Add(time.Duration(k.Probe))
	}
}
