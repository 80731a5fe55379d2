package container

import (
	"net"
	"os/exec"
	goruntime "runtime"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/testkit"
	"golang.org/x/sys/unix"
)

// ownNet puts the test's thread into a network namespace of its own, with
// devices made by ip(8).
func ownNet(t *testing.T, commands ...string) {
	t.Helper()
	testkit.Containers(t)
	ip, err := exec.LookPath("ip")
	if err != nil {
		t.Skip("needs ip, of iproute2")
	}
	goruntime.LockOSThread() // the thread ends with the test
	must(t, unix.Unshare(unix.CLONE_NEWNET))
	for _, c := range commands {
		if out, err := exec.Command(ip, strings.Fields(c)...).CombinedOutput(); err != nil {
			t.Skipf("ip %s: %v: %s", c, err, out)
		}
	}
}

func netDevices(d map[string]specs.LinuxNetDevice) edit {
	return func(c *Config) { c.Spec.Linux.NetDevices = d }
}

func TestNetDevices(t *testing.T) {
	ownNet(t, "link add eth9 type veth peer name peer9", "link set eth9 address 02:00:00:00:00:99 mtu 1400",
		"addr add 192.0.2.1/24 dev eth9", "addr add 2001:db8::1/64 dev eth9 nodad", "addr add 169.254.1.1/16 scope link dev eth9",
		"link set eth9 up", "link set peer9 up", "link add eth8 type veth peer name peer8")
	const show = `cd /sys/class/net; for d in *; do echo $d $(cat $d/address $d/mtu $d/flags); done; busybox ip -o addr show | awk '{print $2, $4}'`
	for name, edits := range map[string][]edit{"plain": nil, "user namespace": {withUserNS}} {
		as := "one"
		from := "eth9"
		if name == "user namespace" {
			as, from = "two%d", "eth8"
		}
		out := sh(t, show, append(edits, netDevices(map[string]specs.LinuxNetDevice{from: {Name: as}}))...)
		switch name {
		case "plain":
			for _, want := range []string{"one 02:00:00:00:00:99 1400 0x1003\n", "one 192.0.2.1/24\n", "one 2001:db8::1/64\n"} {
				if !strings.Contains(out, want) {
					t.Errorf("%s: no %q in\n%s", name, want, out)
				}
			}
			if strings.Contains(out, "169.254") {
				t.Errorf("%s: the link's own address was kept:\n%s", name, out)
			}
		default:
			if !strings.Contains(out, "two0 ") {
				t.Errorf("%s:\n%s", name, out)
			}
		}
	}
	if _, err := net.InterfaceByName("eth9"); err == nil {
		t.Error("eth9 is still here")
	}
}

func TestNetDevicesRefused(t *testing.T) {
	ownNet(t, "link add eth9 type veth peer name peer9")
	for _, tt := range []struct {
		want string
		dev  map[string]specs.LinuxNetDevice
	}{
		{"move network device nothing: no such device", map[string]specs.LinuxNetDevice{"nothing": {}}},
		{"move network device eth9: lo: file exists", map[string]specs.LinuxNetDevice{"eth9": {Name: "lo"}}},
		{"move network device lo: a loopback device belongs to its namespace", map[string]specs.LinuxNetDevice{"lo": {Name: "x"}}},
		{`network device "a/b": not a name`, map[string]specs.LinuxNetDevice{"eth9": {Name: "a/b"}}},
		{`network device "%d%d": not a name`, map[string]specs.LinuxNetDevice{"eth9": {Name: "%d%d"}}},
		{`network device "eth%d": not a name`, map[string]specs.LinuxNetDevice{"eth%d": {}}},
		{`network device "sixteen-letters-": not a name`, map[string]specs.LinuxNetDevice{"eth9": {Name: "sixteen-letters-"}}},
	} {
		cfg := newConfig(t, shell("true"), netDevices(tt.dev))
		noTraces(t, func() {
			if _, _, err := output(t, cfg); err == nil || err.Error() != tt.want {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
	cfg := newConfig(t, shell("true"), netDevices(map[string]specs.LinuxNetDevice{"eth9": {}}), func(c *Config) { dropNamespace(c.Spec, specs.NetworkNamespace) })
	if _, _, err := output(t, cfg); err == nil || err.Error() != "network devices: the container has no network namespace" {
		t.Errorf("%v", err)
	}
}

func FuzzNetlink(f *testing.F) {
	f.Add([]byte{20, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(_ *testing.T, b []byte) {
		var out []message
		_, _ = parse(b, 1, &out)
		for _, m := range out {
			attrs(m.body, func(uint16, []byte) {})
		}
	})
}
