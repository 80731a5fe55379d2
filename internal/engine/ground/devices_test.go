package ground

import (
	"testing"

	"github.com/tare-engine/tare/internal/api"
)

func TestDeviceSource(t *testing.T) {
	devices := []api.DeviceMapping{
		{PathOnHost: "/dev/sdb", PathInContainer: "/dev/sda"},
		{PathOnHost: "/dev/snd/", PathInContainer: "/dev/sound"},
		{PathOnHost: "/dev/fuse"},
	}
	for inside, want := range map[string]string{
		"/dev/sda": "/dev/sdb", "/dev/sda1": "/dev/sda1", "/dev/sound/card/a": "/dev/snd/card/a",
		"/dev/fuse": "/dev/fuse", "/dev/null": "/dev/null",
	} {
		if got := DeviceSource(devices, inside); got != want {
			t.Errorf("%s: %s, want %s", inside, got, want)
		}
	}
}
