package wire

import (
	"reflect"
	"testing"
)

func TestKeeperArgs(t *testing.T) {
	k := NewKeeper()
	k.ID, k.Dir, k.Tare, k.Root, k.Run = "0123", "/run/x y", "/bin/tare", "/r=1", "/q"
	k.Pid, k.Start, k.Child, k.Pidfd, k.Out, k.Err, k.Listen, k.Client, k.ClientWant = 7, 1<<63, true, 3, 4, 5, 6, 7, 6
	k.StdinOnce, k.NotifyTo, k.Timeout, k.StopSignal, k.StopTimeout, k.Probe = true, "@a=b", 1<<40, 15, -1, 30
	k.LogDir = "/l"
	k.Log = Log{Driver: "json-file", File: "x.log", MaxSize: 10, MaxFiles: 3, Attrs: []string{"a=b=c", "d="}, Fields: []string{"F=1"}}
	args := k.Args()
	got := NewKeeper()
	if !got.Parse(append(args[1:], "of-a-newer-tare=1")) || !reflect.DeepEqual(got, k) {
		t.Errorf("got %+v\nof %q", got, args)
	}
	for _, bad := range [][]string{nil, {"id=1"}, {"id=1", "dir=x", "pid=a", "pidfd=3"}, {"id=1", "dir=x", "pid=2"}} {
		k := NewKeeper()
		if k.Parse(bad) {
			t.Errorf("%q was taken", bad)
		}
	}
}

func FuzzEnd(f *testing.F) {
	e := End{Pid: 12, Start: 34, Code: 137, Signal: 9, Time: 1e18, Cause: "timeout"}
	f.Add(e.Append(nil))
	f.Add([]byte("1 2 3"))
	f.Add([]byte("   \n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, ok := ParseEnd(text)
		if !ok {
			return
		}
		again, ok := ParseEnd(append(e.Append(nil), "   rest of an older one\n"...))
		if !ok || again != e {
			t.Errorf("%+v became %+v", e, again)
		}
	})
}

func TestEndOf(t *testing.T) {
	for status, want := range map[int]End{0: {}, 7 << 8: {Code: 7}, 9: {Code: 137, Signal: 9}, 0x8b: {Code: 139, Signal: 11}} {
		if got := EndOf(status); got != want {
			t.Errorf("%#x: %+v, want %+v", status, got, want)
		}
	}
}

func TestFailure(t *testing.T) {
	f := Failure{127, 3, "try this", "exec: \x00 no"}
	if got := ParseFailure(f.Append(nil)); got != f {
		t.Errorf("%+v", got)
	}
	if got := ParseFailure(nil); got.Code != 125 || got.Text == "" {
		t.Errorf("%+v", got)
	}
}
