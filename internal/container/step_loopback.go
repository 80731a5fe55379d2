package container

import (
	"encoding/binary"

	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

// loopbackChild brings lo up in a new network namespace.
func loopbackChild(e *env) error {
	e.p.Note("bring loopback up")
	sock := e.p.Open(plan.InChild, "socket", unix.SYS_SOCKET, []plan.Arg{
		plan.Int(unix.AF_INET), plan.Int(unix.SOCK_DGRAM | unix.SOCK_CLOEXEC), plan.Int(0),
	})
	// struct ifreq: 16 bytes of name, then a union of 24.
	ifreq := make([]byte, 40)
	copy(ifreq, "lo")
	binary.NativeEndian.PutUint16(ifreq[16:], unix.IFF_UP|unix.IFF_RUNNING)
	e.p.Call(plan.InChild, unix.SYS_IOCTL, []plan.Arg{sock.Arg(), plan.Int(unix.SIOCSIFFLAGS), e.p.Bytes(ifreq)})
	e.p.Close(plan.InChild, sock.Arg())
	return nil
}
