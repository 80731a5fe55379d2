package state

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const execsEnv = "TARE_TEST_EXECS"

// again executes this program anew, from a process of several threads, as often as
// the environment says.
func again() {
	n, err := strconv.Atoi(os.Getenv(execsEnv))
	if err != nil {
		return
	}
	if n == 0 {
		os.Exit(0)
	}
	for range 3 {
		go func() { runtime.LockOSThread(); select {} }()
	}
	runtime.Gosched()
	err = syscall.Exec("/proc/self/exe", os.Args, []string{execsEnv + "=" + strconv.Itoa(n-1)})
	panic(err)
}

func TestMain(m *testing.M) {
	again()
	os.Exit(m.Run())
}

// TestLookExec: a process that executes a program is there all the time, whichever of
// its threads does it. A starter that becomes a keeper was taken for one that had
// been killed.
func TestLookExec(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{execsEnv + "=300"}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- waitZombie(cmd.Process.Pid) }()
	gone := false // which may be the end
	for looks := 0; ; looks++ {
		select {
		case err := <-ended:
			t.Logf("%d looks", looks)
			if err = errors.Join(err, cmd.Wait()); err != nil {
				t.Error(err)
			}
			return
		default:
		}
		switch life := p.Look(); {
		case life == Gone:
			gone = true
		case gone:
			t.Fatalf("gone at look %d, and then %v", looks, life)
		}
	}
}

// waitZombie waits until our child has ended, and leaves it to be reaped.
func waitZombie(pid int) error {
	return unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
}

// TestRemoveExecsDamaged: a list of commands that cannot be read keeps no container
// from being removed.
func TestRemoveExecsDamaged(t *testing.T) {
	dir := t.TempDir()
	s := Open(dir, dir, func(string) string { return "" })
	id := strings.Repeat("a", 64)
	if err := s.PutExec(id, &Exec{ID: strings.Repeat("b", 64), Container: id, Created: time.Now()}); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(dir+"/execs/"+id, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString(`{"id":"` + strings.Repeat("c", 64) + `","created":5}` + "\n")
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Execs(id); err == nil {
		t.Error("a damaged list was read")
	}
	if err := s.RemoveExecs(id); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir + "/execs/" + id); !os.IsNotExist(err) {
		t.Error(err)
	}
}
