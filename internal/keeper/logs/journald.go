package logs

import (
	"encoding/binary"
	"time"

	"github.com/tare-engine/tare/internal/lib/fault"
	"golang.org/x/sys/unix"
)

// journalSocket is where systemd's journal takes datagrams.
const journalSocket = "/run/systemd/journal/socket"

// journal sends each line to systemd's journal, in its native protocol: lines
// of KEY=value, or KEY, the length as eight bytes little endian, the value.
// https://systemd.io/JOURNAL_NATIVE_PROTOCOL
type journal struct {
	cutter
	fd    int
	to    unix.SockaddrUnix
	fixed []byte // the fields that are the same in each datagram
	buf   []byte
}

func openJournal(c *Config) (*journal, error) { return openJournalAt(c, journalSocket) }

func openJournalAt(c *Config, socket string) (*journal, error) {
	if unix.Access(socket, unix.F_OK) != nil {
		return nil, fault.New(fault.Unsupported, "log driver journald: there is no journal on this machine (%s)", socket)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fault.New(fault.KindOf(err), "log driver journald: socket: %w", err)
	}
	j := &journal{cutter: cutter{hold: true}, fd: fd, to: unix.SockaddrUnix{Name: socket}}
	for _, f := range c.Fields {
		j.fixed = appendField(j.fixed, f.Key, []byte(f.Value))
	}
	for _, a := range c.Attrs {
		if k := journalKey(a.Key); k != "" {
			j.fixed = appendField(j.fixed, k, []byte(a.Value))
		}
	}
	return j, nil
}

func appendField(b []byte, key string, value []byte) []byte {
	b = append(b, key...)
	b = append(b, '\n')
	b = binary.LittleEndian.AppendUint64(b, uint64(len(value)))
	b = append(b, value...)
	return append(b, '\n')
}

// journalKey makes a field's name of an attribute's: capitals, digits and
// underscores, of which it does not begin with one.
func journalKey(s string) string {
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z':
			c -= 'a' - 'A'
		case c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' && len(b) > 0:
		default:
			c = '_'
		}
		if c != '_' || len(b) > 0 {
			b = append(b, c)
		}
	}
	return string(b)
}

func (j *journal) write(stream byte, p []byte, _ time.Time) (lost int, err error) {
	j.cut(stream, p, func(line []byte, part bool) {
		if serr := j.send(stream, line, part); serr != nil {
			lost, err = lost+len(line)+1, serr
		}
	})
	return lost, err
}

// send waits while the journal's queue is full. The time is the journal's.
func (j *journal) send(stream byte, line []byte, part bool) error {
	if len(line) == 0 && !part {
		return nil // the journal has no empty messages
	}
	priority := "6"
	if stream == Stderr {
		priority = "3"
	}
	b := append(j.buf[:0], j.fixed...)
	b = appendField(b, "PRIORITY", []byte(priority))
	if part {
		b = appendField(b, "CONTAINER_PARTIAL_MESSAGE", []byte("true"))
	}
	j.buf = appendField(b, "MESSAGE", line)
	for {
		err := unix.Sendto(j.fd, j.buf, unix.MSG_NOSIGNAL, &j.to)
		if err != unix.EINTR {
			return err
		}
	}
}

func (j *journal) gap(lost uint64, _ time.Time) error {
	return j.send(Stderr, gapText(nil, lost), false)
}

func (j *journal) end(time.Time) (lost int, err error) {
	j.flush(func(stream byte, line []byte) {
		if serr := j.send(stream, line, false); serr != nil {
			lost, err = lost+len(line), serr
		}
	})
	return lost, err
}

func (*journal) limit(int64, int) {} // the journal has its own

func (j *journal) close() error { return closeFD(&j.fd) }
