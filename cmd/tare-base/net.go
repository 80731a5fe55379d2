package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func runNc(p *proc, args []string) {
	o, rest := p.getopt(args, "lp:uw:zvUnkN listen=l udp=u zero=z verbose=v")
	network := "tcp"
	switch {
	case o.has('U'):
		network = "unix"
	case o.has('u'):
		network = "udp"
	}
	timeout := time.Duration(0)
	if o.has('w') {
		timeout, _ = parseDuration(o.get('w', ""))
	}
	var addr string
	switch {
	case o.has('U') && len(rest) == 1:
		addr = rest[0]
	case o.has('l') && o.has('p'):
		addr = net.JoinHostPort(strings.Join(rest, ""), o.get('p', ""))
	case o.has('l') && len(rest) == 1:
		addr = ":" + rest[0]
	case len(rest) == 2:
		addr = net.JoinHostPort(rest[0], rest[1])
	default:
		p.fatalf(1, "usage: nc [-uvzU] [-w SECONDS] HOST PORT | nc -l [-k] -p PORT")
	}
	if !o.has('l') {
		c, err := net.DialTimeout(network, addr, timeout)
		if err != nil {
			if o.has('v') || !o.has('z') {
				p.failf("%s: %s", addr, reason(err))
			}
			p.exit(1)
		}
		if o.has('v') {
			fmt.Fprintf(p.err, "%s open\n", addr)
		}
		if !o.has('z') {
			relay(p, c, timeout, true)
		}
		return
	}
	if o.has('u') {
		ncListenUDP(p, addr)
		return
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		p.fatalf(1, "%s: %s", addr, reason(err))
	}
	for {
		c, err := l.Accept()
		if err != nil {
			p.fatalf(1, "%s", reason(err))
		}
		relay(p, c, timeout, o.has('N'))
		if !o.has('k') {
			return
		}
	}
}

func ncListenUDP(p *proc, addr string) {
	c, err := net.ListenPacket("udp", addr)
	if err != nil {
		p.fatalf(1, "%s: %s", addr, reason(err))
	}
	buf := make([]byte, 64<<10)
	for {
		n, _, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		_, _ = p.out.Write(buf[:n])
		_ = p.out.Flush()
	}
}

// relay copies both ways until the peer is done. With half it tells the peer
// when standard input ends; a server without input would send it away.
func relay(p *proc, c net.Conn, timeout time.Duration, half bool) {
	go func() {
		_, _ = io.Copy(c, p.in)
		if h, ok := c.(interface{ CloseWrite() error }); ok && half {
			_ = h.CloseWrite()
		}
	}()
	if timeout > 0 {
		_ = c.SetReadDeadline(time.Now().Add(timeout))
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := c.Read(buf)
		_, _ = p.out.Write(buf[:n])
		_ = p.out.Flush()
		if err != nil {
			_ = c.Close()
			return
		}
	}
}

func runPing(p *proc, args []string) {
	o, rest := p.getopt(args, "c:w:W:i:qn46 count=c")
	if len(rest) != 1 {
		p.fatalf(2, "usage: ping [-c COUNT] [-W SECONDS] [-i SECONDS] [-q] HOST")
	}
	network := "ip"
	switch {
	case o.has('4'):
		network = "ip4"
	case o.has('6'):
		network = "ip6"
	}
	ra, err := net.ResolveIPAddr(network, rest[0])
	if err != nil {
		p.fatalf(2, "bad address '%s'", rest[0])
	}
	ip, _ := netip.AddrFromSlice(ra.IP)
	ip = ip.Unmap()
	seconds := func(c byte, def string) time.Duration {
		d, ok := parseDuration(o.get(c, def))
		if !ok {
			p.fatalf(2, "invalid time '%s'", o.get(c, def))
		}
		return d
	}
	wait, interval := seconds('W', "5"), seconds('i', "1")
	count := int(p.count(o.get('c', "0")))
	probe, how := pinger(ip)
	p.printf("PING %s (%s): %s\n", rest[0], ip, how)
	sent, got := 0, 0
	var low, high, sum time.Duration
	for count == 0 || sent < count {
		if sent > 0 {
			time.Sleep(interval)
		}
		start := time.Now()
		err := probe(sent, wait)
		rtt := time.Since(start)
		if err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				p.failf("sendto: %s", reason(err))
			}
		} else {
			if got == 0 || rtt < low {
				low = rtt
			}
			got++
			high, sum = max(high, rtt), sum+rtt
			if !o.has('q') {
				p.printf("64 bytes from %s: seq=%d time=%.3f ms\n", ip, sent, float64(rtt.Microseconds())/1000)
				_ = p.out.Flush()
			}
		}
		sent++
	}
	p.printf("\n--- %s ping statistics ---\n%d packets transmitted, %d packets received, %d%% packet loss\n",
		rest[0], sent, got, (sent-got)*100/max(sent, 1))
	if got == 0 {
		p.code = 1
		return
	}
	p.code = 0
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	p.printf("round-trip min/avg/max = %.3f/%.3f/%.3f ms\n", ms(low), ms(sum/time.Duration(got)), ms(high))
}

// pinger picks what the kernel grants: a raw socket, an ICMP datagram socket
// (net.ipv4.ping_group_range), else a TCP probe, to which a refusal is an
// answer as well.
func pinger(ip netip.Addr) (probe func(seq int, wait time.Duration) error, how string) {
	family, proto := unix.AF_INET, unix.IPPROTO_ICMP
	if ip.Is6() {
		family, proto = unix.AF_INET6, unix.IPPROTO_ICMPV6
	}
	for _, kind := range []int{unix.SOCK_RAW, unix.SOCK_DGRAM} {
		fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, proto)
		if err == nil {
			return func(seq int, wait time.Duration) error { return icmpEcho(fd, kind, ip, seq, wait) }, "56 data bytes"
		}
	}
	return func(_ int, wait time.Duration) error {
		c, err := net.DialTimeout("tcp", net.JoinHostPort(ip.String(), "7"), wait)
		switch {
		case err == nil:
			return c.Close()
		case errors.Is(err, syscall.ECONNREFUSED):
			return nil
		}
		return err
	}, "TCP probes of port 7, since ICMP sockets are denied"
}

// icmpEcho sends one echo request and waits for its answer.
func icmpEcho(fd, kind int, ip netip.Addr, seq int, wait time.Duration) error {
	msg := make([]byte, 64)
	binary.BigEndian.PutUint16(msg[4:], uint16(os.Getpid()))
	binary.BigEndian.PutUint16(msg[6:], uint16(seq))
	var to unix.Sockaddr
	reply := byte(0)
	if ip.Is4() {
		msg[0] = 8
		to = &unix.SockaddrInet4{Addr: ip.As4()}
		binary.BigEndian.PutUint16(msg[2:], checksum(msg))
	} else {
		msg[0], reply = 128, 129 // the kernel fills an ICMPv6 checksum in
		to = &unix.SockaddrInet6{Addr: ip.As16()}
	}
	if err := unix.Sendto(fd, msg, 0, to); err != nil {
		return err
	}
	end := time.Now().Add(wait)
	buf := make([]byte, 1500)
	for {
		left := time.Until(end)
		if left <= 0 {
			return os.ErrDeadlineExceeded
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return errors.Join(err, os.ErrDeadlineExceeded)
		}
		if n, _, err = unix.Recvfrom(fd, buf, 0); err != nil {
			return err
		}
		b := buf[:n]
		if kind == unix.SOCK_RAW && ip.Is4() && len(b) > 0 {
			b = b[min(int(b[0]&15)*4, len(b)):] // the IP header
		}
		// A datagram socket's id is the kernel's, and it gets only its own.
		mine := kind == unix.SOCK_DGRAM || len(b) >= 8 && binary.BigEndian.Uint16(b[4:]) == uint16(os.Getpid())
		if len(b) >= 8 && b[0] == reply && mine && binary.BigEndian.Uint16(b[6:]) == uint16(seq) {
			return nil
		}
	}
}

// checksum is the one of RFC 1071.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
