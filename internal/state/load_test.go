package state

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/lib/exit"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
)

// sleeper is a process that stands for a container's, or for a keeper.
func sleeper(t *testing.T) (Proc, func()) {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Cleanup(end)
	p, err := Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	for p.Look() == Waiting {
		time.Sleep(time.Millisecond)
	}
	return p, end
}

// TestLoad: what is shown is the truth of the moment, whoever was killed.
func TestLoad(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	live, _ := sleeper(t)
	dead, end := sleeper(t)
	end()
	elsewhere := Proc{Pid: live.Pid, Start: live.Start, Boot: "another"}
	at := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	for _, tt := range []struct {
		name      string
		r         Record
		end       *exit.Seen
		want      Status
		code      int
		unsettled bool
	}{
		{name: "created", want: Created},
		{name: "runs", r: Record{Proc: live, Keeper: live}, want: Active},
		{name: "its keeper was killed", r: Record{Proc: live, Keeper: dead}, want: Active, unsettled: true},
		{name: "paused", r: Record{Proc: live, Keeper: live, Paused: true}, want: Paused},
		{name: "its end is noted", r: Record{Proc: dead, Keeper: live}, end: &exit.Seen{Code: 7}, want: Exited, code: 7},
		{name: "noted, and the keeper was killed", r: Record{Proc: dead, Keeper: dead}, end: &exit.Seen{Code: 7}, want: Exited, code: 7, unsettled: true},
		{name: "both were killed", r: Record{Proc: dead, Keeper: dead}, want: Exited, code: -1, unsettled: true},
		{name: "the keeper is slow", r: Record{Proc: dead, Keeper: live}, want: Active},
		{name: "the note is of another run", r: Record{Proc: dead, Keeper: dead}, end: &exit.Seen{Code: 7, Pid: 1}, want: Exited, code: -1, unsettled: true},
		{name: "written down", r: Record{Proc: dead, Exited: true, ExitCode: 3}, want: Exited, code: 3},
		{name: "will be started", r: Record{Proc: dead, Exited: true, RestartAt: at, Keeper: live}, want: Restarting},
		{name: "would be started", r: Record{Proc: dead, Exited: true, RestartAt: at, Keeper: dead}, want: Restarting, unsettled: true},
		{name: "before a reboot", r: Record{Proc: elsewhere, Keeper: elsewhere}, want: Exited, code: -1},
		{name: "waiting before a reboot", r: Record{Proc: elsewhere, Exited: true, RestartAt: at, Keeper: elsewhere}, want: Exited},
		{name: "half removed", r: Record{Removing: true}, want: Removing, unsettled: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := Open(t.TempDir(), t.TempDir(), nil)
			tt.r.ID, tt.r.Config = id, []byte("{}")
			if err := s.Create(&tt.r); err != nil {
				t.Fatal(err)
			}
			if err := s.MakeLive(id); err != nil {
				t.Fatal(err)
			}
			if tt.end != nil {
				if tt.end.Pid == 0 {
					tt.end.Pid = tt.r.Proc.Pid
				}
				tt.end.Start = tt.r.Proc.Start
				if err := fsatomic.ReplaceFile(s.LiveDir(id)+"/end", tt.end.Append(nil), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			r, st, err := s.Load(id)
			if err != nil || st != tt.want || st == Exited && r.ExitCode != tt.code || r.Unsettled(st) != tt.unsettled {
				t.Errorf("%s, code %d, unsettled %v, %v", st, r.ExitCode, r.Unsettled(st), err)
			}
		})
	}
}

// TestLock: one at a time, and a lock ends with its descriptor.
func TestLock(t *testing.T) {
	s := Open(t.TempDir(), t.TempDir(), nil)
	a, b := strings.Repeat("a", 64), strings.Repeat("b", 64)
	first, err := s.Lock(a)
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.Lock(b)
	if err != nil {
		t.Fatal(err)
	}
	other.Unlock()
	got := make(chan *Lock)
	go func() {
		l, err := s.Lock(a)
		if err != nil {
			t.Error(err)
		}
		got <- l
	}()
	select {
	case <-got:
		t.Fatal("two have it")
	case <-time.After(20 * time.Millisecond):
	}
	first.Unlock()
	first.Unlock()
	(<-got).Unlock()
}

// TestUnderway: a slot tells who is busy with a container.
func TestUnderway(t *testing.T) {
	s := Open(t.TempDir(), t.TempDir(), nil)
	id := strings.Repeat("a", 64)
	if s.Underway(id) {
		t.Error("before anything")
	}
	p, err := s.Begin(Pending{ID: id})
	if err != nil {
		t.Fatal(err)
	}
	if !s.Underway(id) || s.Underway(strings.Repeat("b", 64)) {
		t.Error("not seen")
	}
	p.Leave()
	if s.Underway(id) {
		t.Error("its process has ended")
	}
	calls := 0
	for range 2 {
		if err := s.CutOff(func(*Pending) error { calls++; return ErrLater }); err != nil {
			t.Error(err)
		}
	}
	if calls != 2 {
		t.Errorf("%d calls, want one for each look", calls)
	}
}

// TestLiveDir: what a run leaves there is gone, whatever it is.
func TestLiveDir(t *testing.T) {
	s := Open(t.TempDir(), t.TempDir(), nil)
	for range 2 {
		if err := s.MakeLive("x"); err != nil {
			t.Fatal(err)
		}
		for _, f := range []string{"/sock", "/stranger"} {
			if err := os.WriteFile(s.LiveDir("x")+f, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 2 {
		if err := s.RemoveLive("x"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Get("x"); fault.KindOf(err) != fault.NotFound {
		t.Error(err)
	}
}
