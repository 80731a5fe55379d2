// Package systemd asks systemd for cgroups: a scope for each container.
//
// It speaks the four messages that this takes over systemd's own socket,
// without a bus: a D-Bus library would bring package net into programs that
// start in a millisecond, and the bus need not run.
package systemd

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tare-engine/tare/internal/lib/fault"
	"golang.org/x/sys/unix"
)

const (
	managerPath  = "/org/freedesktop/systemd1"
	managerIface = "org.freedesktop.systemd1.Manager"
)

// SystemSocket is where the system's manager listens, for root alone. A
// user's is RUNTIME_DIR/systemd/private.
const SystemSocket = "/run/systemd/private"

// Conn is a connection to a manager. It is not for concurrent use.
type Conn struct {
	fd       int
	serial   uint32
	deadline time.Time
	signals  []*message // that came while an answer was waited for
}

// Dial connects to the manager behind a socket. All calls together may take
// as long as timeout says. A host without systemd is fault.Unsupported.
func Dial(socket string, timeout time.Duration) (*Conn, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	c := &Conn{fd: fd, deadline: time.Now().Add(timeout)}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: socket}); err != nil {
		c.Close()
		kind := fault.KindOf(err)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
			kind = fault.Unsupported // systemd does not run here
		}
		return nil, fault.New(kind, "connect to systemd at %s: %w", socket, err)
	}
	if err := c.authenticate(); err != nil {
		c.Close()
		return nil, fault.New(fault.KindOf(err), "authenticate to systemd: %w", err)
	}
	return c, nil
}

// Close ends the connection.
func (c *Conn) Close() { _ = unix.Close(c.fd) }

// authenticate says who we are; the kernel's credentials prove it. BEGIN goes
// with it: systemd 252 does not look at a message that comes in one read with
// a later BEGIN before the next one comes.
func (c *Conn) authenticate() error {
	uid := hex.EncodeToString([]byte(strconv.Itoa(unix.Geteuid()))) //nolint:forbidigo // what the protocol asks for
	if err := c.write([]byte("\x00AUTH EXTERNAL " + uid + "\r\nBEGIN\r\n")); err != nil {
		return err
	}
	var line []byte
	for !strings.HasSuffix(string(line), "\r\n") && len(line) < 256 {
		b, err := c.read(1)
		if err != nil {
			return err
		}
		line = append(line, b...)
	}
	if !strings.HasPrefix(string(line), "OK ") {
		return fault.New(fault.Denied, "%s", strings.TrimSpace(string(line)))
	}
	return nil
}

// StartScope makes a scope with the properties and waits until it is there. A
// unit of that name that has failed is forgotten; one that lives is
// fault.Exists.
func (c *Conn) StartScope(name string, properties []Property) error {
	body := &encoder{}
	body.string(name)
	body.string("replace")
	body.properties(properties)
	body.array(8, func() {}) // auxiliary units
	for try := 0; ; try++ {
		reply, err := c.call("StartTransientUnit", "ssa(sv)a(sa(sv))", body.b)
		var remote *remoteError
		if try == 0 && errors.As(err, &remote) && remote.name == "org.freedesktop.systemd1.UnitExists" {
			_ = c.ResetFailed(name) // the second try tells
			continue
		}
		if err != nil {
			return fault.New(fault.KindOf(err), "start unit %s: %w", name, err)
		}
		return c.job("start", name, reply)
	}
}

// Stop stops a unit and waits until it has. One that is not there is no error.
func (c *Conn) Stop(name string) error {
	body := &encoder{}
	body.string(name)
	body.string("replace")
	reply, err := c.call("StopUnit", "ss", body.b)
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	if err != nil {
		return fault.New(fault.KindOf(err), "stop unit %s: %w", name, err)
	}
	return c.job("stop", name, reply)
}

// ResetFailed makes systemd forget a unit that has failed.
func (c *Conn) ResetFailed(name string) error {
	body := &encoder{}
	body.string(name)
	_, err := c.call("ResetFailedUnit", "s", body.b)
	return err
}

// SetProperties changes a unit until the next boot.
func (c *Conn) SetProperties(name string, properties []Property) error {
	body := &encoder{}
	body.string(name)
	body.uint32(1) // runtime
	body.properties(properties)
	if _, err := c.call("SetUnitProperties", "sba(sv)", body.b); err != nil {
		return fault.New(fault.KindOf(err), "set properties of unit %s: %w", name, err)
	}
	return nil
}

// ControlGroup returns the cgroup that the manager's slices lie in: "" for
// the root, which is the system manager's.
func (c *Conn) ControlGroup() (string, error) {
	body := &encoder{}
	body.string(managerIface)
	body.string("ControlGroup")
	m, err := c.callAt(managerPath, "org.freedesktop.DBus.Properties", "Get", "ss", body.b)
	if err != nil {
		return "", fmt.Errorf("read systemd's cgroup: %w", err)
	}
	d := &decoder{b: m.body}
	if sig := d.signature(); sig != "s" {
		return "", fmt.Errorf("read systemd's cgroup: %w", errMalformed)
	}
	s := d.string()
	return strings.TrimSuffix(s, "/"), d.err
}

// remoteError is an error that systemd has answered with.
type remoteError struct{ name, text string }

func (e *remoteError) Error() string { return e.text }

func (e *remoteError) fault() error {
	kind := fault.Internal
	switch _, word, _ := strings.Cut(strings.TrimPrefix(e.name, "org.freedesktop."), "."); word {
	case "UnitExists":
		kind = fault.Exists
	case "NoSuchUnit":
		kind = fault.NotFound
	case "Error.AccessDenied":
		kind = fault.Denied
	case "Error.InvalidArgs", "Error.PropertyReadOnly":
		kind = fault.Invalid
	case "Error.UnknownMethod", "Error.UnknownProperty":
		kind = fault.Unsupported
	}
	return fault.New(kind, "%w", e)
}

func (c *Conn) call(member, sig string, body []byte) (*message, error) {
	return c.callAt(managerPath, managerIface, member, sig, body)
}

func (c *Conn) callAt(path, iface, member, sig string, body []byte) (*message, error) {
	c.serial++
	if err := c.write(call(c.serial, path, iface, member, sig, body)); err != nil {
		return nil, err
	}
	for {
		m, err := c.next()
		if err != nil {
			return nil, err
		}
		switch {
		case m.kind == signal:
			c.signals = append(c.signals, m)
		case m.replySerial != c.serial:
		case m.kind == errorReply:
			d := &decoder{b: m.body}
			e := &remoteError{name: m.errorName, text: m.errorName}
			if m.signature == "s" {
				e.text = d.string()
			}
			return nil, e.fault()
		default:
			return m, nil
		}
	}
}

// job waits for the end of the job that a reply names.
func (c *Conn) job(verb, unit string, reply *message) error {
	d := &decoder{b: reply.body}
	path := d.string()
	if d.err != nil {
		return fmt.Errorf("%s unit %s: %w", verb, unit, d.err)
	}
	for {
		var m *message
		var err error
		if len(c.signals) > 0 {
			m, c.signals = c.signals[0], c.signals[1:]
		} else if m, err = c.next(); err != nil {
			return fmt.Errorf("%s unit %s: wait for its job: %w", verb, unit, err)
		}
		if m.kind != signal || m.member != "JobRemoved" || m.signature != "uoss" {
			continue
		}
		d := &decoder{b: m.body}
		d.uint32() // number
		if d.string() != path {
			continue
		}
		d.string() // unit
		if result := d.string(); result != "done" || d.err != nil {
			return fault.New(fault.Internal, "%s unit %s: its job ended as %s", verb, unit, result)
		}
		return nil
	}
}

// next reads one message.
func (c *Conn) next() (*message, error) {
	head, err := c.read(16)
	if err != nil {
		return nil, err
	}
	_, total, err := sizes(head)
	if err != nil {
		return nil, err
	}
	rest, err := c.read(total - 16)
	if err != nil {
		return nil, err
	}
	return decode(append(head, rest...))
}

func (c *Conn) write(b []byte) error {
	for len(b) > 0 {
		n, err := unix.SendmsgN(c.fd, b, nil, nil, unix.MSG_NOSIGNAL)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("write to systemd: %w", err)
		}
		b = b[max(n, 0):]
	}
	return nil
}

// read returns n bytes, or fault.Unavailable when the time is over.
func (c *Conn) read(n int) ([]byte, error) {
	b := make([]byte, n)
	for got := 0; got < n; {
		left := time.Until(c.deadline)
		if left <= 0 {
			return nil, fault.New(fault.Unavailable, "systemd does not answer")
		}
		poll := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}
		if ready, err := unix.Poll(poll, int(left.Milliseconds())+1); err == unix.EINTR || err == nil && ready == 0 {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("wait for systemd: %w", err)
		}
		m, err := unix.Read(c.fd, b[got:])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, fmt.Errorf("read from systemd: %w", err)
		case m == 0:
			return nil, fault.New(fault.Unavailable, "systemd has closed the connection")
		default:
			got += m
		}
	}
	return b, nil
}
