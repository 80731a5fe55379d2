package plan

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"
	"testing"

	"github.com/tare-engine/tare/internal/lib/testkit"
	"golang.org/x/sys/unix"
)

// every returns a plan that uses each builder method, and each way in which
// an op can print.
func every() *Plan {
	p := New()
	p.Flags = unix.CLONE_NEWNS | unix.CLONE_NEWPID
	p.Begin("files")
	stdin := p.Given("stdin", 7)
	gate := p.HostSlot("gate")
	p.Note("make a pipe")
	p.Do(Text("pipe2([gate, write end], O_CLOEXEC)", "one line\nfor two"), func(s Slots) error { s.Set(gate, 9); return nil })
	p.Note("open files")
	dir := p.Openat2(OnHost, "dir", CWD, "/some/dir", unix.O_PATH|unix.O_DIRECTORY, 0, 0)
	file := p.Openat2(OnHost, "file", dir.Arg(), "a \"b\"\n", unix.O_CREAT|unix.O_RDWR, 0o600, unix.RESOLVE_BENEATH, OK(unix.EEXIST, unix.ENOENT))
	p.Close(OnHost, file.Arg())
	p.Cgroup = dir

	p.Begin("mounts")
	p.Note("mount /data")
	fs := p.Fsopen(OnHost, "overlay")
	p.FsString(OnHost, fs, "source", "overlay")
	p.FsFlag(OnHost, fs, "volatile")
	p.FsFd(OnHost, fs, "lowerdir+", dir.Arg())
	p.FsCreate(OnHost, fs, OK(AnyErrno))
	root := p.Fsmount(OnHost, "root", fs, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOATIME)
	tree := p.OpenTree(OnHost, "tree", dir.Arg(), "", true)
	ns := p.HostSlot("userns")
	p.MountSetattr(OnHost, tree.Arg(), true, Attrs{Set: unix.MOUNT_ATTR_IDMAP, Clear: unix.MOUNT_ATTR__ATIME, Propagation: unix.MS_SLAVE, UserNS: ns})
	p.Call(OnHost, unix.SYS_IOCTL, []Arg{ns.Arg(), Int(0xb703), Int(0)}, Want(unix.CLONE_NEWUSER))

	p.Begin("child")
	p.Note("create")
	target := p.Openat2(InChild, "target", root.Arg(), "data", unix.O_PATH, 0, InRoot, OK(unix.ENOENT))
	p.Mkdirat(InChild, root.Arg(), "data", 0o755, When(IfErr, target), OK(unix.EEXIST))
	p.OpenInto(InChild, target, root.Arg(), "data", unix.O_PATH, InRoot, When(IfErr, target))
	p.MoveMount(InChild, tree.Arg(), target.Arg(), When(IfOK, target))
	p.Mknodat(InChild, root.Arg(), "null", unix.S_IFCHR|0o666, unix.Mkdev(1, 3))
	p.Mknodat(InChild, root.Arg(), "plain", 0o644, 0)
	p.Symlinkat(InChild, "/proc/self/fd", root.Arg(), "fd")
	p.Note("create") // the same: no second comment
	w := p.Openat2(InChild, "target", root.Arg(), "x", unix.O_RDONLY|unix.O_NONBLOCK, 0, 0)
	p.Write(InChild, w.Arg(), "text\x00with NUL")
	p.Close(InChild, w.Arg())
	p.ModeOf(InChild, dir, When(IfOK, target))
	msg := p.Words(MemBytes, 0, 3)
	p.Pointer(msg, 0, p.Bytes([]byte("data")))
	p.StoreSlot(InChild, msg, 8, stdin)
	p.Call(InChild, unix.SYS_SENDMSG, []Arg{stdin.Arg(), msg, Int(unix.MSG_NOSIGNAL)}, Want(1))
	p.Begin("process")
	p.Prctl(InChild, unix.PR_SET_DUMPABLE, 0, 0)
	p.Prctl(InChild, unix.PR_CAPBSET_DROP, 21, 0)
	p.Prctl(InChild, 9999, 1, 2)
	p.Setns(InChild, ns, unix.CLONE_NEWUSER)
	p.Rlimit(InChild, unix.RLIMIT_NOFILE, 1024, unix.RLIM_INFINITY)
	p.Call(InChild, unix.SYS_SETGROUPS, []Arg{Int(2), p.IDs([]uint32{5, 1 << 31})})
	p.Call(InChild, unix.SYS_SETRESUID, []Arg{Int(-1), Int(0), Int(1000)})
	p.Call(InChild, unix.SYS_UMASK, []Arg{Int(0o022)})
	p.Call(InChild, unix.SYS_KILL, []Arg{Int(0), Int(9)})
	p.Call(InChild, unix.SYS_SOCKET, []Arg{Int(unix.AF_INET), Int(unix.SOCK_DGRAM | unix.SOCK_CLOEXEC), Int(0)})
	p.Call(InChild, unix.SYS_FCNTL, []Arg{stdin.Arg(), Int(unix.F_SETFD), Int(0)})
	p.Call(InChild, unix.SYS_DUP3, []Arg{stdin.Arg(), Int(0), Int(0)})
	p.Call(InChild, unix.SYS_MOUNT, []Arg{Int(0), p.Str("/"), Int(0), Int(unix.MS_REC | unix.MS_PRIVATE | 1<<30), Int(0)})
	p.Call(InChild, 60000, []Arg{Int(1), Int(-1), p.Bytes(bytes.Repeat([]byte{0xab}, 60))})
	p.Fork()
	p.Begin("exec")
	p.Note("wait")
	p.Gate(gate)
	p.Call(InChild, unix.SYS_SECCOMP, []Arg{Int(unix.SECCOMP_SET_MODE_FILTER), Int(unix.SECCOMP_FILTER_FLAG_LOG), p.Program(make([]unix.SockFilter, 300))})
	p.Exec([]string{"/bin/a", "/usr/bin/a"}, []string{"a", ""}, []string{"PATH=/bin"})
	return p
}

func TestFormat(t *testing.T) {
	p := every()
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := p.Format(&b); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/every.txt"
	if *testkit.Update {
		if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("run with -update and look at the difference:\n%s", b.Bytes())
	}
}

// FuzzFormat builds plans of arbitrary calls over arbitrary operands.
func FuzzFormat(f *testing.F) {
	f.Add([]byte("\x01\x01\x00\x02\x03abcdefgh"), "x")
	for i := range calls {
		f.Add(append(binary.LittleEndian.AppendUint32(nil, calls[i].nr), "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09"...), "name\n")
	}
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		p := New()
		next := func(n int) []byte {
			b := make([]byte, n)
			copy(b, data)
			data = data[min(n, len(data)):]
			return b
		}
		slots := []Slot{p.HostSlot(text), p.Given(text, 1)}
		for len(data) > 0 {
			nr := binary.LittleEndian.Uint32(next(4))
			if nr%3 == 0 {
				nr = calls[int(nr/3)%len(calls)].nr
			}
			var args []Arg
			for range next(1)[0] % 7 {
				switch k := next(1)[0]; k % 4 {
				case 0:
					args = append(args, Int(binary.LittleEndian.Uint64(next(8))))
				case 1:
					args = append(args, p.add(next(int(k)), MemKind(next(1)[0])))
				case 2:
					args = append(args, slots[int(k)%len(slots)].Arg())
				default:
					args = append(args, p.Vector([]string{text, string(next(3))}))
				}
			}
			b := next(8)
			side := Side(b[0]&1 == 0)
			o := []Opt{
				When(Cond(b[1]), slots[int(b[2])%len(slots)]), Want(int64(int8(b[3]))),
				OK(unix.Errno(b[4]), unix.Errno(binary.LittleEndian.Uint16(b[5:]))),
			}
			p.Begin(text)
			p.Note(text)
			if b[7]&1 == 0 {
				p.Call(side, uintptr(nr), args, o...)
			} else {
				slots = append(slots, p.Open(side, text, uintptr(nr), args, o...))
			}
		}
		var out strings.Builder
		if err := p.Format(&out); err != nil {
			t.Fatal(err)
		}
		if got, want := strings.Count(out.String(), "\n"), len(p.Host)+len(p.Child); got < want {
			t.Errorf("%d lines for %d ops", got, want)
		}
	})
}
