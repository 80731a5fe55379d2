package verify

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/tare-engine/tare/test/verify/rig"
)

// TestIPC: message queues, semaphores and shared memory of System V and POSIX
// message queues are not seen across the border, either way. ipccheck of the
// built-in userland makes and lists one of each kind, here and there.
func TestIPC(t *testing.T) {
	t.Parallel()
	r := rig.Test(t)
	outside, inside := fmt.Sprintf("tare-out-%d", os.Getpid()), fmt.Sprintf("tare-in-%d", os.Getpid())
	host := func(verb, name string, want int) {
		t.Helper()
		if res := rig.Do(t, exec.Command(r.Bin+"/tare-base", "ipccheck", verb, name)); res.Code != want {
			t.Errorf("outside: %s %s: exit code %d, want %d\n%s%s", verb, name, res.Code, want, res.Out, res.Err)
		}
	}
	host("make", outside, 0)
	defer host("remove", outside, 0)
	host("list", outside, 0)

	const all, none = 0, 1 // exit codes of list
	c := r.Start(t, "run", "--rm", "-i", "tare/base", "sh", "-c", "ipccheck make "+inside+
		" && ipccheck list "+inside+" >/dev/null && echo ready; ipccheck list "+outside+"; echo $?; ipcs | wc -l; read x; ipccheck remove "+inside)
	for _, want := range []string{"msg none", "sem none", "shm none", "mqueue none", strconv.Itoa(none)} {
		if got := c.Line(); got != want {
			t.Errorf("what is made outside, seen inside: %q, want %q", got, want)
		}
	}
	c.Line()
	host("list", inside, none)

	for _, tt := range []struct {
		ipc, name string
		want      int
	}{
		{"private", inside, none},
		{"private", outside, none},
		{"host", outside, all}, // the check itself sees what is there
		{"host", inside, none},
		{fmt.Sprintf("ns:/proc/%d/ns/ipc", c.Init()), inside, all},
		{fmt.Sprintf("ns:/proc/%d/ns/ipc", c.Init()), outside, none},
	} {
		if res := r.Run(t, "run", "--rm", "--ipc", tt.ipc, "tare/base", "ipccheck", "list", tt.name); res.Code != tt.want {
			t.Errorf("--ipc %s: list %s: exit code %d, want %d\n%s%s", tt.ipc, tt.name, res.Code, tt.want, res.Out, res.Err)
		}
	}
	if res := c.Wait(); res.Code != 0 {
		t.Errorf("%+v", res)
	}
}
