package main

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// link is one network interface with its addresses.
type link struct {
	index, mtu, peer, master int
	flags                    uint32
	kind                     uint16 // ARPHRD_*
	name, qdisc, mac         string
	state                    byte // IF_OPER_*
	txqlen                   uint32
	addrs                    []address
}

type address struct {
	ip        netip.Prefix
	broadcast netip.Addr
	scope     byte
	label     string
}

type route struct {
	dst                  netip.Prefix
	gateway, src         netip.Addr
	dev                  int
	metric               uint32
	table, scope, kind   byte
	protocol             byte
	destinationIsDefault bool
}

// netlink dumps one table of the kernel: pure reads of a raw socket.
func netlink(p *proc, kind, family int) []syscall.NetlinkMessage {
	b, err := syscall.NetlinkRIB(kind, family)
	if err != nil {
		p.fatalf(1, "netlink: %s", reason(err))
	}
	msgs, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		p.fatalf(1, "netlink: %s", reason(err))
	}
	return msgs
}

func attributes(p *proc, m *syscall.NetlinkMessage) []syscall.NetlinkRouteAttr {
	a, err := syscall.ParseNetlinkRouteAttr(m)
	if err != nil {
		p.fatalf(1, "netlink: %s", reason(err))
	}
	return a
}

func links(p *proc) []*link {
	ne := binary.NativeEndian
	var out []*link
	for _, m := range netlink(p, syscall.RTM_GETLINK, syscall.AF_UNSPEC) {
		if m.Header.Type != syscall.RTM_NEWLINK {
			continue
		}
		l := &link{kind: ne.Uint16(m.Data[2:]), index: int(ne.Uint32(m.Data[4:])), flags: ne.Uint32(m.Data[8:])}
		for _, a := range attributes(p, &m) {
			switch v := a.Value; a.Attr.Type & 0x3fff {
			case syscall.IFLA_IFNAME:
				l.name = unix.ByteSliceToString(v)
			case syscall.IFLA_MTU:
				l.mtu = int(ne.Uint32(v))
			case syscall.IFLA_ADDRESS:
				l.mac = net.HardwareAddr(v).String()
			case syscall.IFLA_QDISC:
				l.qdisc = unix.ByteSliceToString(v)
			case syscall.IFLA_LINK:
				l.peer = int(ne.Uint32(v))
			case syscall.IFLA_MASTER:
				l.master = int(ne.Uint32(v))
			case unix.IFLA_OPERSTATE:
				l.state = v[0]
			case syscall.IFLA_TXQLEN:
				l.txqlen = ne.Uint32(v)
			}
		}
		out = append(out, l)
	}
	for _, m := range netlink(p, syscall.RTM_GETADDR, syscall.AF_UNSPEC) {
		if m.Header.Type != syscall.RTM_NEWADDR {
			continue
		}
		a := address{scope: m.Data[3]}
		var ip netip.Addr
		for _, at := range attributes(p, &m) {
			switch at.Attr.Type {
			case syscall.IFA_ADDRESS:
				if !ip.IsValid() {
					ip, _ = netip.AddrFromSlice(at.Value)
				}
			case syscall.IFA_LOCAL:
				ip, _ = netip.AddrFromSlice(at.Value)
			case syscall.IFA_BROADCAST:
				a.broadcast, _ = netip.AddrFromSlice(at.Value)
			case syscall.IFA_LABEL:
				a.label = unix.ByteSliceToString(at.Value)
			}
		}
		a.ip = netip.PrefixFrom(ip, int(m.Data[1]))
		for _, l := range out {
			if l.index == int(ne.Uint32(m.Data[4:])) {
				l.addrs = append(l.addrs, a)
			}
		}
	}
	return out
}

func (l *link) flagNames() string {
	var out []string
	if l.flags&unix.IFF_UP != 0 && l.flags&unix.IFF_RUNNING == 0 {
		out = append(out, "NO-CARRIER")
	}
	for _, f := range []struct {
		bit  uint32
		name string
	}{
		{unix.IFF_LOOPBACK, "LOOPBACK"},
		{unix.IFF_BROADCAST, "BROADCAST"},
		{unix.IFF_POINTOPOINT, "POINTOPOINT"},
		{unix.IFF_MULTICAST, "MULTICAST"},
		{unix.IFF_NOARP, "NOARP"},
		{unix.IFF_PROMISC, "PROMISC"},
		{unix.IFF_UP, "UP"},
		{unix.IFF_LOWER_UP, "LOWER_UP"},
	} {
		if l.flags&f.bit != 0 {
			out = append(out, f.name)
		}
	}
	return strings.Join(out, ",")
}

func (l *link) operState() string {
	names := [...]string{"UNKNOWN", "NOTPRESENT", "DOWN", "LOWERLAYERDOWN", "TESTING", "DORMANT", "UP"}
	return names[min(int(l.state), len(names)-1)]
}

func (l *link) kindName() string {
	switch l.kind {
	case unix.ARPHRD_ETHER:
		return "ether"
	case unix.ARPHRD_LOOPBACK:
		return "loopback"
	case unix.ARPHRD_NONE:
		return "none"
	case unix.ARPHRD_TUNNEL:
		return "ipip"
	case unix.ARPHRD_SIT:
		return "sit"
	default:
		return "[" + strconv.Itoa(int(l.kind)) + "]"
	}
}

func scopeName(s byte) string {
	switch s {
	case unix.RT_SCOPE_UNIVERSE:
		return "global"
	case unix.RT_SCOPE_SITE:
		return "site"
	case unix.RT_SCOPE_LINK:
		return "link"
	case unix.RT_SCOPE_HOST:
		return "host"
	}
	return strconv.Itoa(int(s))
}

// runIP knows what one looks at, and "link set": the engine configures.
func runIP(p *proc, args []string) {
	family, brief := 0, false
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		switch args[0] {
		case "-4":
			family = 4
		case "-6":
			family = 6
		case "-br", "-brief":
			brief = true
		case "-o", "-oneline", "-c", "-color":
		default:
			p.fatalf(1, "unknown option '%s'", args[0])
		}
		args = args[1:]
	}
	if len(args) == 0 {
		p.fatalf(1, "usage: ip [-4|-6] [-br] addr|link|route [show [dev NAME]] | link set NAME up|down [mtu N]")
	}
	object, args := args[0], args[1:]
	is := func(full string) bool { return strings.HasPrefix(full, object) }
	switch {
	case is("link") && len(args) > 0 && args[0] == "set":
		ipLinkSet(p, args[1:])
	case is("address"), is("addr"), is("link"):
		ipShow(p, showDev(p, args), is("link"), family, brief)
	case is("route"):
		ipRoute(p, showDev(p, args), family)
	default:
		p.fatalf(1, "object '%s' is unknown; known: addr, link, route", object)
	}
}

// showDev reads [show|list] [dev NAME].
func showDev(p *proc, args []string) string {
	dev := ""
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "dev" || a == "s" || a == "show" || a == "list" || a == "ls" || a == "l":
		case dev == "" && len(a) < unix.IFNAMSIZ:
			dev = a
		default:
			p.fatalf(1, "'%s' is not supported; try show [dev NAME]", a)
		}
	}
	return dev
}

func ipShow(p *proc, dev string, linkOnly bool, family int, brief bool) {
	all := links(p)
	names := map[int]string{}
	for _, l := range all {
		names[l.index] = l.name
	}
	found := dev == ""
	for _, l := range all {
		if dev != "" && dev != l.name {
			continue
		}
		found = true
		name := l.name
		if l.peer != 0 && l.peer != l.index {
			peer := names[l.peer]
			if peer == "" {
				peer = "if" + strconv.Itoa(l.peer)
			}
			name += "@" + peer
		}
		if brief {
			ipBrief(p, l, name, linkOnly, family)
			continue
		}
		p.printf("%d: %s: <%s> mtu %d qdisc %s", l.index, name, l.flagNames(), l.mtu, l.qdisc)
		if l.master != 0 {
			p.printf(" master %s", names[l.master])
		}
		p.printf(" state %s group default", l.operState())
		if l.txqlen > 0 {
			p.printf(" qlen %d", l.txqlen)
		}
		p.printf("\n    link/%s", l.kindName())
		if l.mac != "" {
			brd := "ff:ff:ff:ff:ff:ff"
			if l.flags&unix.IFF_LOOPBACK != 0 {
				brd = "00:00:00:00:00:00"
			}
			p.printf(" %s brd %s", l.mac, brd)
		}
		p.println()
		for _, a := range l.addrs {
			if linkOnly || family == 4 && !a.ip.Addr().Is4() || family == 6 && a.ip.Addr().Is4() {
				continue
			}
			word := "inet"
			if !a.ip.Addr().Is4() {
				word = "inet6"
			}
			p.printf("    %s %s", word, a.ip)
			if a.broadcast.IsValid() {
				p.printf(" brd %s", a.broadcast)
			}
			p.printf(" scope %s", scopeName(a.scope))
			if a.label != "" {
				p.printf(" %s", a.label)
			}
			p.println()
		}
	}
	if !found {
		p.failf("device \"%s\" does not exist", dev)
	}
}

func ipBrief(p *proc, l *link, name string, linkOnly bool, family int) {
	p.printf("%-16s %-14s", name, l.operState())
	if linkOnly {
		p.printf(" %s <%s>", l.mac, l.flagNames())
	} else {
		for _, a := range l.addrs {
			if family == 0 || (family == 4) == a.ip.Addr().Is4() {
				p.printf(" %s", a.ip)
			}
		}
	}
	p.println()
}

func routes(p *proc, family int) []route {
	ne := binary.NativeEndian
	af := syscall.AF_INET
	if family == 6 {
		af = syscall.AF_INET6
	}
	var out []route
	for _, m := range netlink(p, syscall.RTM_GETROUTE, af) {
		if m.Header.Type != syscall.RTM_NEWROUTE {
			continue
		}
		d := m.Data
		r := route{table: d[4], protocol: d[5], scope: d[6], kind: d[7], destinationIsDefault: d[1] == 0}
		for _, a := range attributes(p, &m) {
			switch a.Attr.Type {
			case syscall.RTA_DST:
				ip, _ := netip.AddrFromSlice(a.Value)
				r.dst = netip.PrefixFrom(ip, int(d[1]))
			case syscall.RTA_GATEWAY:
				r.gateway, _ = netip.AddrFromSlice(a.Value)
			case syscall.RTA_PREFSRC:
				r.src, _ = netip.AddrFromSlice(a.Value)
			case syscall.RTA_OIF:
				r.dev = int(ne.Uint32(a.Value))
			case syscall.RTA_PRIORITY:
				r.metric = ne.Uint32(a.Value)
			}
		}
		out = append(out, r)
	}
	return out
}

func ipRoute(p *proc, dev string, family int) {
	names := map[int]string{}
	for _, l := range links(p) {
		names[l.index] = l.name
	}
	for _, r := range routes(p, family) {
		if r.table != syscall.RT_TABLE_MAIN || dev != "" && names[r.dev] != dev {
			continue
		}
		switch {
		case r.destinationIsDefault:
			p.printf("default")
		case r.dst.IsSingleIP():
			p.printf("%s", r.dst.Addr())
		default:
			p.printf("%s", r.dst)
		}
		if r.gateway.IsValid() {
			p.printf(" via %s", r.gateway)
		}
		p.printf(" dev %s", names[r.dev])
		if r.protocol == unix.RTPROT_KERNEL {
			p.printf(" proto kernel")
		}
		if r.scope == unix.RT_SCOPE_LINK {
			p.printf(" scope link")
		}
		if r.src.IsValid() {
			p.printf(" src %s", r.src)
		}
		if r.metric != 0 {
			p.printf(" metric %d", r.metric)
		}
		p.println()
	}
}

func ipLinkSet(p *proc, args []string) {
	if len(args) > 0 && args[0] == "dev" {
		args = args[1:]
	}
	if len(args) < 2 {
		p.fatalf(1, "usage: ip link set NAME up|down|mtu N")
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		p.fatalf(1, "socket: %s", reason(err))
	}
	req, err := unix.NewIfreq(args[0])
	if err != nil {
		p.fatalf(1, "%s: %s", args[0], reason(err))
	}
	for i := 1; i < len(args); i++ {
		switch args[i] {
		case "up", "down":
			if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, req); err != nil {
				p.fatalf(2, "%s: %s", args[0], reason(err))
			}
			flags := req.Uint16() &^ unix.IFF_UP
			if args[i] == "up" {
				flags |= unix.IFF_UP
			}
			req.SetUint16(flags)
			err = unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req)
		case "mtu":
			if i++; i == len(args) {
				p.fatalf(1, "mtu needs a value")
			}
			req.SetUint32(uint32(p.count(args[i])))
			err = unix.IoctlIfreq(fd, unix.SIOCSIFMTU, req)
		default:
			p.fatalf(1, "'%s' is not supported", args[i])
		}
		if err != nil {
			p.fatalf(2, "%s: %s", args[0], reason(err))
		}
	}
}

func runHostname(p *proc, args []string) {
	o, rest := p.getopt(args, "iIfsd ip-address=i all-ip-addresses=I fqdn=f short=s domain=d")
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		p.fatalf(1, "%s", reason(err))
	}
	name := unix.ByteSliceToString(u.Nodename[:])
	switch {
	case o.has('i'):
		ips, err := net.LookupHost(name)
		if err != nil {
			p.fatalf(1, "%s: not in /etc/hosts and no name server knows it", name)
		}
		p.println(strings.Join(ips, " "))
	case o.has('I'):
		var out []string
		for _, l := range links(p) {
			for _, a := range l.addrs {
				if l.flags&unix.IFF_LOOPBACK == 0 && a.scope == unix.RT_SCOPE_UNIVERSE {
					out = append(out, a.ip.Addr().String())
				}
			}
		}
		p.println(strings.Join(out, " "))
	case o.has('d'):
		_, domain, _ := strings.Cut(name, ".")
		if domain == "" {
			if domain = unix.ByteSliceToString(u.Domainname[:]); domain == "(none)" {
				domain = ""
			}
		}
		p.println(domain)
	case o.has('s'):
		short, _, _ := strings.Cut(name, ".")
		p.println(short)
	case len(rest) > 0:
		if err := unix.Sethostname([]byte(rest[0])); err != nil {
			p.failf("sethostname: %s", reason(err))
		}
	default:
		p.println(name)
	}
}

// runDomainname prints or sets the NIS name, the "domainname" of uname(2).
func runDomainname(p *proc, args []string) {
	if len(args) > 0 {
		if err := unix.Setdomainname([]byte(args[0])); err != nil {
			p.failf("setdomainname: %s", reason(err))
		}
		return
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		p.fatalf(1, "%s", reason(err))
	}
	p.println(unix.ByteSliceToString(u.Domainname[:]))
}
