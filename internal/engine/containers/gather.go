package containers

import (
	"os"
	"path/filepath"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/compose"
	"github.com/tare-engine/tare/internal/engine/ground"
	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/storage/snapshot"
)

// gather reads everything that a container is computed from: its image, the
// files of its root, the host, the environment of the caller. Nothing else
// does, and it changes nothing.
func (e *Room) gather(s *start) (*compose.Inputs, error) {
	c := s.config
	in, err := e.Inputs(s.id, c)
	if err != nil {
		return nil, err
	}
	in.RootPath, in.FilesDir = c.RootFS, filepath.Dir(e.State.FileName(s.id, "x"))
	lower := []string{c.RootFS}
	if s.image != nil {
		in.Image, lower = &s.image.Config, s.image.Lower
		in.RootPath = filepath.Dir(e.Snapshots.At(s.id, parentOf(s.image), c.HostConfig.AutoRemove).Upper)
	}
	if s.image != nil && s.image.Unmade != nil { // a plan
		in.Passwd, in.Group = []byte(s.image.Unmade["etc/passwd"]), []byte(s.image.Unmade["etc/group"])
	} else {
		in.Accounts = ground.Accounts(func(name string) (*os.File, error) { return snapshot.OpenInLayers(lower, name) })
	}
	in.UIDMap, in.GIDMap = idMappings(s.resolved.UIDMap), idMappings(s.resolved.GIDMap)
	in.Shared, in.Resolv, in.Hosts = s.sandbox.Shared, s.sandbox.Resolv, s.sandbox.Hosts
	if n := s.sandbox.Net; n != nil {
		in.Net = true
		in.Resolv, in.Hosts = n.Resolv, n.Hosts
	}
	in.VolumesDir = e.Volumes.Dir(s.id)
	in.VolumesFrom = ground.VolumesFrom(s.resolved)
	in.Passed = compose.Passed{FDs: s.q.Passed}
	if s.q.Passed > 0 {
		in.Passed.Names = os.Getenv("LISTEN_FDNAMES")
	}
	if notifies(c) && c.SdNotify != NotifyConmon {
		in.Notify = e.State.LiveDir(s.id) + "/notify"
	}
	return in, nil
}

// rootMount computes how the root file system of a container is mounted.
func (e *Room) rootMount(id string, c *api.ContainerConfig, img *store.Image) (snapshot.Mount, error) {
	if img != nil {
		return snapshot.MountPlan(e.Snapshots.At(id, parentOf(img), c.HostConfig.AutoRemove), e.Overlay())
	}
	snap, err := snapshot.Dir(c.RootFS)
	if err != nil {
		return snapshot.Mount{}, err
	}
	return snapshot.MountPlan(snap, e.Overlay())
}

func parentOf(img *store.Image) snapshot.Parent {
	return snapshot.Parent{Lower: img.Lower, Mode: img.Root.Mode, UID: img.Root.UID, GID: img.Root.GID}
}

// isDir says what kind of mount point a bind source needs, also for sources
// that are made with the container.
func isDir(comp *compose.Composition) func(source string) (bool, error) {
	return func(source string) (bool, error) {
		fi, err := os.Stat(source)
		switch {
		case err == nil:
			return fi.IsDir(), nil
		case comp.Makes(source):
			return true, nil
		case source == comp.Notify:
			return false, nil
		}
		return false, fault.New(fault.Invalid, "bind source path does not exist: %s", source)
	}
}
