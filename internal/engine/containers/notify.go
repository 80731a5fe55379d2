package containers

import (
	"os"
	"strings"

	"github.com/tare-engine/tare/internal/engine/keepers"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/lib/fault"
	"golang.org/x/sys/unix"
)

// Who tells the service manager that the container is ready.
const (
	NotifyContainer = "container"
	NotifyConmon    = "conmon"
	NotifyIgnore    = "ignore"
)

// notifies reports whether a service manager waits to hear of the container
// (sd_notify(3)).
func notifies(c *api.ContainerConfig) bool {
	return os.Getenv("NOTIFY_SOCKET") != "" && c.SdNotify != NotifyIgnore
}

// listenReady makes the container's socket, where it is to say that it is
// ready: the manager does not know its processes, only the keeper, which passes
// on what is said.
func (k *keeper) listenReady(c *api.ContainerConfig, dir string, uid int) (err error) {
	if !notifies(c) {
		return nil
	}
	to := os.Getenv("NOTIFY_SOCKET")
	k.part.NotifyTo = to
	if c.SdNotify == NotifyConmon {
		k.part.NotifyNow = true
		return nil
	}
	if k.part.Notify, err = keepers.BindSocket(dir, "notify", unix.SOCK_DGRAM); err != nil {
		return err
	}
	if err := unix.Chown(dir+"/notify", uid, -1); err != nil && !strings.HasPrefix(to, "@") {
		return fault.New(fault.KindOf(err), "notify socket: %w", err)
	}
	return nil
}
