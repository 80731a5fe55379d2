package keeper

import (
	"time"

	"github.com/tare-engine/tare/internal/keeper/wire"
	"golang.org/x/sys/unix"
)

// client is somebody on the socket.
type client struct {
	fd     int
	want   byte // wire.Want bits
	owes   bool // has not taken the present message
	gone   bool
	parked bool // it may be gone, and has sent what the container has no room for
}

// input is the container's standard input.
type input struct {
	fd      int    // -1: none, or closed
	pending []byte // what the container has not read
	eof     bool   // and then its end
}

// deafness is how long nobody is taken in after there was no descriptor, or no
// memory, for somebody: who waits keeps the socket readable meanwhile.
const deafness = 200 * time.Millisecond

func (k *keeper) accept() {
	fd, _, err := unix.Accept4(k.Listen, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
	switch err {
	case nil:
	case unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOBUFS:
		k.deafUntil = time.Now().Add(deafness)
		return
	default:
		return
	}
	// The directory is closed to others already.
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil || cred.Uid != 0 && int(cred.Uid) != unix.Geteuid() { //nolint:forbidigo // a fact about this process
		_ = unix.Close(fd)
		return
	}
	k.clients = append(k.clients, client{fd: fd})
}

// wanted reports whether some client wants a stream.
func (k *keeper) wanted(bit byte) bool {
	for i := range k.clients {
		if k.clients[i].want&bit != 0 {
			return true
		}
	}
	return false
}

// deliver gives the first n bytes of the message to the clients that want it.
func (k *keeper) deliver(n int) {
	bit := byte(wire.WantOutput)
	if wire.Kind(k.message[0]) == wire.Errors {
		bit = wire.WantErrors
	}
	for i := range k.clients {
		c := &k.clients[i]
		if c.want&bit != 0 {
			c.owes = true
			k.chunk = n
			k.send(c)
		}
	}
	k.settle()
}

// send tries to give a client the present message.
func (k *keeper) send(c *client) {
	err := unix.Sendto(c.fd, k.message[:1+k.chunk], unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil)
	switch err {
	case unix.EAGAIN, unix.EINTR, unix.ENOBUFS:
		return
	case nil:
	default:
		// It takes no more. Whether it has sent something, reading tells.
		c.want &^= wire.WantOutput | wire.WantErrors
	}
	c.owes = false
}

// settle forgets the message when everybody has it.
func (k *keeper) settle() {
	for i := range k.clients {
		if k.clients[i].owes {
			return
		}
	}
	k.chunk = 0
}

// serve handles what a client sent, or that it can take more.
func (k *keeper) serve(c *client, events int16) {
	if events == 0 || c.gone {
		return
	}
	if events&unix.POLLOUT != 0 && c.owes {
		k.send(c)
		k.settle()
	}
	if events&(unix.POLLIN|unix.POLLHUP|unix.POLLERR) == 0 {
		return
	}
	if c.want&wire.WantInput != 0 && len(k.input.pending) > 0 {
		k.park(c)
		return
	}
	n, _, err := unix.Recvfrom(c.fd, k.request[:], unix.MSG_DONTWAIT)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return
	case err == unix.ECONNRESET:
		return // it went without reading all; what it had sent is behind this error
	case err != nil || n <= 0:
		c.gone = true
		return
	}
	k.handle(c, wire.Kind(k.request[0]), k.request[1:n])
}

// park is for a client who may have gone, while the container has not read what
// came before: what it has sent waits in its socket, and poll would tell of its
// hang-up all the time.
func (k *keeper) park(c *client) {
	n, _, err := unix.Recvfrom(c.fd, k.request[:1], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR || err == unix.ECONNRESET:
	case err != nil || n <= 0:
		c.gone = true
	default:
		c.parked = true
	}
}

func (k *keeper) handle(c *client, kind wire.Kind, data []byte) {
	switch kind {
	case wire.Hello:
		if len(data) >= 2 {
			k.greet(c, data)
		}
	case wire.Request:
		if len(data) > wire.IDSize {
			id := wire.ID(data) // before what follows it is read over
			no := k.do(wire.Kind(data[wire.IDSize]), data[wire.IDSize+1:])
			k.reply(c, wire.Answer, append(wire.AppendID(nil, id), byte(no))...)
		}
	case wire.Input:
		if k.input.fd >= 0 {
			k.input.pending = append(k.input.pending[:0], data...)
			k.feed()
		}
	case wire.EOF:
		if k.StdinOnce && k.Pty < 0 {
			k.input.eof = true
			k.feed()
		}
	case wire.Resize:
		if k.Pty >= 0 && len(data) == 4 {
			ws := unix.Winsize{Row: uint16(data[0]) | uint16(data[1])<<8, Col: uint16(data[2]) | uint16(data[3])<<8}
			_ = unix.IoctlSetWinsize(k.Pty, unix.TIOCSWINSZ, &ws) // a size is not vital
		}
	case wire.Signal, wire.Final: // version 1
		k.reply(c, wire.Reply, byte(k.do(kind, data)))
	case wire.Output, wire.Errors, wire.Exit, wire.Answer, wire.Reply, wire.Reload, wire.Made, wire.Started, wire.Failed, wire.Warned:
		// a keeper's own words: from nobody that knows the protocol
	}
}

// greet answers a Hello.
func (k *keeper) greet(c *client, hello []byte) {
	c.want = hello[1]
	g := wire.Greeting{Version: wire.Version, ID: wire.ID(hello[2:]), Pid: k.Pid, Start: k.Start}
	if k.Pty >= 0 {
		g.Has |= wire.HasTerminal
	}
	if k.input.fd >= 0 {
		g.Has |= wire.HasInput
	}
	k.reply(c, wire.Hello, g.Append(nil)...)
}

// do does what a client asks for.
func (k *keeper) do(kind wire.Kind, body []byte) unix.Errno {
	switch {
	case kind == wire.Signal && len(body) == 1:
		return errno(unix.PidfdSendSignal(k.Pidfd, unix.Signal(body[0]), nil, 0))
	case kind == wire.Final:
		k.final = true
		return 0
	case kind == wire.Reload:
		return k.reload()
	}
	return unix.EOPNOTSUPP // of a later tare
}

// reply answers a client, who has room for an answer or does not need it.
func (k *keeper) reply(c *client, kind wire.Kind, data ...byte) {
	_ = unix.Sendto(c.fd, append([]byte{byte(kind)}, data...), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil)
}

// dropClients forgets those that are gone.
func (k *keeper) dropClients() {
	n := 0
	for i := range k.clients {
		c := k.clients[i]
		if !c.gone {
			k.clients[n] = c
			n++
			continue
		}
		_ = unix.Close(c.fd)
		if c.want&wire.WantInput != 0 && k.StdinOnce && k.Pty < 0 {
			k.input.eof = true
		}
	}
	if n == len(k.clients) {
		return
	}
	k.clients = k.clients[:n]
	k.settle()
	k.feed()
}

// feed gives the container its input.
func (k *keeper) feed() {
	in := &k.input
	for in.fd >= 0 && len(in.pending) > 0 {
		n, err := unix.Write(in.fd, in.pending)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return
		case err != nil: // nobody reads it any more
			in.pending = in.pending[:0]
		default:
			in.pending = in.pending[:copy(in.pending, in.pending[n:])]
		}
	}
	if in.eof && in.fd >= 0 {
		_ = unix.Close(in.fd)
		in.fd = -1
	}
}

// farewell tells every client how the container ended.
func (k *keeper) farewell() {
	k.message[0] = byte(wire.Exit)
	text := k.end.Append(k.message[:1])
	for i := range k.clients {
		c := &k.clients[i]
		for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); {
			err := unix.Sendto(c.fd, text, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil)
			if err != unix.EAGAIN && err != unix.EINTR {
				break
			}
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLOUT}}, 100)
		}
	}
}
