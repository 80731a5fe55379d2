package verify

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/tare-engine/tare/test/verify/rig"
)

// docker14 are Docker's default capabilities, from its documentation: CHOWN
// DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE
// NET_RAW SYS_CHROOT MKNOD AUDIT_WRITE SETFCAP.
const docker14 = 1<<0 | 1<<1 | 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<13 | 1<<18 | 1<<27 | 1<<29 | 1<<31

const (
	capNetAdmin = 1 << 12
	capSysAdmin = 1 << 21
)

// TestCapabilities: the five sets are what the flags say, and what is dropped
// is refused.
func TestCapabilities(t *testing.T) {
	t.Parallel()
	r := rig.Test(t)
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	own, err := strconv.ParseUint(statusField(t, string(status), "CapBnd"), 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		flags     []string
		bounding  uint64
		effective uint64
	}{
		{nil, docker14, docker14},
		{[]string{"--cap-drop", "ALL"}, 0, 0},
		{[]string{"--cap-drop", "ALL", "--cap-add", "NET_ADMIN"}, capNetAdmin, capNetAdmin},
		{[]string{"--cap-add", "CAP_SYS_ADMIN", "--cap-drop", "chown"}, docker14&^1 | capSysAdmin, docker14&^1 | capSysAdmin},
		{[]string{"-u", "1000"}, docker14, 0},
		{[]string{"--privileged"}, own, own},
	} {
		out := r.Must(t, append(append([]string{"run", "--rm"}, tt.flags...), "tare/base", "cat", "/proc/self/status")...)
		for name, want := range map[string]uint64{
			"CapBnd": tt.bounding & own, "CapEff": tt.effective & own, "CapPrm": tt.effective & own, "CapInh": 0, "CapAmb": 0,
		} {
			if got := statusField(t, out, name); got != fmt.Sprintf("%016x", want) {
				t.Errorf("%v: %s is %s, want %016x", tt.flags, name, got, want)
			}
		}
	}

	for _, tt := range []struct {
		cmd  string
		with []string // flags that allow it
		not  []string // flags that forbid it
	}{
		{"mount -t tmpfs none /mnt", []string{"--cap-add", "SYS_ADMIN"}, nil},
		{"hostname other", []string{"--cap-add", "SYS_ADMIN"}, nil},
		{"ip link set lo down", []string{"--cap-add", "NET_ADMIN"}, nil},
		{"chown 5 /etc/passwd", nil, []string{"--cap-drop", "CHOWN"}},
		{"mknod /x c 1 3", nil, []string{"--cap-drop", "MKNOD"}},
		{"chroot / true", nil, []string{"--cap-drop", "SYS_CHROOT"}},
		{"chown 5 /tmp && chmod 700 /tmp && ls /tmp", nil, []string{"--cap-drop", "DAC_OVERRIDE"}},
	} {
		run := func(flags []string) rig.Result {
			return r.Run(t, append(append([]string{"run", "--rm"}, flags...), "tare/base", "sh", "-c", tt.cmd)...)
		}
		if res := run(tt.with); res.Code != 0 {
			t.Errorf("%s with %q: %+v", tt.cmd, tt.with, res)
		}
		if res := run(tt.not); res.Code == 0 || strings.HasPrefix(res.Err, "tare: ") {
			t.Errorf("%s with %q: %+v, want a refusal", tt.cmd, tt.not, res)
		}
	}
}
