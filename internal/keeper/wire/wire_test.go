package wire

import (
	"reflect"
	"strings"
	"testing"
)

// some is a Settings with something in every field.
func some() Settings {
	c := NewContainer()
	c.Pid, c.Start, c.Child, c.Pidfd, c.In, c.Out, c.Err, c.Pty, c.Listen, c.Notify = 7, 1<<63, true, 3, 9, 4, 5, 10, 6, 11
	c.Client, c.ClientWant, c.StdinOnce, c.NotifyTo, c.NotifyNow = 7, 6, true, "@a=b", true
	c.Tunable = Tunable{Timeout: 1 << 40, StopSignal: 15, StopTimeout: -1, Probe: 30}
	c.LogDir = "/l"
	c.Log = Log{Driver: "json-file", File: "x.log", MaxSize: 10, MaxFiles: 3, Attrs: []string{"a=b=c", "d=\n\\n\\", ""}, Fields: []string{"F=1"}}
	return Settings{Keeper: 12, Tare: "/bin/tare", Root: "/r 1", Run: "/q", Container: c}
}

func TestSettings(t *testing.T) {
	s := some()
	for _, f := range s.fields(s.Container) {
		if f.key != "delay" && reflect.ValueOf(f.to).Elem().IsZero() {
			t.Errorf("%s: this test has no value for it", f.key)
		}
	}
	text := string(s.Append(nil))
	var got Settings
	if !got.Parse([]byte(text)) || !reflect.DeepEqual(got, s) {
		t.Errorf("got %+v\nof %q", got, text)
	}
	later := strings.Replace(text, "tare /", "of-a-later-tare 1\npod.pid 8\ncontainer.pod 8\ntare /", 1)
	if !got.Parse([]byte(later)) || !reflect.DeepEqual(got, s) {
		t.Errorf("a later tare's: got %+v\nof %q", got, later)
	}
	delay := Settings{Tare: "/bin/tare", Delay: 5}
	if !got.Parse(delay.Append(nil)) || !reflect.DeepEqual(got, delay) {
		t.Errorf("a delay: got %+v", got)
	}
	command := Settings{Keeper: 2, Tare: "/bin/tare", Exec: &ExecPart{s.Container.Process}}
	if !got.Parse(command.Append(nil)) || !reflect.DeepEqual(got, command) {
		t.Errorf("a command: got %+v", got)
	}
	sandbox := Settings{Tare: "/bin/tare", Sandbox: &SandboxPart{Gate: 4}}
	if !got.Parse(sandbox.Append(nil)) || !reflect.DeepEqual(got, sandbox) {
		t.Errorf("a sandbox: got %+v", got)
	}
	earlier := "version 1\ntare /bin/tare\ncontainer.pid 2\ncontainer.pidfd 3\nend\n"
	if !got.Parse([]byte(earlier)) || got.Container.Notify != -1 {
		t.Errorf("an earlier tare's: got %+v", got.Container)
	}
	for _, bad := range []string{
		"", "end\n", "version 1\nend\n", "version 2\ntare /t\nend\n", "tare /t\nend\n", "version 1\ntare /t\n", "version 1\ntare /t\nend\nmore",
		"version 1\ntare /t\ndelay x\nend\n", "version 1\ntare /t\ncontainer.pid 2\nend\n",
		"version 1\ntare /t\ncontainer.pid 2\ncontainer.pidfd 3\nexec.pid 2\nend\n", "version 1\ntare /t\nsandbox.gate -1\nend\n", "version 1\ntare \\t\nend\n", "version 1\ntare /t\\\nend\n",
		text[:len(text)-1],
	} {
		if got.Parse([]byte(bad)) {
			t.Errorf("%q was taken", bad)
		}
	}
}

// FuzzSettings: any text is refused or means what it says.
func FuzzSettings(f *testing.F) {
	s := some()
	f.Add(s.Append(nil))
	f.Add([]byte("version 1\ntare /t\\\\\\n\ndelay 5\nx\nend\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var s, again Settings
		if !s.Parse(text) {
			return
		}
		b := s.Append(nil)
		if !again.Parse(b) || !reflect.DeepEqual(s, again) {
			t.Errorf("%q\nis %+v\nwhich is written as %q\nand read as %+v", text, s, b, again)
		}
	})
}

func TestFailure(t *testing.T) {
	f := Failure{127, 3, "try this", true, "exec: \x00 no"}
	if got := ParseFailure(f.Append(nil)); got != f {
		t.Errorf("%+v", got)
	}
	if got := ParseFailure(nil); got.Code != 125 || got.Text == "" {
		t.Errorf("%+v", got)
	}
}

func TestGreeting(t *testing.T) {
	g := Greeting{Version, HasInput, 1 << 31, 1 << 22, 1<<63 + 1}
	if got, ok := ParseGreeting(g.Append(nil)); !ok || got != g {
		t.Errorf("%+v, %v", got, ok)
	}
	if got, ok := ParseGreeting([]byte{1, HasTerminal}); !ok || got != (Greeting{Version: 1, Has: HasTerminal}) {
		t.Errorf("of version 1: %+v, %v", got, ok)
	}
	for _, bad := range [][]byte{nil, {1}, {2, 0}, g.Append(nil)[:17]} {
		if _, ok := ParseGreeting(bad); ok {
			t.Errorf("%v was taken", bad)
		}
	}
}
