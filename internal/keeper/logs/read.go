package logs

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
	"golang.org/x/sys/unix"
)

// ReadOptions choose what a reader gives out.
type ReadOptions struct {
	Tail       int       // that many lines from the end; negative is all
	Since      time.Time // zero is from the begin
	Until      time.Time // zero is to the end
	Timestamps bool      // each line begins with its time
	Details    bool      // each line begins with the attributes

	// Follow waits for more. It is asked whenever there is nothing to read
	// whether the writer may still write, after which everything is read once
	// more; nil does not wait. Its error ends the reading.
	Follow func() (bool, error)
	// Wake are descriptors that become readable when the answer of Follow may
	// have changed; when none is left it is asked once a second.
	Wake []int
	// Lost is called where output is missing that could not be written. May
	// be nil. Formats without a mark for it have a line in its place.
	Lost func(bytes uint64, at time.Time)
}

// record is what a driver that knows lines keeps: a line, or a part of one.
type record struct {
	stream byte
	time   int64
	text   []byte // with the line feed, if it had one
}

// chunk is a piece of output: bytes of a file, or text.
type chunk struct {
	kind byte // a stream, kindGap, kindEnd, or 0: fd is about to be closed
	time int64
	text []byte
	fd   int // -1: text
	off  int64
	n    int64 // length, or bytes lost
}

// source reads the files of one driver.
type source interface {
	// tail skips all but the last n lines. It comes before next.
	tail(n int) error
	// next gives the next chunk, valid until the call after it; false when
	// there is none at present.
	next(c *chunk) (bool, error)
	// pending says that there will be a chunk in a moment.
	pending() bool
	close()
}

// Read gives out a log: the two streams to their writers, in the order in
// which they were read from the container. A log that nobody has written yet
// is empty. The end of the context ends the following.
func Read(ctx context.Context, dir string, c *Config, o *ReadOptions, out, errs io.Writer) error {
	var s source
	watch := dir
	switch c.Driver {
	case Local:
		s = &localReader{dir: dir}
	case JSONFile:
		l := newLinesReader(dir, c, jsonLine)
		s, watch = l, l.dir
	case K8sFile:
		l := newLinesReader(dir, c, k8sLine)
		s, watch = l, l.dir
	case Journald:
		return fault.WithHint(fault.New(fault.Unsupported, "configured logging driver does not support reading"), "journalctl CONTAINER_ID="+fieldOf(c, "CONTAINER_ID"))
	default:
		return fault.New(fault.Unsupported, "configured logging driver does not support reading")
	}
	defer s.close()
	p := newPrinter(c, o, out, errs)
	if o.Follow == nil {
		if err := start(s, o); err != nil {
			return err
		}
		return p.all(s)
	}
	w, err := newWatcher(ctx, watch, o.Wake)
	if err != nil {
		return err
	}
	defer w.close()
	if err := start(s, o); err != nil {
		return err
	}
	for {
		more, err := o.Follow()
		if err := errors.Join(p.all(s), err); err != nil || !more || ctx.Err() != nil {
			return err
		}
		limit := time.Duration(0)
		if s.pending() {
			limit = 2 * time.Millisecond
		}
		if !o.Until.IsZero() {
			left := time.Until(o.Until)
			if left < 0 {
				return nil
			}
			if left += time.Millisecond; limit == 0 || left < limit {
				limit = left
			}
		}
		if err := w.wait(limit); err != nil {
			return err
		}
	}
}

func start(s source, o *ReadOptions) error {
	if o.Tail < 0 {
		return nil
	}
	return s.tail(o.Tail)
}

func fieldOf(c *Config, key string) string {
	for _, f := range c.Fields {
		if f.Key == key {
			return f.Value
		}
	}
	return ""
}

// Remove removes a log. A file that the options put elsewhere stays.
func Remove(dir string) error { return fsatomic.RemoveTree(unix.AT_FDCWD, dir) }
