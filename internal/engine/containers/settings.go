package containers

import (
	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/ground"
	"github.com/tare-engine/tare/internal/keeper/logs"
	"github.com/tare-engine/tare/internal/keeper/wire"
	"github.com/tare-engine/tare/internal/state"
)

// tell fills in what a keeper is told of a container's configuration.
func (e *Room) tell(w *wire.ContainerPart, id string, c *api.ContainerConfig, img *api.ImageDefaults, log *logs.Config) {
	stop := stopOf(c, img)
	w.Tunable = wire.Tunable{
		Timeout: c.Timeout, StopSignal: int(stop.signal), StopTimeout: int64(stop.timeout), Probe: probeInterval(c, img),
	}
	w.StdinOnce = c.StdinOnce
	w.LogDir = e.LogDir(id)
	w.Log = wire.Log{Driver: log.Driver, File: log.File, MaxSize: log.MaxSize, MaxFiles: int64(log.MaxFile)}
	for _, a := range log.Attrs {
		w.Log.Attrs = append(w.Log.Attrs, a.Key+"="+a.Value)
	}
	for _, a := range log.Fields {
		w.Log.Fields = append(w.Log.Fields, a.Key+"="+a.Value)
	}
}

// tuned returns the settings of the keeper of a container that runs as they
// will be with the configuration c; nil where they stay as they are. It changes
// nothing. A keeper that had its settings as arguments has no file: what is to
// change for it is left out, and retune says so.
func (e *Room) tuned(r *state.Record, st state.Status, c *api.ContainerConfig) (*wire.Settings, error) {
	log, err := e.logConfig(r, c)
	if err != nil || !st.Running() || r.Keeper.Pid == 0 {
		return nil, err
	}
	img, err := e.ImageConfig(r)
	if err != nil {
		return nil, err
	}
	s, there := e.keepers.ReadSettings(r.ID)
	w := wire.NewContainer()
	e.tell(w, r.ID, c, img, &log)
	if !there {
		old, err := ground.Config(r)
		if err != nil {
			return nil, err
		}
		oldLog, err := e.logConfig(r, old)
		if err != nil {
			return nil, err
		}
		s.Container = wire.NewContainer()
		e.tell(s.Container, r.ID, old, img, &oldLog)
	}
	was := s.Container
	if was.Tunable == w.Tunable && was.Log.MaxSize == w.Log.MaxSize && was.Log.MaxFiles == w.Log.MaxFiles {
		return nil, nil
	}
	was.Tunable, was.Log.MaxSize, was.Log.MaxFiles = w.Tunable, w.Log.MaxSize, w.Log.MaxFiles
	if !there {
		return &wire.Settings{}, nil
	}
	return &s, nil
}
