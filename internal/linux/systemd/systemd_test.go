package systemd

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
)

// bus is a fake manager: for each call it writes down what it was asked and
// writes the messages that answer returns.
type bus struct {
	socket string
	calls  chan string
}

func startBus(t *testing.T, answer func(n int, serial uint32, member string) [][]byte) *bus {
	t.Helper()
	b := &bus{socket: filepath.Join(t.TempDir(), "private"), calls: make(chan string, 8)}
	l, err := net.Listen("unix", b.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		begin := make([]byte, 256)
		n, err := c.Read(begin)
		if err != nil || !bytes.HasPrefix(begin, []byte("\x00AUTH EXTERNAL ")) || !bytes.HasSuffix(begin[:n], []byte("\r\nBEGIN\r\n")) {
			t.Errorf("begins with %q, %v", begin[:n], err)
			return
		}
		fmt.Fprint(c, "OK 0123456789abcdef0123456789abcdef\r\n")
		for i := 0; ; i++ {
			head := make([]byte, 16)
			if _, err := readFull(c, head); err != nil {
				return
			}
			_, total, err := sizes(head)
			if err != nil {
				t.Error(err)
				return
			}
			rest := make([]byte, total-16)
			if _, err := readFull(c, rest); err != nil {
				t.Error(err)
				return
			}
			m, err := decode(append(head, rest...))
			if err != nil {
				t.Error(err)
				return
			}
			b.calls <- m.member + " " + m.signature + " " + hex.EncodeToString(m.body)
			for _, out := range answer(i, head32(head, 8), m.member) {
				if _, err := c.Write(out); err != nil {
					return
				}
			}
		}
	}()
	return b
}

func head32(b []byte, at int) uint32 {
	return uint32(b[at]) | uint32(b[at+1])<<8 | uint32(b[at+2])<<16 | uint32(b[at+3])<<24
}

func readFull(c net.Conn, b []byte) (int, error) {
	n := 0
	for n < len(b) {
		m, err := c.Read(b[n:])
		if err != nil {
			return n, err
		}
		n += m
	}
	return n, nil
}

// reply encodes what a manager sends.
func reply(kind byte, serial uint32, member, name, sig string, fill func(*encoder)) []byte {
	body := &encoder{}
	if fill != nil {
		fill(body)
	}
	e := &encoder{b: []byte{'l', kind, 0, 1}}
	e.uint32(uint32(len(body.b)))
	e.uint32(99)
	e.array(8, func() {
		if serial != 0 {
			e.align(8)
			e.byte(fieldReplySerial)
			e.signature("u")
			e.uint32(serial)
		}
		for _, f := range []struct {
			code byte
			v    string
		}{{fieldMember, member}, {fieldErrorName, name}} {
			if f.v != "" {
				e.align(8)
				e.byte(f.code)
				e.signature("s")
				e.string(f.v)
			}
		}
		if sig != "" {
			e.align(8)
			e.byte(fieldSignature)
			e.signature("g")
			e.signature(sig)
		}
	})
	e.align(8)
	return append(e.b, body.b...)
}

func removed(job, result string) []byte {
	return reply(signal, 0, "JobRemoved", "", "uoss", func(e *encoder) {
		e.uint32(7)
		e.string(job)
		e.string("x.scope")
		e.string(result)
	})
}

func started(serial uint32, job string) []byte {
	return reply(methodReturn, serial, "", "", "o", func(e *encoder) { e.string(job) })
}

func TestStartScope(t *testing.T) {
	b := startBus(t, func(n int, serial uint32, _ string) [][]byte {
		switch n {
		case 0: // an old unit of that name
			return [][]byte{reply(errorReply, serial, "", "org.freedesktop.systemd1.UnitExists", "s", func(e *encoder) { e.string("exists") })}
		case 1:
			return [][]byte{reply(methodReturn, serial, "", "", "", nil)}
		default: // the signal may come before the answer
			return [][]byte{removed("/job/1", "failed"), removed("/job/2", "done"), started(serial, "/job/2")}
		}
	})
	c, err := Dial(b.socket, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.StartScope("x.scope", []Property{{"Delegate", true}, {"PIDs", []uint32{258}}, {"MemoryMax", uint64(1) << 33}, {"AllowedCPUs", []byte{3}}, {"Slice", "a.slice"}})
	if err != nil {
		t.Fatal(err)
	}
	first := <-b.calls
	if again := []string{<-b.calls, <-b.calls}; again[1] != first || !strings.HasPrefix(again[0], "ResetFailedUnit s ") {
		t.Errorf("calls: %q", again)
	}
	// Checked by hand, and by systemd itself in the VM: "x.scope", "replace",
	// an array of 0x8c bytes of (name, signature, value), an empty array.
	const want = "StartTransientUnit ssa(sv)a(sa(sv)) " +
		"07000000782e73636f706500" + "07000000" + "7265706c61636500" + "8c000000" + "00000000" +
		"0800000044656c656761746500" + "016200" + "01000000" + "00000000" +
		"040000005049447300" + "02617500" + "000000" + "04000000" + "02010000" +
		"090000004d656d6f72794d617800" + "017400" + "000000" + "00000000" + "0000000002000000" +
		"0b000000416c6c6f7765644350557300" + "02617900" + "01000000" + "03" + "00000000000000" +
		"05000000536c69636500" + "017300" + "000000" + "07000000612e736c69636500" + "00000000"
	if first != want {
		t.Errorf("got  %s\nwant %s", first, want)
	}
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer func(serial uint32) []byte
		want   string
		kind   fault.Kind
	}{
		{"denied", func(s uint32) []byte {
			return reply(errorReply, s, "", "org.freedesktop.DBus.Error.AccessDenied", "s", func(e *encoder) { e.string("no") })
		}, "start unit x.scope: no", fault.Denied},
		{"job", func(s uint32) []byte { return append(started(s, "/j"), removed("/j", "timeout")...) }, "start unit x.scope: its job ended as timeout", fault.Internal},
		{"garbage", func(uint32) []byte { return make([]byte, 16) }, "start unit x.scope: malformed message", fault.Internal},
		{"silence", func(uint32) []byte { return nil }, "start unit x.scope: systemd does not answer", fault.Unavailable},
	} {
		b := startBus(t, func(_ int, serial uint32, _ string) [][]byte { return [][]byte{tt.answer(serial)} })
		c, err := Dial(b.socket, 500*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.StartScope("x.scope", nil); err == nil || err.Error() != tt.want || fault.KindOf(err) != tt.kind {
			t.Errorf("%s: %v (%v), want %s (%v)", tt.name, err, fault.KindOf(err), tt.want, tt.kind)
		}
		c.Close()
	}
	if _, err := Dial("/nowhere", time.Second); fault.KindOf(err) != fault.Unsupported {
		t.Errorf("without systemd: %v", err)
	}
}

func TestControlGroup(t *testing.T) {
	b := startBus(t, func(_ int, serial uint32, _ string) [][]byte {
		return [][]byte{reply(methodReturn, serial, "", "", "v", func(e *encoder) { e.variant("/user.slice/x.service") })}
	})
	c, err := Dial(b.socket, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if g, err := c.ControlGroup(); err != nil || g != "/user.slice/x.service" {
		t.Errorf("%q, %v", g, err)
	}
}

func TestParseScope(t *testing.T) {
	for _, tt := range []struct {
		path string
		user bool
		want string // path of the cgroup; "" is an error
		unit string
	}{
		{"machine.slice:libpod:abc", false, "/machine.slice/libpod-abc.scope", "libpod-abc.scope"},
		{"a-b-c.slice:cri-containerd:x", false, "/a.slice/a-b.slice/a-b-c.slice/cri-containerd-x.scope", "cri-containerd-x.scope"},
		{":p:n", false, "/system.slice/p-n.scope", "p-n.scope"},
		{":p:n", true, "/user.slice/p-n.scope", "p-n.scope"},
		{"-.slice::n", false, "/n.scope", "n.scope"},
		{"a.slice::a-pod.slice", false, "/a.slice/a-pod.slice", "a-pod.slice"},
		{"", false, "/system.slice/tare-box.scope", "tare-box.scope"},
		{"/plain/path", false, "", ""},
		{"a:b", false, "", ""},
		{"a.slice:b:c:d", false, "", ""},
		{"a.slice:b:", false, "", ""},
		{"../a.slice:b:c", false, "", ""},
		{"a.slice:b:../c", false, "", ""},
		{"a--b.slice:b:c", false, "", ""},
		{"noslice:b:c", false, "", ""},
	} {
		s, err := ParseScope(tt.path, "box", tt.user)
		if (err != nil) != (tt.want == "") {
			t.Errorf("%q: %v", tt.path, err)
			continue
		}
		if err == nil && (s.Path() != tt.want || s.Unit != tt.unit) {
			t.Errorf("%q: %s, %s; want %s", tt.path, s.Path(), s.Unit, tt.want)
		}
	}
}

func TestResources(t *testing.T) {
	limit, swap, low, quota, shares, period, pids, weight := int64(64<<20), int64(96<<20), int64(-1), int64(33333), uint64(512), uint64(50000), int64(0), uint16(500)
	r := &specs.LinuxResources{
		Memory:  &specs.LinuxMemory{Limit: &limit, Swap: &swap, Reservation: &low},
		CPU:     &specs.LinuxCPU{Shares: &shares, Quota: &quota, Period: &period, Cpus: "0-1,8", Mems: "0"},
		Pids:    &specs.LinuxPids{Limit: &pids},
		BlockIO: &specs.LinuxBlockIO{Weight: &weight},
	}
	const unlimited = ^uint64(0)
	want := []Property{
		{"MemoryMax", uint64(64 << 20)},
		{"MemorySwapMax", uint64(32 << 20)},
		{"MemoryLow", unlimited},
		{"CPUWeight", uint64(59)},
		{"CPUQuotaPeriodUSec", uint64(50000)},
		{"CPUQuotaPerSecUSec", uint64(670000)},
		{"AllowedCPUs", []byte{3, 1}},
		{"AllowedMemoryNodes", []byte{1}},
		{"TasksMax", uint64(1)},
		{"IOWeight", uint64(4950)},
	}
	if got := Resources(r, true); !reflect.DeepEqual(got, want) {
		t.Errorf("v2: %v", got)
	}
	want = []Property{
		{"MemoryLimit", uint64(64 << 20)},
		{"CPUShares", uint64(512)},
		{"CPUQuotaPeriodUSec", uint64(50000)},
		{"CPUQuotaPerSecUSec", uint64(670000)},
		{"TasksMax", uint64(1)},
		{"BlockIOWeight", uint64(500)},
	}
	if got := Resources(r, false); !reflect.DeepEqual(got, want) {
		t.Errorf("v1: %v", got)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(removed("/j", "done"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		if m, err := decode(b); err == nil {
			d := &decoder{b: m.body}
			d.uint32()
			d.string()
		}
	})
}
