package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tare-engine/tare/test/verify/rig"
	"golang.org/x/sys/unix"
)

// crashes is how many kills a run of the loop makes.
func crashes() int {
	if os.Getenv("TARE_SOAK") != "" {
		return 300
	}
	return 30
}

// TestCrashLoop kills commands, starters, keepers and containers at random
// moments of random commands. What ps shows afterwards is always what runs,
// every container can be removed by a plain command, and then nothing is left
// of any of them: no process, cgroup, mount, layer, name or record.
//
// TARE_CRASH_SEED repeats a run.
func TestCrashLoop(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if v, err := strconv.ParseUint(os.Getenv("TARE_CRASH_SEED"), 10, 64); err == nil {
		seed = v
	}
	t.Logf("TARE_CRASH_SEED=%d", seed)
	l := &crashLoop{T: t, r: rig.Test(t), rand: rand.New(rand.NewPCG(seed, 0))}
	defer func() {
		if t.Failed() {
			removeAll(l.r)
		}
	}()
	l.r.Must(t, "run", "--rm", "tare/base", "true") // makes the image
	for n := range crashes() {
		l.round(n)
		if t.Failed() {
			t.Fatalf("round %d: %s", n, strings.Join(l.history, "; "))
		}
	}
	for _, c := range l.list() {
		l.r.Must(t, "rm", "-f", c.ID)
	}
	l.calm()
}

type crashLoop struct {
	*testing.T
	r       *rig.Rig
	rand    *rand.Rand
	history []string
	made    int
}

type listed struct{ ID, State, Names string }

func (l *crashLoop) list() []listed {
	l.Helper()
	out := l.r.Must(l.T, "ps", "-a", "--no-trunc", "--format", "json")
	var list []listed
	for line := range strings.Lines(out) {
		var c listed
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			l.Fatalf("%v: %s", err, line)
		}
		list = append(list, c)
	}
	return list
}

// command chooses what is going to be interrupted.
func (l *crashLoop) command() []string {
	list := l.list()
	if len(list) < 2 || len(list) < 6 && l.rand.IntN(3) == 0 {
		l.made++
		args := []string{"run", "-d", "--name", "c" + strconv.Itoa(l.made), "--stop-timeout", "0"}
		switch l.rand.IntN(4) {
		case 0:
			args = append(args, "--rm")
		case 1:
			args = append(args, "--restart", "always")
		}
		return append(args, "tare/base", "sleep", "1000")
	}
	c := list[l.rand.IntN(len(list))]
	commands := [][]string{
		{"start", c.ID},
		{"stop", c.ID},
		{"kill", c.ID},
		{"pause", c.ID},
		{"unpause", c.ID},
		{"rm", "-f", c.ID},
		{"restart", c.ID},
		{"ps", "-a"},
	}
	return commands[l.rand.IntN(len(commands))]
}

// round interrupts one command.
func (l *crashLoop) round(n int) {
	args := l.command()
	cmd := l.r.Command(args...)
	if err := cmd.Start(); err != nil {
		l.Fatal(err)
	}
	time.Sleep(time.Duration(l.rand.IntN(25_000)) * time.Microsecond)
	victims := []string{"command", "starter", "keeper", "container"}
	victim := victims[l.rand.IntN(len(victims))]
	l.history = append(l.history, fmt.Sprintf("%d: %s, killed a %s", n, strings.Join(args, " "), victim))
	l.kill(victim, cmd.Process.Pid)
	_ = cmd.Wait() // however it ended
	l.check()
}

// kill kills one of the victims there are at this moment.
func (l *crashLoop) kill(victim string, command int) {
	var pids []int
	switch victim {
	case "command":
		pids = []int{command}
	case "starter", "keeper":
		for _, h := range l.r.Helpers() {
			if strings.HasPrefix(h.Args, "tare-keeper") == (victim == "keeper") {
				pids = append(pids, h.Pid)
			}
		}
	case "container":
		for _, p := range l.r.Procs() {
			pids = append(pids, p...)
		}
	}
	slices.Sort(pids)
	if len(pids) > 0 {
		_ = unix.Kill(pids[l.rand.IntN(len(pids))], unix.SIGKILL)
	}
}

// check compares what ps shows with what runs, where nothing changes
// meanwhile.
func (l *crashLoop) check() {
	before := l.r.Procs()
	list := l.list()
	after := l.r.Procs()
	for _, c := range list {
		runs := len(before[c.ID]) > 0
		if !slices.Equal(before[c.ID], after[c.ID]) {
			continue
		}
		switch c.State {
		case "running", "paused":
			if !runs {
				l.again(c, false)
			}
		case "created", "exited":
			if runs {
				l.again(c, true)
			}
		}
	}
}

// again looks once more, when what was under way has had its time.
func (l *crashLoop) again(c listed, runs bool) {
	time.Sleep(300 * time.Millisecond)
	now := l.r.Procs()
	if len(now[c.ID]) > 0 != runs {
		return
	}
	for _, d := range l.list() {
		shown := d.State == "running" || d.State == "paused"
		if d.ID == c.ID && shown != runs && d.State != "restarting" {
			l.Errorf("%s (%s) is shown as %s; its processes: %v", d.Names, d.ID, d.State, now[d.ID])
		}
	}
}

// calm waits for the helpers that are on their way out.
func (l *crashLoop) calm() {
	for deadline := time.Now().Add(5 * time.Second); len(l.r.Helpers()) > 0 && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	l.list() // whatever is pending is seen to
}
