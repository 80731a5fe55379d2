package keepers

import (
	"context"

	"github.com/tare-engine/tare/internal/keeper/wire"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"github.com/tare-engine/tare/internal/state"
	"golang.org/x/sys/unix"
)

// A keeper's settings are a file, which whoever holds the container's lock may
// replace.

func (k Keepers) settingsPath(id string) string { return k.State.LiveDir(id) + "/settings" }

// WriteSettings writes the settings of a keeper that this process will be.
func (k Keepers) WriteSettings(id string, s wire.Settings) (err error) {
	s.Keeper, s.Root, s.Run = unix.Getpid(), k.Root, k.RunRoot
	if s.Tare, err = k.Tare(); err != nil {
		return err
	}
	return k.replaceSettings(id, &s)
}

func (k Keepers) replaceSettings(id string, s *wire.Settings) error {
	return fsatomic.WriteFile(k.settingsPath(id), s.Append(make([]byte, 0, 1024)), 0o600, fsatomic.Volatile)
}

// ReadSettings reads those of a container that runs. ok is false where there
// are none that this tare understands.
func (k Keepers) ReadSettings(id string) (s wire.Settings, ok bool) {
	b, err := fsatomic.ReadFile(k.settingsPath(id))
	return s, err == nil && s.Parse(b) && s.Container != nil
}

// Retune gives a container's keeper new settings. The error is EOPNOTSUPP for
// one of an older tare.
func (k Keepers) Retune(ctx context.Context, r Kept, s *wire.Settings) error {
	if s.Container == nil {
		return unix.EOPNOTSUPP
	}
	if err := k.replaceSettings(r.ID, s); err != nil {
		return err
	}
	if r.Keeper.Look() == state.Gone {
		return nil // its successor reads the file
	}
	return k.Ask(ctx, r, wire.Reload)
}
