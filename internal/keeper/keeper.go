// Package keeper is the process that looks after one container, or one command
// in a container: its streams and their log, the clients that attach, and its
// end. It also holds the namespaces of a sandbox, by being in them.
//
// It is a single thread around poll(2). What it needs of the engine it gets as
// a file of settings (package wire) and inherited descriptors; what it has to do
// with the engine's records it leaves to tare, which it executes in its own
// place when the container has ended. So it stays small: there is one for each
// container, and what it keeps resident is counted in pages (docs/adr/0007).
package keeper

import (
	"syscall"
	"time"
	"unsafe"

	"github.com/tare-engine/tare/internal/keeper/logs"
	"github.com/tare-engine/tare/internal/keeper/wire"
	"github.com/tare-engine/tare/internal/lib/exit"
	"golang.org/x/sys/unix"
)

// Main is the program. Its argument is the directory of what it looks after,
// whose last element is the container's id.
func Main(args []string) int {
	k := &keeper{}
	if len(args) != 1 || !k.read(args[0]) {
		_, _ = unix.Write(2, []byte("tare-keeper: is started by tare, and does not run by itself\n"))
		return 125
	}
	if k.settings.Sandbox != nil {
		return holdSandbox(k.settings.Sandbox.Gate)
	}
	if k.ContainerPart == nil {
		time.Sleep(time.Duration(k.settings.Delay))
		return k.become("retry")
	}
	k.begin()
	for !k.over() {
		k.turn()
	}
	return k.handOver()
}

// read reads the settings, which must be for this process.
func (k *keeper) read(dir string) bool {
	k.dir = dir
	s := &k.settings
	// Nobody writes to the text any more: the strings of the settings are in it.
	text := readFile(dir+"/settings", k.text[:])
	if !s.ParseInto(&k.part, unsafe.String(unsafe.SliceData(text), len(text))) || s.Keeper != unix.Getpid() && s.Sandbox == nil {
		return false
	}
	switch {
	case s.Container != nil:
		k.ContainerPart = &k.part
	case s.Exec != nil:
		k.ContainerPart = &k.part
		k.Log.Driver = logs.None
	}
	return true
}

// readFile reads a whole file, into buf if it has room; nil: it could not be
// read.
func readFile(path string, buf []byte) []byte {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil
	}
	n := 0
	for {
		m, err := unix.Read(fd, buf[n:])
		if err == unix.EINTR {
			continue
		}
		n += max(m, 0)
		if err != nil || n < len(buf) {
			_ = unix.Close(fd)
			return buf[:n]
		}
		buf = append(buf, make([]byte, len(buf))...) // the labels of a log may be long
	}
}

// keeper is the state of the loop.
type keeper struct {
	dir                 string // RUN/live/ID
	settings            wire.Settings
	*wire.ContainerPart // of them; of another part it has what that has; nil: there is only a delay

	// The room for them is here: each further size that is allocated would be a
	// page of its own.
	part wire.ContainerPart
	text [1500]byte

	log    *logs.Writer // nil before the first output
	logErr unix.Errno   // it could not be opened

	outputs [2]output // standard output, or the terminal, and standard error
	input   input
	clients []client

	deafUntil time.Time // nobody is taken in before

	ended   bool // the container has, and end says how
	end     exit.Seen
	final   bool // whoever asked for it cleans up
	patient time.Time

	stopAt time.Time // --timeout
	killAt time.Time
	cause  exit.Cause

	probe probe

	slave int    // the terminal's other end, while the container runs; or -1
	tee   [2]int // a pipe, once a client wants output; see peek
	fds   []unix.PollFd
	// A message to clients: its first byte is the kind. While one of them owes
	// a look at it, nothing more is read: the container waits, and nothing is
	// lost.
	chunk   int
	message [1 + wire.MaxData]byte
	request [1 + wire.MaxData]byte
}

// output is one stream of the container.
type output struct {
	fd     int // -1: none, or at its end
	kind   wire.Kind
	stream byte
	want   byte
}

// clientPatience bounds the wait for clients that do not read, once the
// container has ended.
const clientPatience = 10 * time.Second

func (k *keeper) begin() {
	k.outputs = [2]output{
		{k.Out, wire.Output, logs.Stdout, wire.WantOutput},
		{k.Err, wire.Errors, logs.Stderr, wire.WantErrors},
	}
	k.input.fd = k.In
	k.slave = -1
	if k.Pty >= 0 {
		// Where nobody holds the other end for a moment (an init that begins a
		// session), the terminal would be at its end for us.
		if fd, _, no := unix.Syscall(unix.SYS_IOCTL, uintptr(k.Pty), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC); no == 0 {
			k.slave = int(fd)
		}
		// Without a pipe's ends there is one descriptor, for both directions.
		_ = unix.SetNonblock(k.Pty, true)
		k.outputs[0].fd, k.input.fd = k.Pty, k.Pty
	}
	for _, fd := range []int{k.Pidfd, k.In, k.Out, k.Err, k.Pty, k.Listen, k.Notify, k.Client} {
		if fd >= 0 {
			_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC)
		}
	}
	if k.Client >= 0 {
		k.clients = append(k.clients, client{fd: k.Client, want: byte(k.ClientWant)})
	}
	k.limit()
	k.firstProbe()
	k.probe.fd = -1
	if k.NotifyNow {
		k.notify([]byte("READY=1"))
	}
}

// over reports whether there is nothing more to wait for.
func (k *keeper) over() bool {
	if !k.ended {
		return false
	}
	if time.Now().After(k.patient) {
		return true
	}
	return k.chunk == 0 && k.outputs[0].fd < 0 && k.outputs[1].fd < 0
}

// The places of a turn's descriptors; clients follow.
const (
	atPidfd = iota
	atOutput
	atErrors
	atInput
	atListen
	atNotify
	atProbe
	atClients
)

// turn waits for something to happen, and does what follows from it.
func (k *keeper) turn() {
	k.watch()
	if _, err := unix.Poll(k.fds, k.timeout()); err != nil {
		if err != unix.EINTR {
			time.Sleep(10 * time.Millisecond) // ENOMEM: not in a circle
		}
		return
	}
	k.timers()
	// Clients before the listener: accepting moves them.
	for i := range k.clients {
		k.serve(&k.clients[i], k.fds[atClients+i].Revents)
	}
	k.dropClients()
	if k.fds[atListen].Revents != 0 {
		k.accept()
	}
	if k.fds[atInput].Revents != 0 {
		k.feed()
	}
	for i := range k.outputs {
		if k.fds[atOutput+i].Revents != 0 && k.chunk == 0 {
			k.take(&k.outputs[i])
		}
	}
	if k.fds[atNotify].Revents != 0 {
		k.forward()
	}
	if k.fds[atProbe].Revents != 0 {
		k.probed()
	}
	if k.fds[atPidfd].Revents != 0 && !k.ended {
		k.sawEnd()
	}
	if k.ended {
		k.drain(k.patient)
	}
}

// watch says what to wait for.
func (k *keeper) watch() {
	fds := k.fds[:0]
	add := func(fd int, events int16, wanted bool) {
		if !wanted {
			fd = -1
		}
		fds = append(fds, unix.PollFd{Fd: int32(fd), Events: events})
	}
	add(k.Pidfd, unix.POLLIN, !k.ended)
	for _, o := range k.outputs {
		add(o.fd, unix.POLLIN, k.chunk == 0)
	}
	add(k.input.fd, unix.POLLOUT, len(k.input.pending) > 0)
	add(k.Listen, unix.POLLIN, k.deafUntil.IsZero())
	add(k.Notify, unix.POLLIN, true)
	add(k.probe.fd, unix.POLLIN, true)
	for i := range k.clients {
		c := &k.clients[i]
		var events int16
		if len(k.input.pending) == 0 || c.want&wire.WantInput == 0 {
			events |= unix.POLLIN
		}
		if c.owes {
			events |= unix.POLLOUT
		}
		c.parked = c.parked && len(k.input.pending) > 0
		add(c.fd, events, events != 0 || !c.parked)
	}
	k.fds = fds
}

// timeout is the time until something is due, in ms; -1 is never.
func (k *keeper) timeout() int {
	next := time.Time{}
	for _, t := range [...]time.Time{k.stopAt, k.killAt, k.probe.at, k.patient, k.deafUntil} {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if next.IsZero() {
		return -1
	}
	return int(min(max(0, time.Until(next)+time.Millisecond-1), time.Hour) / time.Millisecond)
}

// timers does what is due.
func (k *keeper) timers() {
	due := func(t *time.Time) bool {
		if t.IsZero() || time.Now().Before(*t) {
			return false
		}
		*t = time.Time{}
		return true
	}
	due(&k.deafUntil)
	if k.ended {
		return
	}
	if due(&k.stopAt) {
		k.cause = "timeout"
		_ = unix.PidfdSendSignal(k.Pidfd, unix.Signal(k.StopSignal), nil, 0) // it may have ended
		k.killAt = time.Now().Add(time.Duration(max(0, k.StopTimeout)))
	}
	if due(&k.killAt) {
		_ = unix.PidfdSendSignal(k.Pidfd, unix.SIGKILL, nil, 0)
	}
	if due(&k.probe.at) {
		k.startProbe()
	}
}

// take moves what a stream has to the log, and to the clients that want it.
func (k *keeper) take(o *output) {
	var err error
	n, teed := 0, false
	wanted := k.wanted(o.want)
	if wanted {
		n, teed, err = k.peek(o.fd)
	}
	switch {
	case !wanted:
		n, err = k.writer().Take(o.stream, o.fd, 0, time.Now())
	case n > 0 && teed:
		_, err = k.writer().Take(o.stream, o.fd, n, time.Now())
	case n > 0:
		k.writer().Write(o.stream, k.message[1:1+n], time.Now())
	}
	if wanted && n > 0 {
		k.message[0] = byte(o.kind)
		k.deliver(n)
	}
	switch {
	case n > 0, errno(err) == unix.EAGAIN, errno(err) == unix.EINTR:
		return
	}
	// The last one that held it has closed it; a terminal says EIO then.
	if o.fd != k.Pty {
		_ = unix.Close(o.fd)
	}
	o.fd = -1
}

// peek puts what a stream has into the message and, of a pipe, leaves it there for
// the log, so that a keeper that is killed now loses none of it. Of a terminal,
// and where no further descriptor may be had, it is taken.
func (k *keeper) peek(fd int) (n int, teed bool, err error) {
	if k.tee == [2]int{} {
		_ = unix.Pipe2(k.tee[:], unix.O_CLOEXEC|unix.O_NONBLOCK)
	}
	if k.tee != [2]int{} {
		m, err := unix.Tee(fd, k.tee[1], wire.MaxData, unix.SPLICE_F_NONBLOCK)
		if err != unix.EINVAL {
			for n < int(m) && err == nil {
				var got int
				got, err = unix.Read(k.tee[0], k.message[1+n:1+m])
				n += max(got, 0)
			}
			return n, true, err
		}
	}
	n, err = unix.Read(fd, k.message[1:])
	return max(n, 0), false, err
}

// drain takes what is left of a container that has ended. Where others hold
// its streams there is no end of them, but a moment without anything, and at the
// latest the limit: they may write for ever.
func (k *keeper) drain(limit time.Time) {
	for i := range k.outputs {
		o := &k.outputs[i]
		for o.fd >= 0 && k.chunk == 0 {
			p := []unix.PollFd{{Fd: int32(o.fd), Events: unix.POLLIN}}
			n, err := unix.Poll(p, 0)
			if err == unix.EINTR {
				continue
			}
			if n == 0 || time.Now().After(limit) {
				o.fd = -1
				break
			}
			k.take(o)
		}
	}
}

// writer opens the log on the first output: many containers write nothing.
func (k *keeper) writer() *logs.Writer {
	if k.log != nil {
		return k.log
	}
	var err error
	if k.log, err = logs.Open(k.LogDir, k.config()); err != nil {
		k.logErr = errno(err)
		k.log, _ = logs.Open("", &logs.Config{Driver: logs.None}) // which does not fail
	}
	return k.log
}

func (k *keeper) config() *logs.Config {
	c := &logs.Config{Driver: k.Log.Driver, MaxSize: k.Log.MaxSize, MaxFile: int(k.Log.MaxFiles), File: k.Log.File}
	pairs := func(list []string) []logs.Attr {
		var attrs []logs.Attr
		for _, s := range list {
			key, value := wire.Pair(s)
			attrs = append(attrs, logs.Attr{Key: key, Value: value})
		}
		return attrs
	}
	c.Attrs, c.Fields = pairs(k.Log.Attrs), pairs(k.Log.Fields)
	return c
}

// errno finds the errno in an error, EIO where there is none.
func errno(err error) unix.Errno {
	for err != nil {
		if no, ok := err.(syscall.Errno); ok { //nolint:errorlint // the loop unwraps
			return no
		}
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return unix.EIO
		}
		err = u.Unwrap()
	}
	return 0
}
