package container

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// rtnl is a routing netlink socket: the few messages that moving a device
// takes, without package net, which costs every start.
type rtnl struct {
	fd  int
	seq uint32
}

func openRtnl() (*rtnl, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink socket: %w", err)
	}
	return &rtnl{fd: fd}, nil
}

// openRtnlIn opens a socket that belongs to a network namespace. The thread
// that enters it is never used again.
func openRtnlIn(netns int) (r *rtnl, err error) {
	OnLostThread(func() {
		if err = unix.Setns(netns, unix.CLONE_NEWNET); err != nil {
			err = fmt.Errorf("enter network namespace: %w", err)
			return
		}
		r, err = openRtnl()
	})
	return r, err
}

func (r *rtnl) close() { _ = unix.Close(r.fd) }

// message is a netlink message: its type and what follows the header.
type message struct {
	kind uint16
	body []byte
}

// ne is the byte order of netlink.
var ne = binary.NativeEndian

// attr appends an attribute, padded to 4 bytes.
func attr(b []byte, kind uint16, value []byte) []byte {
	b = ne.AppendUint16(b, uint16(4+len(value)))
	b = ne.AppendUint16(b, kind)
	b = append(b, value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func attrUint32(b []byte, kind uint16, v uint32) []byte {
	return attr(b, kind, ne.AppendUint32(nil, v))
}

func attrString(b []byte, kind uint16, s string) []byte { return attr(b, kind, append([]byte(s), 0)) }

// attrs calls f for each attribute of b. A malformed rest is left out.
func attrs(b []byte, f func(kind uint16, value []byte)) {
	for len(b) >= 4 {
		n := int(ne.Uint16(b))
		if n < 4 || n > len(b) {
			return
		}
		f(ne.Uint16(b[2:])&0x3fff, b[4:n])
		b = b[min(len(b), (n+3)&^3):]
	}
}

// do sends a request and returns the answers up to the acknowledgement, or to
// the end of a dump.
func (r *rtnl) do(kind, flags uint16, body []byte) ([]message, error) {
	r.seq++
	b := make([]byte, 16, 16+len(body))
	ne.PutUint32(b, uint32(16+len(body)))
	ne.PutUint16(b[4:], kind)
	ne.PutUint16(b[6:], flags|unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	ne.PutUint32(b[8:], r.seq)
	b = append(b, body...)
	if err := unix.Sendto(r.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, fmt.Errorf("netlink request: %w", err)
	}
	var out []message
	buf := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(r.fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("netlink answer: %w", err)
		}
		done, err := parse(buf[:n], r.seq, &out)
		if done || err != nil {
			return out, err
		}
	}
}

var errNetlink = errors.New("netlink: malformed answer")

// parse appends the messages of one datagram. done is the end of the answer.
func parse(b []byte, seq uint32, out *[]message) (done bool, err error) {
	for len(b) >= 16 {
		n := int(ne.Uint32(b))
		if n < 16 || n > len(b) {
			return false, errNetlink
		}
		kind, body := ne.Uint16(b[4:]), b[16:n]
		if ne.Uint32(b[8:]) == seq {
			switch kind {
			case unix.NLMSG_DONE:
				return true, nil
			case unix.NLMSG_ERROR:
				if len(body) < 4 {
					return false, errNetlink
				}
				if no := int32(ne.Uint32(body)); no != 0 {
					return false, unix.Errno(-no)
				}
				return true, nil
			default:
				*out = append(*out, message{kind, append([]byte(nil), body...)})
			}
		}
		b = b[min(len(b), (n+3)&^3):]
	}
	return false, nil
}

// link is a network device.
type link struct {
	index int32
	flags uint32
	name  string
}

// ifinfomsg {family u8, pad u8, type u16, index i32, flags u32, change u32}.
func ifinfomsg(index int32, flags, change uint32) []byte {
	b := make([]byte, 16)
	ne.PutUint32(b[4:], uint32(index))
	ne.PutUint32(b[8:], flags)
	ne.PutUint32(b[12:], change)
	return b
}

// links lists the devices of the socket's namespace.
func (r *rtnl) links() ([]link, error) {
	answers, err := r.do(unix.RTM_GETLINK, unix.NLM_F_DUMP, ifinfomsg(0, 0, 0))
	if err != nil {
		return nil, err
	}
	var list []link
	for _, m := range answers {
		if m.kind != unix.RTM_NEWLINK || len(m.body) < 16 {
			continue
		}
		l := link{index: int32(ne.Uint32(m.body[4:])), flags: ne.Uint32(m.body[8:])}
		attrs(m.body[16:], func(kind uint16, v []byte) {
			if kind == unix.IFLA_IFNAME && len(v) > 0 {
				l.name = string(v[:len(v)-1])
			}
		})
		list = append(list, l)
	}
	return list, nil
}

// address is one address of a device, ready to be given to another.
type address struct {
	family, prefix, scope uint8
	attrs                 []byte
}

// addresses lists the permanent addresses of global scope.
func (r *rtnl) addresses(index int32) ([]address, error) {
	answers, err := r.do(unix.RTM_GETADDR, unix.NLM_F_DUMP, make([]byte, 8))
	if err != nil {
		return nil, err
	}
	var list []address
	for _, m := range answers {
		// ifaddrmsg {family, prefixlen, flags, scope u8, index u32}.
		if m.kind != unix.RTM_NEWADDR || len(m.body) < 8 || int32(ne.Uint32(m.body[4:])) != index {
			continue
		}
		a := address{family: m.body[0], prefix: m.body[1], scope: m.body[3]}
		flags := uint32(m.body[2])
		attrs(m.body[8:], func(kind uint16, v []byte) {
			switch kind {
			case unix.IFA_FLAGS:
				if len(v) == 4 {
					flags = ne.Uint32(v)
				}
			case unix.IFA_LOCAL, unix.IFA_ADDRESS, unix.IFA_BROADCAST, unix.IFA_RT_PRIORITY:
				a.attrs = attr(a.attrs, kind, v)
			}
		})
		// What says where it came from and how far it is, is the kernel's.
		const keep = unix.IFA_F_NODAD | unix.IFA_F_HOMEADDRESS | unix.IFA_F_MANAGETEMPADDR | unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_MCAUTOJOIN
		a.attrs = attrUint32(a.attrs, unix.IFA_FLAGS, flags&keep)
		if flags&unix.IFA_F_PERMANENT != 0 && a.scope == unix.RT_SCOPE_UNIVERSE {
			list = append(list, a)
		}
	}
	return list, nil
}

// add gives a device an address.
func (r *rtnl) add(index int32, a address) error {
	b := []byte{a.family, a.prefix, 0, a.scope, 0, 0, 0, 0}
	ne.PutUint32(b[4:], uint32(index))
	_, err := r.do(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, append(b, a.attrs...))
	return err
}
