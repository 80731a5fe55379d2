package state

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseStat(t *testing.T) {
	const rest = "S 1 12 12 0 -1 4194368 5 6 7 8 1 2 3 4 20 0 1 0 345678 9 10\n"
	for _, name := range []string{"(sh)", "(a b) c)", "(\n)", "(x) S 1 2 3"} {
		if name == "(x) S 1 2 3" {
			name += ")"
		}
		st, err := parseStat([]byte("12 " + name + " " + rest))
		if err != nil || st.state != 'S' || st.flags != 4194368 || st.start != 345678 {
			t.Errorf("%q: %+v, %v", name, st, err)
		}
	}
	for _, text := range []string{"", "12 (sh)", "12 (sh) S 1 12", "12 (sh) S 1 12 12 0 -1 x 5 6 7 8 1 2 3 4 20 0 1 0 345678 9", "12 (sh) S 1 12 12 0 -1 4194368 5 6 7 8 1 2 3 4 20 0 1 0 "} {
		if st, err := parseStat([]byte(text)); err == nil {
			t.Errorf("%q: %+v", text, st)
		}
	}
	me, err := Identify(os.Getpid())
	if err != nil || me.Look() != Running {
		t.Errorf("%+v: %v", me, err)
	}
	me.Start++
	if me.Look() != Gone {
		t.Error("another process's pid")
	}
}

// TestLookUnknown: without a descriptor for it, a process is not gone.
func TestLookUnknown(t *testing.T) {
	me, err := Identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if l := me.Look(); l != Running {
		t.Fatalf("life %d", l)
	}
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	life := me.Look()
	_, open := me.Open()
	fd, _, held := me.Hold()
	kill := me.Kill()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if life != Unknown || open == nil || held == nil || fd >= 0 || kill == nil {
		t.Errorf("life %d, open %v, hold %d %v, kill %v", life, open, fd, held, kill)
	}
}
