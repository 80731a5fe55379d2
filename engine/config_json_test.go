package engine

import (
	"testing"

	"github.com/tare-engine/tare/internal/jsontest"
)

func TestEncodeConfig(t *testing.T) { jsontest.Same(t, appendContainerConfig) }

// TestConfigFormat pins what is on disk: a later tare must read it.
func TestConfigFormat(t *testing.T) {
	yes, limit := true, int64(64)
	c := ContainerConfig{
		Config: Config{
			Image: "tare/base", Cmd: []string{"sh", "-c", "a && b"}, Env: []string{"A=<b>"},
			Volumes: map[string]struct{}{"/v": {}}, Labels: map[string]string{"b": "2", "a": "1"},
		},
		HostConfig: HostConfig{
			AutoRemove: true, ConsoleSize: [2]uint{24, 80}, Init: &yes,
			PortBindings: map[string][]PortBinding{"80/tcp": {{HostPort: "8080"}}},
			Mounts:       []Mount{{Type: MountTmpfs, Target: "/t", TmpfsOptions: &TmpfsOptions{Options: [][]string{{"uid", "1"}}}}},
			Resources:    Resources{Memory: 1 << 20, PidsLimit: &limit, Ulimits: []Ulimit{{Name: "nofile", Hard: -1, Soft: 9}}},
		},
		Name: "web",
	}
	golden(t, "config.golden", append(appendContainerConfig(nil, &c), '\n'))
}
