package contest

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// logging is a hook that notes its name and the state that it was given.
func (b *bundle) logging(name string) []specs.Hook {
	return []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "read s; echo " + name + " $s >>" + b.dir + "/hooks"}}}
}

func TestHooks(t *testing.T) {
	b := newBundle(t, "true")
	b.spec.Hooks = &specs.Hooks{
		Prestart: b.logging("prestart"), CreateRuntime: b.logging("createRuntime"), //nolint:staticcheck // in use still
		Poststart: b.logging("poststart"), Poststop: b.logging("poststop"),
	}
	if o := b.create(); o.code != 0 {
		t.Fatal(o)
	}
	if got := strings.Count(read(t, b.dir+"/hooks"), "\n"); got != 2 {
		t.Errorf("%d hooks after create", got)
	}
	if o := b.runtime("start", b.id); o.code != 0 {
		t.Fatal(o)
	}
	b.becomes(specs.StateStopped)
	if o := b.runtime("delete", b.id); o.code != 0 {
		t.Fatal(o)
	}
	want := []string{"prestart", "createRuntime", "poststart", "poststop"}
	lines := strings.Split(strings.TrimSpace(read(t, b.dir+"/hooks")), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d hooks ran: %q", len(lines), lines)
	}
	for i, l := range lines {
		name, text, _ := strings.Cut(l, " ")
		var s specs.State
		if err := json.Unmarshal([]byte(text), &s); err != nil || name != want[i] || s.ID != b.id || s.Bundle != b.dir || s.Version == "" {
			t.Errorf("hook %d: want %s, got %s with %v %+v", i, want[i], name, err, s)
		}
		if i < 2 && s.Pid == 0 {
			t.Errorf("%s: no pid", name)
		}
	}
}

func TestHookFails(t *testing.T) {
	b := newBundle(t, "true")
	b.spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "echo reason >&2; exit 3"}}}}
	o := b.create()
	refused(t, o)
	if world.name != "crun" && !strings.Contains(o.err, "reason") { // crun passes on no output
		t.Errorf("the hook's own reason is not there: %v", o)
	}
	refused(t, b.runtime("state", b.id))
}

func TestHookTimeout(t *testing.T) {
	b := newBundle(t, "true")
	b.spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/sleep", Args: []string{"sleep", "1000"}, Timeout: ptr(1)}}}
	refused(t, b.create())
}

func TestContainerHooks(t *testing.T) {
	b := newBundle(t, "cat /data/hook")
	b.spec.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "cat /proc/sys/kernel/hostname >/data/hook"}, Env: []string{"PATH=/bin"}}}}
	wantOut(t, b.run(), "contest") // in the container's namespaces and root
	b = newBundle(t, "true")
	b.spec.Hooks = &specs.Hooks{CreateContainer: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "cat /proc/sys/kernel/hostname >" + b.dir + "/hook"}, Env: []string{"PATH=/bin:/usr/bin"}}}}
	if o := b.run(); o.code != 0 {
		t.Fatal(o)
	}
	if _, err := os.Stat(b.dir + "/hook"); err != nil {
		t.Error("createContainer: the runtime's files are not there")
	}
}
