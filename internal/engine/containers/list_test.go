package containers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/state"
)

// TestListFilters lists records whose processes are long gone.
func TestListFilters(t *testing.T) {
	e, err := open(options{Root: t.TempDir(), RunRoot: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	me, err := state.Identify(1)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range []state.Record{
		{Name: "one", Labels: map[string]string{"app": "web", "tier": "1"}, Config: []byte(`{"Image":"x","HostConfig":{"NetworkMode":"host"}}`)},
		{Name: "two", Labels: map[string]string{"app": "db"}, Started: at, Exited: true, ExitCode: 3, Config: []byte(`{"HostConfig":{"Binds":["/srv:/data:ro"]}}`)},
		{Name: "web-2", Started: at, Exited: true, Remove: true, Config: []byte(`{}`)},
		{Name: "up", Started: at, Proc: me, Config: []byte(`{"ExposedPorts":{"80/tcp":{},"53/udp":{}}}`)},
	} {
		r.ID, r.Created = strings.Repeat(fmt.Sprint(i+1), 64), at.Add(time.Duration(i)*time.Second)
		if err := e.State.Reserve(r.Name, r.ID); err != nil {
			t.Fatal(err)
		}
		if err := e.State.Create(&r); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ filters, want string }{
		{"", "up"},
		{"all", "up web-2 two one"},
		{"all name=web", "web-2"},
		{"all name=^/two$", "two"},
		{"all name=o", "two one"},
		{"all name=^o name=2$", "web-2 one"},
		{"all id=^22", "two"},
		{"all id=33", "web-2"},
		{"all label=app", "two one"},
		{"all label=app=web label=tier", "one"},
		{"all label=app=web label=app=db", ""},
		{"all status=created", "one"},
		{"status=exited", "web-2 two"},
		{"status=created status=running", "up one"},
		{"all exited=0", "web-2"},
		{"all exited=3 exited=0", "web-2 two"},
		{"exited=3", ""},
		{"all before=web-2", "two one"},
		{"all since=two", "up web-2"},
		{"all since=one before=up", "web-2 two"},
		{"all volume=/data", "two"},
		{"all volume=/srv", "two"},
		{"all network=host", "one"},
		{"all network=none", "up web-2 two"},
		{"expose=80", "up"},
		{"expose=50-60/udp", "up"},
		{"expose=81", ""},
		{"publish=80", ""},
		{"health=none", "up"},
		{"health=healthy", ""},
		{"is-task=true", ""},
		{"is-task=false", "up"},
		{"all ancestor=no-such", ""},
		{"limit", "up web-2"},
		{"limit label=app", "two one"},
	} {
		o := api.ListOptions{}
		for word := range strings.FieldsSeq(tt.filters) {
			switch word {
			case "all":
				o.All = true
			case "limit":
				o.Limit = 2
			default:
				if err := o.Add(word); err != nil {
					t.Fatal(err)
				}
			}
		}
		list, err := e.List(t.Context(), o)
		if err != nil {
			t.Errorf("%s: %v", tt.filters, err)
		}
		var names []string
		for _, c := range list {
			names = append(names, c.Name)
		}
		if got := strings.Join(names, " "); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.filters, got, tt.want)
		}
	}
	for _, tt := range []struct {
		filter string
		kind   fault.Kind
	}{
		{"status=up", fault.Invalid},
		{"health=fine", fault.Invalid},
		{"exited=x", fault.Invalid},
		{"is-task=maybe", fault.Invalid},
		{"colour=red", fault.Invalid},
		{"publish=0-x", fault.Invalid},
		{"before=nobody", fault.NotFound},
		{"name=a.*b", fault.Unsupported},
	} {
		o := api.ListOptions{All: true}
		if err := o.Add(tt.filter); err != nil {
			t.Fatal(err)
		}
		if _, err := e.List(t.Context(), o); fault.KindOf(err) != tt.kind {
			t.Errorf("%s: %v", tt.filter, err)
		}
	}
}

func TestMountPoints(t *testing.T) {
	c := &api.ContainerConfig{HostConfig: api.HostConfig{
		Binds:  []string{"/z:/z/:ro,rslave", "data:/b"},
		Mounts: []api.Mount{{Type: api.MountTmpfs, Target: "/c"}, {Type: api.MountBind, Source: "/s", Target: "/a", ReadOnly: true}},
	}}
	want := "[{bind  /s /a   false rprivate} {volume data  /b local  true } {tmpfs   /c   true } {bind  /z /z  ro,rslave false rslave}]"
	if got := fmt.Sprint(mountPoints(c)); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
