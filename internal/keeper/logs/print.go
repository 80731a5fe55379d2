package logs

import (
	"bytes"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// printer gives out chunks. Without prefixes the bytes go from file to file
// and are not looked at.
type printer struct {
	o            *ReadOptions
	since, until int64
	details      string
	stamp        []byte
	out          [3]io.Writer
	lines        [3]lineState

	run    chunk  // file bytes that are not given out yet
	buf    []byte // lines that are not, of stream bufFor
	bufFor byte
	block  []byte
	slow   [3]bool // the output is none for sendfile
}

// lineState says where a stream is.
type lineState struct {
	mid     bool // in the middle of a line that is shown
	skipped bool // in the middle of a line that is not
}

func newPrinter(c *Config, o *ReadOptions, out, errs io.Writer) *printer {
	p := &printer{o: o, since: -1 << 63, until: 1<<63 - 1, out: [3]io.Writer{Stdout: out, Stderr: errs}}
	if !o.Since.IsZero() {
		p.since = o.Since.UnixNano()
	}
	if !o.Until.IsZero() {
		p.until = o.Until.UnixNano()
	}
	if o.Details {
		p.details = detailsText(c.Attrs) + " "
	}
	return p
}

// detailsText is Docker's form: k=v,k=v, escaped as in URLs.
func detailsText(attrs []Attr) string {
	var b []byte
	for i, a := range attrs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, escape(a.Key)+"="+escape(a.Value)...)
	}
	return string(b)
}

// escape is url.QueryEscape, without the rest of net/url.
func escape(s string) string {
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+8)
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '~':
			b = append(b, c)
		case c == ' ':
			b = append(b, '+')
		default:
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}

// all gives out everything that is there at present.
func (p *printer) all(s source) error {
	var c chunk
	for {
		ok, err := s.next(&c)
		if err != nil {
			return err
		}
		if !ok {
			return p.flush()
		}
		if err := p.put(&c); err != nil {
			return err
		}
	}
}

func (p *printer) put(c *chunk) error {
	switch c.kind {
	case 0:
		return p.flush()
	case kindGap:
		if c.time < p.since || c.time > p.until || p.o.Lost == nil {
			return nil
		}
		err := p.flush()
		p.o.Lost(uint64(c.n), time.Unix(0, c.time))
		return err
	case kindEnd:
		p.lines = [3]lineState{}
		return nil
	}
	line := &p.lines[c.kind]
	if c.time < p.since || c.time > p.until {
		last, err := p.last(c)
		line.skipped = last != '\n'
		return err
	}
	if line.skipped {
		if err := p.trim(c, line); err != nil || c.n == 0 {
			return err
		}
	}
	switch {
	case p.o.Timestamps || p.o.Details:
		return p.prefixed(c)
	case c.fd >= 0:
		return p.extend(c)
	}
	return p.text(c.kind, c.text)
}

// last is the last byte of a chunk.
func (p *printer) last(c *chunk) (byte, error) {
	if c.fd < 0 {
		return c.text[len(c.text)-1], nil
	}
	var b [1]byte
	_, err := pread(c.fd, b[:], c.off+c.n-1)
	return b[0], err
}

// trim cuts off the rest of a line.
func (p *printer) trim(c *chunk, line *lineState) error {
	return p.blocks(c, func(b []byte) (bool, error) {
		n := bytes.IndexByte(b, '\n') + 1
		if line.skipped = n == 0; line.skipped {
			n = len(b)
		}
		c.off, c.n = c.off+int64(n), c.n-int64(n)
		if c.fd < 0 {
			c.text = c.text[n:]
		}
		return line.skipped, nil
	})
}

// blocks calls f with the bytes of a chunk, until it is false.
func (p *printer) blocks(c *chunk, f func([]byte) (bool, error)) error {
	if c.fd < 0 {
		_, err := f(c.text)
		return err
	}
	if p.block == nil {
		p.block = make([]byte, bufSize)
	}
	for off, end := c.off, c.off+c.n; off < end; {
		n, err := pread(c.fd, p.block[:min(end-off, bufSize)], off)
		if err != nil || n == 0 {
			return err
		}
		if more, err := f(p.block[:n]); !more || err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

// prefixed gives out lines with their time, their attributes, or both.
func (p *printer) prefixed(c *chunk) error {
	line := &p.lines[c.kind]
	p.stamp = p.stamp[:0]
	if p.o.Timestamps {
		p.stamp = time.Unix(0, c.time).UTC().AppendFormat(p.stamp, k8sTime)
		p.stamp = append(p.stamp, ' ')
	}
	p.stamp = append(p.stamp, p.details...)
	return p.blocks(c, func(b []byte) (bool, error) {
		if err := p.turn(c.kind); err != nil {
			return false, err
		}
		for len(b) > 0 {
			if !line.mid {
				p.buf = append(p.buf, p.stamp...)
			}
			i := bytes.IndexByte(b, '\n') + 1
			if line.mid = i == 0; line.mid {
				i = len(b)
			}
			p.buf = append(p.buf, b[:i]...)
			b = b[i:]
			if len(p.buf) > outSize {
				if err := p.flush(); err != nil {
					return false, err
				}
				p.bufFor = c.kind
			}
		}
		return true, nil
	})
}

func (p *printer) text(stream byte, text []byte) error {
	if err := p.turn(stream); err != nil {
		return err
	}
	p.buf = append(p.buf, text...)
	if len(p.buf) > outSize {
		return p.flush()
	}
	return nil
}

// turn gives out what belongs to the other stream, so that the order is kept.
func (p *printer) turn(stream byte) error {
	var err error
	if p.run.n > 0 || p.bufFor != stream && len(p.buf) > 0 {
		err = p.flush()
	}
	p.bufFor = stream
	return err
}

// extend adds a chunk to those before, if it follows them in their file.
func (p *printer) extend(c *chunk) error {
	r := &p.run
	if r.n > 0 && r.kind == c.kind && r.fd == c.fd && r.off+r.n == c.off && r.n < runSize {
		r.n += c.n
		return nil
	}
	err := p.flush()
	*r = *c
	return err
}

// runSize is when chunks are given out without waiting for more.
const runSize = 1 << 20

// flush gives out everything that is waiting.
func (p *printer) flush() error {
	if len(p.buf) > 0 {
		_, err := p.out[p.bufFor].Write(p.buf)
		p.buf = p.buf[:0]
		if err != nil {
			return err
		}
	}
	r := p.run
	p.run.n = 0
	if r.n == 0 {
		return nil
	}
	if f, ok := p.out[r.kind].(*os.File); ok && !p.slow[r.kind] {
		if err := sendfile(f, &r); err != nil {
			return err
		}
		p.slow[r.kind] = r.n > 0
	}
	return p.blocks(&r, func(b []byte) (bool, error) {
		_, err := p.out[r.kind].Write(b)
		return true, err
	})
}

// sendfile gives out what it can; the rest is left in c.
func sendfile(f *os.File, c *chunk) error {
	fd := int(f.Fd())
	for c.n > 0 {
		n, err := unix.Sendfile(fd, c.fd, &c.off, int(c.n))
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1); err != nil && err != unix.EINTR {
				return err
			}
		case err == unix.EINVAL || err == unix.ENOSYS || n == 0 && err == nil:
			return nil // an output in append mode, for one
		case err != nil:
			return &os.PathError{Op: "write", Path: f.Name(), Err: err}
		default:
			c.n -= int64(n)
		}
	}
	return nil
}
