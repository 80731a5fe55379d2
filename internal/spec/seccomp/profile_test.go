package seccomp

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	moby "github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/testkit"
	"golang.org/x/sys/unix"
)

// thisHost is what moby's own loader sees.
func thisHost(t *testing.T, caps []string) Host {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	return Host{Kernel: ParseVersion(unix.ByteSliceToString(u.Release[:])), Caps: caps}
}

func specWith(caps []string) *specs.Spec {
	return &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: caps}}}
}

// TestDefaultIsMobys compares our resolution of the profile's conditions with
// the library's.
func TestDefaultIsMobys(t *testing.T) {
	for name, caps := range capSets {
		want, err := moby.GetDefaultProfile(specWith(caps))
		if err != nil {
			t.Fatal(err)
		}
		if got := Default(thisHost(t, caps)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s: our default profile is not moby's", runtime.GOARCH, name)
		}
	}
}

// TestParseFileIsMobys does the same for the profile as a file.
func TestParseFileIsMobys(t *testing.T) {
	text, err := json.Marshal(moby.DefaultProfile())
	if err != nil {
		t.Fatal(err)
	}
	for name, caps := range capSets {
		want, err := moby.LoadProfile(string(text), specWith(caps))
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseFile(text, thisHost(t, caps))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: not what moby loads", name)
		}
	}
}

func TestParseFile(t *testing.T) {
	h := Host{GOARCH: "amd64", Kernel: Version{5, 15}, Caps: []string{"CAP_KILL"}}
	errno := uint(38)
	allow := func(names ...string) specs.LinuxSyscall {
		return specs.LinuxSyscall{Names: names, Action: specs.ActAllow}
	}
	for _, tt := range []struct {
		name, in string
		want     *specs.LinuxSeccomp
		err      string
	}{
		{
			name: "plain OCI",
			in: `{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"architectures":["SCMP_ARCH_X86_64"],
				"flags":["SECCOMP_FILTER_FLAG_LOG"],"listenerPath":"/run/l","listenerMetadata":"m",
				"syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":1,"value":2,"valueTwo":3,"op":"SCMP_CMP_MASKED_EQ"}]}]}`,
			want: &specs.LinuxSeccomp{
				DefaultAction: specs.ActErrno, DefaultErrnoRet: &errno, Architectures: []specs.Arch{specs.ArchX86_64},
				Flags: []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog}, ListenerPath: "/run/l", ListenerMetadata: "m",
				Syscalls: []specs.LinuxSyscall{{Names: []string{"read"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: 1, Value: 2, ValueTwo: 3, Op: specs.OpMaskedEqual}}}},
			},
		},
		{
			name: "Docker's conditions",
			in: `{"defaultAction":"SCMP_ACT_ERRNO",
				"archMap":[{"architecture":"SCMP_ARCH_AARCH64","subArchitectures":["SCMP_ARCH_ARM"]},{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}],
				"syscalls":[
				{"name":"read","action":"SCMP_ACT_ALLOW","comment":"old style","includes":{},"excludes":{}},
				{"names":["kill"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_KILL"]}},
				{"names":["chown"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_KILL","CAP_CHOWN"]}},
				{"names":["tkill"],"action":"SCMP_ACT_ALLOW","excludes":{"caps":["CAP_KILL"]}},
				{"names":["mount"],"action":"SCMP_ACT_ALLOW","excludes":{"caps":["CAP_SYS_ADMIN"],"arches":["s390"]}},
				{"names":["ptrace"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"4.8"}},
				{"names":["bpf"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"6.0"}},
				{"names":["acct"],"action":"SCMP_ACT_ALLOW","excludes":{"minKernel":"5.15"}},
				{"names":["arch_prctl"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["amd64","x32"]}},
				{"names":["set_tls"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["arm"]}},
				{"names":["swapon"],"action":"SCMP_ACT_ALLOW","excludes":{"arches":["amd64"]}}]}`,
			want: &specs.LinuxSeccomp{
				DefaultAction: specs.ActErrno, Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX86},
				Syscalls: []specs.LinuxSyscall{allow("read"), allow("kill"), allow("mount"), allow("ptrace"), allow("arch_prctl")},
			},
		},
		{name: "empty", in: "", err: "ends early"},
		{name: "cut", in: `{"defaultAction":`, err: "ends early"},
		{name: "no object", in: `[]`, err: "is a array, not an object"},
		{name: "disabled", in: `{}`, err: "defaultAction: is missing"},
		{name: "two values", in: `{"defaultAction":"SCMP_ACT_ALLOW"} {}`, err: "has data after its end"},
		{name: "syntax", in: `{"defaultAction" "x"}`, err: "byte 18: invalid character '\"' after object key"},
		{name: "unknown field", in: `{"defaultAction":"SCMP_ACT_ALLOW","sycalls":[]}`, err: `unknown field "sycalls"`},
		{name: "unknown rule field", in: `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"act":"x"}]}`, err: `unknown field "act"`},
		{name: "type", in: `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":"read"}]}`, err: "syscalls.names: is a string"},
		{name: "null rule", in: `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[null]}`, err: "syscalls[0]: is null"},
		{name: "both names", in: `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"a","names":["b"],"action":"SCMP_ACT_KILL"}]}`, err: "syscalls[0]: has both name and names"},
		{name: "both arches", in: `{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"archMap":[{"architecture":"SCMP_ARCH_X86"}]}`, err: "has both architectures and archMap"},
		{name: "archMap word", in: `{"defaultAction":"SCMP_ACT_ALLOW","archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["X"]}]}`, err: `archMap[0]: unknown architecture "X"`},
		{name: "lower-case capability", in: `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_KILL","excludes":{"caps":["sys_admin"]}}]}`, err: `syscalls[0].excludes.caps: "sys_admin" is not a CAP_ name in upper case`},
		{name: "condition's architecture", in: `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_KILL","includes":{"arches":["x86_64"]}}]}`, err: `syscalls[0].includes.arches: unknown architecture "x86_64"`},
		{name: "kernel", in: `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_KILL","includes":{"minKernel":"new"}}]}`, err: `invalid kernel version: "new"`},
		{name: "rule that does not apply", in: `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_KIL","includes":{"caps":["CAP_BPF"]}}]}`, err: `syscalls[0].action: unknown action "SCMP_ACT_KIL"`},
		{name: "operator", in: `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_KILL","args":[{"index":0,"value":0,"op":"EQ"}]}]}`, err: `syscalls[0].args[0].op: unknown operator "EQ"`},
		{name: "negative value", in: `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_KILL","args":[{"index":0,"value":-1,"op":"SCMP_CMP_EQ"}]}]}`, err: "syscalls.args.value: is a number -1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseFile([]byte(tt.in), h)
			if tt.err != "" {
				if err == nil || fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "seccomp profile: "+tt.err) {
					t.Fatalf("error %v, want %q", err, tt.err)
				}
				if strings.Contains(err.Error(), "\n") {
					t.Errorf("error has several lines: %q", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v\nwant %+v", got, tt.want)
			}
		})
	}
	if _, err := ParseFile(make([]byte, maxProfile+1), h); fault.KindOf(err) != fault.Invalid {
		t.Errorf("large profile: %v", err)
	}
}

func FuzzParseFile(f *testing.F) {
	text, err := json.Marshal(moby.DefaultProfile())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"name":"read","action":"SCMP_ACT_ALLOW","args":[{"index":1,"value":2,"op":"SCMP_CMP_GT"}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		h := Host{GOARCH: "amd64", Kernel: Version{6, 1}}
		p, err := ParseFile(data, h)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Errorf("%v: kind %v", err, fault.KindOf(err))
			}
			return
		}
		prog, _, err := Compile(p, Options{GOARCH: "amd64"})
		if err != nil {
			t.Fatalf("parsed but does not compile: %v", err)
		}
		if err := valid(prog); err != nil {
			t.Error(err)
		}
	})
}

func TestParseVersion(t *testing.T) {
	for in, want := range map[string]Version{
		"6.18.44-fc": {6, 18}, "5.15": {5, 15}, "6.1-rc1": {6, 1}, "4": {4, 0}, "": {}, "x.y": {}, "6.x": {6, 0},
		"99999999999999.1": {9999, 0},
	} {
		if got := ParseVersion(in); got != want {
			t.Errorf("ParseVersion(%q) = %v, want %v", in, got, want)
		}
	}
}

// TestGolden prints what the default profile does with each call. A change of
// the file is a change of every container's filter: read it.
func TestGolden(t *testing.T) {
	for _, goarch := range []string{"amd64", "arm64"} {
		t.Run(goarch, func(t *testing.T) {
			h := Host{GOARCH: goarch, Kernel: Version{6, 18}, Caps: capSets["default"]}
			prog, info, err := Compile(Default(h), Options{GOARCH: goarch})
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			fmt.Fprintln(&b, Summary(prog, info))
			for _, a := range info.Arches {
				c, _, _ := archColumn(a)
				listVerdicts(&b, prog, c)
			}
			checkGolden(t, "default-"+goarch+".txt", b.String())
			checkGolden(t, "default-"+goarch+".bpf.txt", Disassemble(prog))
		})
	}
}

// listVerdicts groups the calls of one architecture by what happens to them.
func listVerdicts(b *strings.Builder, prog []unix.SockFilter, c column) {
	groups := map[string][]string{}
	for i := range callSlots {
		if slot := callSlots[i][c]; slot != noSlot {
			v := verdict(prog, Data{Nr: slotNumber(c, int(slot)), Arch: arches[c].audit})
			groups[v] = append(groups[v], callName(i))
		}
	}
	fmt.Fprintf(b, "\n%s: %d calls are allowed\n", arches[c].name, len(groups["allow"]))
	for _, v := range []string{"by arguments", "errno 38", "errno 1"} {
		fmt.Fprintf(b, "%s:\n", v)
		line := " "
		for _, n := range groups[v] {
			if len(line)+len(n) > 110 {
				fmt.Fprintln(b, line)
				line = " "
			}
			line += " " + n
		}
		fmt.Fprintln(b, line)
		delete(groups, v)
	}
	delete(groups, "allow")
	for v, names := range groups {
		fmt.Fprintf(b, "%s: %s\n", v, names)
	}
}

// verdict says what becomes of a call: probes stand for all arguments.
func verdict(prog []unix.SockFilter, d Data) string {
	out := ActionName(Eval(prog, d))
	for _, v := range []uint64{1, 40, 1 << 28, 1<<32 - 1, ^uint64(0)} {
		d.Args = [6]uint64{v, v, v, v, v, v}
		if ActionName(Eval(prog, d)) != out {
			return "by arguments"
		}
	}
	return out
}

func checkGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *testkit.Update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: run the test with -update", err)
	}
	if got != string(want) {
		t.Errorf("%s differs, run the test with -update and read the diff; got:\n%s", path, got)
	}
}

func TestNotifiesBeforeExec(t *testing.T) {
	arg := []specs.LinuxSeccompArg{{Index: 0, Value: 3, Op: specs.OpEqualTo}}
	notify := func(args []specs.LinuxSeccompArg, names ...string) specs.LinuxSyscall {
		return specs.LinuxSyscall{Names: names, Action: specs.ActNotify, Args: args}
	}
	allow := func(args []specs.LinuxSeccompArg, names ...string) specs.LinuxSyscall {
		return specs.LinuxSyscall{Names: names, Action: specs.ActAllow, Args: args}
	}
	calls := []string{"write", "execve"}
	for _, tt := range []struct {
		name  string
		def   specs.LinuxSeccompAction
		rules []specs.LinuxSyscall
		want  string
	}{
		{name: "nothing notifies", def: specs.ActAllow},
		{name: "other call", def: specs.ActAllow, rules: []specs.LinuxSyscall{notify(nil, "mount")}},
		{name: "a call", def: specs.ActAllow, rules: []specs.LinuxSyscall{notify(nil, "mount", "execve")}, want: "execve"},
		{name: "a call's arguments", def: specs.ActErrno, rules: []specs.LinuxSyscall{notify(arg, "write")}, want: "write"},
		{name: "allowed first", def: specs.ActErrno, rules: []specs.LinuxSyscall{allow(nil, "write"), notify(nil, "write")}},
		{name: "allowed after arguments", def: specs.ActErrno, rules: []specs.LinuxSyscall{notify(arg, "write"), allow(nil, "write")}},
		{name: "redundant allow", def: specs.ActAllow, rules: []specs.LinuxSyscall{allow(nil, "write"), notify(nil, "write")}, want: "write"},
		{name: "default", def: specs.ActNotify, rules: []specs.LinuxSyscall{allow(nil, "write")}, want: "execve"},
		{name: "default, all allowed", def: specs.ActNotify, rules: []specs.LinuxSyscall{allow(nil, "write", "execve")}},
		{name: "default, some arguments allowed", def: specs.ActNotify, rules: []specs.LinuxSyscall{allow(nil, "execve"), allow(arg, "write")}, want: "write"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &specs.LinuxSeccomp{DefaultAction: tt.def, Syscalls: tt.rules}
			err := NotifiesBeforeExec(p, calls)
			if (tt.want == "") != (err == nil) || err != nil && (!strings.Contains(err.Error(), tt.want+" cannot") || fault.KindOf(err) != fault.Unsupported) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			// What the compiled filter does is the truth.
			prog, _, cerr := Compile(p, Options{GOARCH: "amd64"})
			if cerr != nil {
				t.Fatal(cerr)
			}
			hit := false
			for _, nr := range []uint32{1, 59} {
				for _, a := range []uint64{0, 3} {
					hit = hit || Eval(prog, Data{Nr: nr, Arch: unix.AUDIT_ARCH_X86_64, Args: [6]uint64{a}}) == unix.SECCOMP_RET_USER_NOTIF
				}
			}
			if hit && err == nil {
				t.Error("the filter notifies")
			}
		})
	}
	if err := NotifiesBeforeExec(nil, calls); err != nil {
		t.Error(err)
	}
}

func TestDisassemble(t *testing.T) {
	prog := []unix.SockFilter{
		{Code: opLoad, K: 4},
		{Code: opLoad, K: 44},
		{Code: opLoad, K: 8},
		{Code: opAnd, K: 0xff},
		{Code: opJset, K: 1, Jt: 2, Jf: 0},
		{Code: opJump, K: 1},
		{Code: 0xffff, K: 7},
		{Code: opRet, K: unix.SECCOMP_RET_TRACE | 5},
	}
	const want = `   0  ld   arch
   1  ld   arg3.high
   2  ld   [8]
   3  and  0xff
   4  jset 0x1        ? 7 : 5
   5  ja   7
   6  ?    code 0xffff k 0x7
   7  ret  trace 5
`
	if got := Disassemble(prog); got != want {
		t.Errorf("got:\n%s", got)
	}
	if got := Summary(nil, Info{}); got != "seccomp: unconfined" {
		t.Errorf("Summary(nil) = %q", got)
	}
	if got := Summary(prog, Info{Arches: []specs.Arch{specs.ArchX86}, Flags: 8, Notify: true}); got != "seccomp: 8 instructions for x86, flags 0x8, notifies" {
		t.Errorf("Summary = %q", got)
	}
}
