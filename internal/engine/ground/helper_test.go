package ground

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFork: a process that has the engine in it keeps no dead children.
func TestFork(t *testing.T) {
	g := &Ground{}
	fork := func() int {
		pid, err := g.Fork("/bin/true", []string{"true"}, &syscall.ProcAttr{})
		if err != nil {
			t.Fatal(err)
		}
		return pid
	}
	first := fork()
	state := func() string {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(first) + "/stat")
		if err != nil {
			return "gone"
		}
		return strings.Fields(string(b))[2]
	}
	for deadline := time.Now().Add(10 * time.Second); state() != "Z"; {
		if time.Now().After(deadline) {
			t.Fatal("it does not end")
		}
		time.Sleep(time.Millisecond)
	}
	fork()
	if s := state(); s != "gone" {
		t.Errorf("the first one is %s", s)
	}
}
