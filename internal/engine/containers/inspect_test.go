package containers

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/engine/images"

	"github.com/tare-engine/tare/internal/api"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/container"
	mobyimage "github.com/moby/moby/api/types/image"

	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/spec/oci"
	"github.com/tare-engine/tare/internal/state"
)

// notDockers are the members that today's Docker does not have: tare's own,
// and those that it had up to its API 1.51 and that scripts still ask for.
var notDockers = map[string][]string{
	"":                {"CgroupPath", "RootFS", "Personality", "Umask", "TimeOffsets", "Receipt"},
	"HostConfig":      {"CpuBurst", "Unified"},
	"NetworkSettings": {"Bridge", "HairpinMode", "LinkLocalIPv6Address", "LinkLocalIPv6PrefixLen", "SecondaryIPAddresses", "SecondaryIPv6Addresses", "EndpointID", "Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPAddress", "IPPrefixLen", "IPv6Gateway", "MacAddress"},
}

// sameShape decodes ours strictly into Docker's own type, encodes that again,
// and compares.
func sameShape[T any](t *testing.T, ours any, notDockers map[string][]string) {
	t.Helper()
	b, err := json.Marshal(ours)
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]any
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	for where, names := range notDockers {
		m := want
		if where != "" {
			m, _ = want[where].(map[string]any)
		}
		for _, n := range names {
			delete(m, n)
		}
	}
	if b, err = json.Marshal(want); err != nil {
		t.Fatal(err)
	}
	var theirs T
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&theirs); err != nil {
		t.Fatalf("Docker does not know it: %v\n%s", err, b)
	}
	if b, err = json.Marshal(theirs); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("- Docker's, + ours:\n%s", diff)
	}
}

var testImage = api.ImageDefaults{
	User: "app", Env: []string{"PATH=/bin", "A=image"}, Entrypoint: []string{"/entry"}, Cmd: []string{"serve"},
	WorkingDir: "/srv", Volumes: []string{"/data"}, ExposedPorts: []string{"80/tcp", "53/udp"},
	Labels: map[string]string{"from": "image", "app": "image"}, StopSignal: "SIGUSR1",
	Healthcheck: []byte(`{"Test":["CMD","true"],"Interval":5000000000}`), Shell: []string{"/bin/sh", "-c"}, OnBuild: []string{"RUN x"},
}

func TestInspectShape(t *testing.T) {
	at := time.Date(2026, 5, 4, 3, 2, 1, 123456789, time.FixedZone("", 3600))
	yes, swap := true, int64(5)
	full := &api.ContainerConfig{Config: api.Config{
		Env: []string{"B=1", "A=mine"}, Labels: map[string]string{"app": "mine"}, ExposedPorts: map[string]struct{}{"8080/tcp": {}},
		StopTimeout: new(int), Tty: true, Image: "debian",
	}, HostConfig: api.HostConfig{
		Binds: []string{"/a:/b:ro"}, PortBindings: map[string][]api.PortBinding{"80/tcp": {{HostIP: "127.0.0.1", HostPort: "8080"}}},
		DNS: []string{"10.0.0.1"}, Init: &yes, Annotations: map[string]string{"k": "v"}, Tmpfs: map[string]string{"/t": "size=1m"},
		Sysctls: map[string]string{"a": "b"}, StorageOpt: map[string]string{"size": "1"}, CapAdd: []string{"NET_ADMIN"},
		Resources: api.Resources{
			Memory: 1 << 20, MemorySwappiness: &swap, OomKillDisable: &yes, PidsLimit: &swap, CPUBurst: 5, Unified: map[string]string{"memory.high": "1"},
			Devices: []api.DeviceMapping{{PathOnHost: "/dev/a", PathInContainer: "/dev/b", CgroupPermissions: "rwm"}}, Ulimits: []api.Ulimit{{Name: "nofile", Hard: 10, Soft: 5}},
			BlkioWeightDevice: []api.WeightDevice{{Path: "/dev/a", Weight: 5}}, BlkioDeviceReadBps: []api.ThrottleDevice{{Path: "/dev/a", Rate: 5}},
		},
		Mounts: []api.Mount{
			{Type: api.MountBind, Source: "/x", Target: "/y", BindOptions: &api.BindOptions{Propagation: "rslave", NonRecursive: true}},
			{Type: api.MountTmpfs, Target: "/z", TmpfsOptions: &api.TmpfsOptions{SizeBytes: 5, Mode: 0o755}},
		},
	}}
	rec := state.Record{ID: "0123456789abcdef", Name: "web", Created: at, Started: at, Command: []string{"/entry", "serve"}, ImageID: "sha256:00"}
	size := int64(7)
	for name, info := range map[string]*api.ContainerInfo{
		"empty":   containerInfo(&rec, &api.ContainerSummary{Status: api.StatusCreated}, &api.ContainerConfig{}, nil, oci.Default(nil).Linux),
		"full":    containerInfo(&rec, &api.ContainerSummary{Status: api.StatusRunning, Pid: 7, Started: at}, full, &store.Image{Config: testImage}, oci.Default(nil).Linux),
		"nothing": containerInfo(&state.Record{}, &api.ContainerSummary{Status: api.StatusDead}, &api.ContainerConfig{}, nil, oci.Default(nil).Linux),
	} {
		info.GraphDriver = api.GraphDriver{Name: "overlay", Data: map[string]string{"UpperDir": "/u"}}
		if name == "full" {
			info.SizeRw, info.SizeRootFs = &size, &size
		}
		t.Run(name, func(t *testing.T) { sameShape[container.InspectResponse](t, info, notDockers) })
	}
}

func TestInspectMerge(t *testing.T) {
	info := containerInfo(&state.Record{ID: "0123456789abcdef"}, &api.ContainerSummary{}, &api.ContainerConfig{Config: api.Config{
		Env: []string{"B=1", "A=mine"}, Labels: map[string]string{"app": "mine"}, Cmd: []string{"other"},
	}}, &store.Image{Config: testImage}, oci.Default(nil).Linux)
	c := info.Config
	got := []any{c.Hostname, c.Env, c.Labels, c.Entrypoint, c.Cmd, c.User, c.WorkingDir, c.StopSignal, len(c.ExposedPorts), len(c.Volumes), c.Healthcheck.Interval}
	want := []any{
		"0123456789ab",
		[]string{"B=1", "A=mine", "PATH=/bin"},
		map[string]string{"app": "mine", "from": "image"},
		[]string{"/entry"},
		[]string{"other"},
		"app", "/srv", "SIGUSR1", 2, 1, int64(5e9),
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Error(diff)
	}
}

func TestImageInspectShape(t *testing.T) {
	for name, c := range map[string]api.ImageDefaults{"empty": {}, "full": testImage} {
		t.Run(name, func(t *testing.T) {
			info := &api.ImageInfo{
				ID: "sha256:00", RepoTags: []string{}, RepoDigests: []string{}, Created: api.Stamp(time.Time{}), Comment: "c", Author: "a",
				Config: images.ConfigOf(&c), Architecture: "amd64", Os: "linux", Size: 5, Variant: "v8",
				RootFS: api.ImageRootFS{Type: "layers", Layers: []string{"sha256:11"}}, GraphDriver: api.GraphDriver{Name: "overlay", Data: map[string]string{}},
			}
			info.Metadata.LastTagTime = api.Stamp(time.Time{})
			sameShape[mobyimage.InspectResponse](t, info, map[string][]string{"": {"Parent", "DockerVersion"}})
		})
	}
}
