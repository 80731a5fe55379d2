package containers

import (
	"testing"

	"github.com/tare-engine/tare/internal/api"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tare-engine/tare/internal/lib/fault"
)

func TestUpdated(t *testing.T) {
	pids := int64(7)
	old := &api.ContainerConfig{
		Config: api.Config{Env: []string{"A=1", "B=2"}, Labels: map[string]string{"x": "1", "y": "2"}},
		HostConfig: api.HostConfig{
			Binds: []string{"/a:/data/:ro", "/b:/b"}, Tmpfs: map[string]string{"/t": ""}, Mounts: []api.Mount{{Type: api.MountTmpfs, Target: "/m"}},
			PortBindings: map[string][]api.PortBinding{"80/tcp": {{HostPort: "80"}}},
			Resources:    api.Resources{Memory: 64, CPUShares: 5, Unified: map[string]string{"a": "1"}},
		},
	}
	c, err := updated(old, &UpdateOptions{
		Resources: api.Resources{Memory: 128, PidsLimit: &pids, Unified: map[string]string{"b": "2"}}, RestartPolicy: &api.RestartPolicy{Name: "always"},
		Env: []string{"A=new", "B", "C=3"}, Labels: map[string]string{"z": "3"}, LabelsRemove: []string{"x"},
		Binds: []string{"/c:/c"}, MountsRemove: []string{"/data", "/t/", "/m"},
		Publish: map[string][]api.PortBinding{"53/udp": {{HostPort: "53"}}}, PublishStop: []string{"80/tcp"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &api.ContainerConfig{
		Config: api.Config{Env: []string{"A=new", "B", "C=3"}, Labels: map[string]string{"y": "2", "z": "3"}},
		HostConfig: api.HostConfig{
			Binds: []string{"/b:/b", "/c:/c"}, Tmpfs: map[string]string{},
			PortBindings:  map[string][]api.PortBinding{"53/udp": {{HostPort: "53"}}},
			RestartPolicy: api.RestartPolicy{Name: "always"},
			Resources:     api.Resources{Memory: 128, CPUShares: 5, PidsLimit: &pids, Unified: map[string]string{"a": "1", "b": "2"}},
		},
	}
	if diff := cmp.Diff(c, want, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	if len(old.Env) != 2 || old.Env[1] != "B=2" || len(old.HostConfig.Binds) != 2 || old.HostConfig.Unified["b"] != "" {
		t.Errorf("the old configuration was changed: %+v", old)
	}
	for _, tt := range []struct {
		old  api.HostConfig
		o    UpdateOptions
		kind fault.Kind
	}{
		{api.HostConfig{AutoRemove: true}, UpdateOptions{RestartPolicy: &api.RestartPolicy{Name: "always"}}, fault.Invalid},
		{api.HostConfig{Resources: api.Resources{NanoCPUs: 1}}, UpdateOptions{Resources: api.Resources{CPUQuota: 1}}, fault.Conflict},
		{api.HostConfig{Resources: api.Resources{CPUPeriod: 1}}, UpdateOptions{Resources: api.Resources{NanoCPUs: 1}}, fault.Conflict},
		{api.HostConfig{}, UpdateOptions{Resources: api.Resources{NanoCPUs: 1, CPUPeriod: 1}}, fault.Invalid},
		{api.HostConfig{Resources: api.Resources{MemorySwap: 64}}, UpdateOptions{Resources: api.Resources{Memory: 65}}, fault.Conflict},
		{api.HostConfig{}, UpdateOptions{MountsRemove: []string{"/x"}}, fault.NotFound},
		{api.HostConfig{}, UpdateOptions{PublishStop: []string{"1/tcp"}}, fault.NotFound},
	} {
		if _, err := updated(&api.ContainerConfig{HostConfig: tt.old}, &tt.o); fault.KindOf(err) != tt.kind {
			t.Errorf("%+v: %v", tt.o, err)
		}
	}
}
