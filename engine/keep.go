package engine

import (
	"errors"
	"os"
	"strconv"

	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/image"
	"github.com/tare-engine/tare/logs"
	"github.com/tare-engine/tare/monitor/wire"
	"github.com/tare-engine/tare/state"
	"golang.org/x/sys/unix"
)

// A container that is not run in the foreground of its command has a keeper:
// the process that started it, with another program (docs/adr/0007). kept is
// what it holds while it is still the starter.
type kept struct {
	e      *Engine
	keeper wire.Keeper
	report int    // the caller's end of a socket, or -1
	ends   [3]int // the container's ends of its streams
	want   int    // what the caller attaches to: wire.Want bits
	fds    int    // descriptors from 3 on that are for the container
}

func newKept(e *Engine, report, want int) *kept {
	k := &kept{e: e, keeper: wire.NewKeeper(), report: report, want: want, ends: [3]int{-1, -1, -1}}
	return k
}

// open makes the fifos and the socket of a container that is about to start.
// uid is the host's number for the container's user.
func (k *kept) open(id string, c *ContainerConfig, uid int) (err error) {
	if err := k.e.state.MakeLive(id); err != nil {
		return fault.New(fault.KindOf(err), "make %s: %w", k.e.state.LiveDir(id), err)
	}
	defer func() {
		if err != nil {
			k.close()
		}
	}()
	dir := k.e.state.LiveDir(id)
	w := &k.keeper
	if !c.Tty {
		if c.OpenStdin {
			if k.ends[0], w.In, err = fifo(dir+"/in", unix.O_RDONLY, unix.O_WRONLY, uid); err != nil {
				return err
			}
		}
		// The container holds its own outputs for reading too: a keeper that
		// is killed closes no pipe, and the next one finds what was written.
		if k.ends[1], w.Out, err = fifo(dir+"/out", unix.O_RDWR, unix.O_RDONLY, uid); err != nil {
			return err
		}
		if k.ends[2], w.Err, err = fifo(dir+"/err", unix.O_RDWR, unix.O_RDONLY, uid); err != nil {
			return err
		}
	}
	w.Listen, err = listen(dir)
	return err
}

// fifo makes a fifo and opens both ends. Ours does not block.
func fifo(path string, theirs, ours, uid int) (their, our int, err error) {
	fail := func(err error) (int, int, error) {
		return -1, -1, fault.New(fault.KindOf(err), "make %s: %w", path, err)
	}
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return fail(err)
	}
	if uid != 0 {
		// Another user than root could not open /dev/stdout as a file.
		if err := unix.Chown(path, uid, -1); err != nil && !errors.Is(err, unix.EPERM) {
			return fail(err)
		}
	}
	const common = unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOFOLLOW
	if their, err = unix.Open(path, theirs|common, 0); err != nil {
		return fail(err)
	}
	if our, err = unix.Open(path, ours|common, 0); err == nil {
		err = unix.SetNonblock(their, false)
	}
	if err != nil {
		_ = unix.Close(their)
		return fail(err)
	}
	return their, our, nil
}

// listen makes the keeper's socket.
func listen(dir string) (int, error) {
	fd, err := bindSocket(dir, "sock", unix.SOCK_SEQPACKET)
	if err != nil {
		return -1, err
	}
	if err := unix.Listen(fd, 16); err != nil {
		_ = unix.Close(fd)
		return -1, fault.New(fault.KindOf(err), "listen on %s/sock: %w", dir, err)
	}
	return fd, nil
}

// bindSocket makes a unix socket in dir, in the place of an earlier one. The
// address goes through /proc: a path has at most 108 bytes there.
func bindSocket(dir, name string, kind int) (int, error) {
	d, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer func() { _ = unix.Close(d) }()
	fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	_ = unix.Unlinkat(d, name, 0)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(d) + "/" + name}); err != nil {
		_ = unix.Close(fd)
		return -1, fault.New(fault.KindOf(err), "bind %s/%s: %w", dir, name, err)
	}
	return fd, nil
}

func sockPath(dir int) string { return "/proc/self/fd/" + strconv.Itoa(dir) + "/sock" }

func (k *kept) closeEnds() {
	for i, fd := range k.ends {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
		k.ends[i] = -1
	}
}

func (k *kept) close() {
	k.closeEnds()
	for _, fd := range []*int{&k.keeper.In, &k.keeper.Out, &k.keeper.Err, &k.keeper.Pty, &k.keeper.Listen, &k.keeper.Notify} {
		if *fd >= 0 {
			_ = unix.Close(*fd)
		}
		*fd = -1
	}
}

// tell sends a message to the caller, who may be gone.
func (k *kept) tell(kind wire.Kind, text []byte) {
	if k.report >= 0 {
		_ = unix.Sendto(k.report, append([]byte{byte(kind)}, text...), unix.MSG_NOSIGNAL, nil)
	}
}

// describe fills in what the keeper is told of a container.
func (k *kept) describe(r *state.Record, c *ContainerConfig, img *image.Config) {
	stop := stopOf(c, img)
	e, w := k.e, &k.keeper
	w.ID, w.Dir = r.ID, e.state.LiveDir(r.ID)
	w.Root, w.Run = e.opt.Root, e.opt.RunRoot
	w.Pid, w.Start = r.Proc.Pid, r.Proc.Start
	w.StdinOnce = c.StdinOnce
	w.LogDir = e.logDir(r.ID)
	w.StopSignal, w.StopTimeout = int(stop.signal), int64(stop.timeout)
	w.Timeout = timeLeft(c.Timeout, sinceBoot(), r.Proc.Start)
	w.Probe = probeInterval(c, img)
	if k.want != 0 {
		w.Client, w.ClientWant = k.report, k.want
	}
}

// logTo tells the keeper.
func (k *kept) logTo(c *logs.Config) {
	l := wire.Log{Driver: c.Driver, File: c.File, MaxSize: c.MaxSize, MaxFiles: int64(c.MaxFile)}
	for _, a := range c.Attrs {
		l.Attrs = append(l.Attrs, a.Key+"="+a.Value)
	}
	for _, a := range c.Fields {
		l.Fields = append(l.Fields, a.Key+"="+a.Value)
	}
	k.keeper.Log = l
}

// become executes the keeper in this process, which stays the parent of the
// container. It returns only on error.
func (k *kept) become() error {
	bin, err := k.e.keeperPath()
	if err != nil {
		return err
	}
	if k.keeper.Tare, err = os.Executable(); err != nil {
		return err
	}
	w := &k.keeper
	return execAs(bin, w.Args(), w.Pidfd, w.In, w.Out, w.Err, w.Pty, w.Listen, w.Notify, w.Client)
}

// execAs replaces this process by a small program that outlives the caller's
// session: its standard descriptors are the null device.
func execAs(bin string, args []string, keep ...int) error {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	for fd := range 3 {
		if err := unix.Dup3(null, fd, 0); err != nil {
			return err
		}
	}
	// What the caller gave us for itself is not the keeper's.
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return err
	}
	for _, fd := range keep {
		if fd < 0 {
			continue
		}
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return err
		}
	}
	_ = unix.Chdir("/")
	// A huge page would be many times what the keeper needs.
	_ = unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0)
	// One processor's caches, and a collector that does not begin before 4 MB.
	return fault.New(fault.Internal, "execute %s: %w", bin, unix.Exec(bin, args, []string{"GOMAXPROCS=1"}))
}

// keeperPath finds the keeper's program.
func (e *Engine) keeperPath() (string, error) {
	if bin := e.helper("tare-monitor"); bin != "" {
		return bin, nil
	}
	return "", fault.New(fault.Unsupported, "tare-monitor is not installed beside tare")
}

// self is this process, as a monitor.
func self() (state.Proc, error) { return state.Identify(unix.Getpid()) }
