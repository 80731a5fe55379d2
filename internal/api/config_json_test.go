package api

import (
	"os"
	"testing"

	"github.com/tare-engine/tare/internal/lib/jsontest"
	"github.com/tare-engine/tare/internal/lib/testkit"
)

func TestEncodeConfig(t *testing.T) {
	jsontest.Same(t, appendContainerConfig)
	jsontest.Same(t, appendExecConfig)
}

func TestDecodeConfig(t *testing.T) {
	jsontest.Reads(t, readContainerConfig, nil)
	jsontest.Reads(t, readExecConfig, nil)
	jsontest.Reads(t, readHealthcheck, nil)
}

// FuzzConfig: a configuration is read as encoding/json reads it, or refused by
// both.
func FuzzConfig(f *testing.F) {
	for _, name := range []string{"config.golden", "real.json"} {
		b, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"Cmd":["a"],"Cmd":null,"ExposedPorts":{"80/tcp":{}},"HostConfig":{"ConsoleSize":[1,2,3],"Mounts":[{"TmpfsOptions":{"Options":[["a"],null]}}],"Init":null}}`))
	f.Add([]byte(`{"Test":["CMD","true"],"Interval":5,"Privileged":true,"Cmd":["x"]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		jsontest.Agree(t, text, readContainerConfig)
		jsontest.Agree(t, text, readExecConfig)
		jsontest.Agree(t, text, readHealthcheck)
	})
}

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
	testkit.Golden(t, "config.golden", append(appendContainerConfig(nil, &c), '\n'))
}
