package engine

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tare-engine/tare/fault"
)

func TestUpdated(t *testing.T) {
	pids := int64(7)
	old := &ContainerConfig{
		Config: Config{Env: []string{"A=1", "B=2"}, Labels: map[string]string{"x": "1", "y": "2"}},
		HostConfig: HostConfig{
			Binds: []string{"/a:/data/:ro", "/b:/b"}, Tmpfs: map[string]string{"/t": ""}, Mounts: []Mount{{Type: MountTmpfs, Target: "/m"}},
			PortBindings: map[string][]PortBinding{"80/tcp": {{HostPort: "80"}}},
			Resources:    Resources{Memory: 64, CPUShares: 5, Unified: map[string]string{"a": "1"}},
		},
	}
	c, err := updated(old, &UpdateOptions{
		Resources: Resources{Memory: 128, PidsLimit: &pids, Unified: map[string]string{"b": "2"}}, RestartPolicy: &RestartPolicy{Name: "always"},
		Env: []string{"A=new", "B", "C=3"}, Labels: map[string]string{"z": "3"}, LabelsRemove: []string{"x"},
		Binds: []string{"/c:/c"}, MountsRemove: []string{"/data", "/t/", "/m"},
		Publish: map[string][]PortBinding{"53/udp": {{HostPort: "53"}}}, PublishStop: []string{"80/tcp"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &ContainerConfig{
		Config: Config{Env: []string{"A=new", "B", "C=3"}, Labels: map[string]string{"y": "2", "z": "3"}},
		HostConfig: HostConfig{
			Binds: []string{"/b:/b", "/c:/c"}, Tmpfs: map[string]string{},
			PortBindings:  map[string][]PortBinding{"53/udp": {{HostPort: "53"}}},
			RestartPolicy: RestartPolicy{Name: "always"},
			Resources:     Resources{Memory: 128, CPUShares: 5, PidsLimit: &pids, Unified: map[string]string{"a": "1", "b": "2"}},
		},
	}
	if diff := cmp.Diff(c, want, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	if len(old.Env) != 2 || old.Env[1] != "B=2" || len(old.HostConfig.Binds) != 2 || old.HostConfig.Unified["b"] != "" {
		t.Errorf("the old configuration was changed: %+v", old)
	}
	for _, tt := range []struct {
		old  HostConfig
		o    UpdateOptions
		kind fault.Kind
	}{
		{HostConfig{AutoRemove: true}, UpdateOptions{RestartPolicy: &RestartPolicy{Name: "always"}}, fault.Invalid},
		{HostConfig{Resources: Resources{NanoCPUs: 1}}, UpdateOptions{Resources: Resources{CPUQuota: 1}}, fault.Conflict},
		{HostConfig{Resources: Resources{CPUPeriod: 1}}, UpdateOptions{Resources: Resources{NanoCPUs: 1}}, fault.Conflict},
		{HostConfig{}, UpdateOptions{Resources: Resources{NanoCPUs: 1, CPUPeriod: 1}}, fault.Invalid},
		{HostConfig{Resources: Resources{MemorySwap: 64}}, UpdateOptions{Resources: Resources{Memory: 65}}, fault.Conflict},
		{HostConfig{}, UpdateOptions{MountsRemove: []string{"/x"}}, fault.NotFound},
		{HostConfig{}, UpdateOptions{PublishStop: []string{"1/tcp"}}, fault.NotFound},
	} {
		if _, err := updated(&ContainerConfig{HostConfig: tt.old}, &tt.o); fault.KindOf(err) != tt.kind {
			t.Errorf("%+v: %v", tt.o, err)
		}
	}
}
