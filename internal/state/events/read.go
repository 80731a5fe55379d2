package events

import (
	"bytes"
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/jsonread"
)

// Query chooses events.
type Query struct {
	Since time.Time // zero: none of the past, unless there is an end
	Until time.Time // zero: without end
	// Match chooses among them; nil is all.
	Match func(*Event) bool
}

// Read calls each with the events of a query in the order of the journal, and
// with the line that holds the event, without its end. It waits for events to
// come until q.Until, an error of each, or the end of ctx, which is no error.
func (j *Journal) Read(ctx context.Context, q Query, each func(e *Event, line []byte) error) error {
	w, err := j.watch(ctx)
	if err != nil {
		return fault.New(fault.KindOf(err), "watch events: %w", err)
	}
	defer w.close()
	// Two journals are looked at: a writer may have been about to write into
	// the older one when it was put aside.
	var files [2]tail
	defer func() { files[0].close(); files[1].close() }()
	read := func() error {
		for i := range files {
			if err := files[i].read(func(line []byte) error { return q.pass(line, each) }); err != nil {
				return err
			}
		}
		return nil
	}
	past := !q.Since.IsZero() || !q.Until.IsZero()
	for {
		// First what is open: follow may close it.
		if err := read(); err != nil {
			return err
		}
		if err := j.follow(&files, past); err != nil {
			return fault.New(fault.KindOf(err), "read events: %w", err)
		}
		past = true
		if err := read(); err != nil {
			return err
		}
		more, err := w.wait(ctx, q.Until)
		if err != nil {
			return fault.New(fault.KindOf(err), "watch events: %w", err)
		}
		if !more {
			return nil
		}
	}
}

// follow opens the journals that are new: the older one in files[0], this
// moment's in files[1]. Without past the first ones are read from their end.
func (j *Journal) follow(files *[2]tail, past bool) error {
	for i, path := range [...]string{j.path() + ".1", j.path()} {
		var st unix.Stat_t
		err := unix.Stat(path, &st)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return err
		}
		switch {
		case files[i].f != nil && files[i].ino == st.Ino:
			continue
		case i == 0 && files[1].f != nil && files[1].ino == st.Ino:
			files[0].close()
			files[0], files[1] = files[1], tail{}
			continue
		}
		f, err := os.Open(path)
		if errors.Is(err, unix.ENOENT) {
			continue // being put aside: that wakes us again
		}
		if err != nil {
			return err
		}
		files[i].close()
		if files[i], err = newTail(f, past); err != nil {
			return err
		}
	}
	return nil
}

func (q *Query) pass(line []byte, each func(*Event, []byte) error) error {
	if i := bytes.LastIndex(line, []byte(head)); i > 0 {
		line = line[i:] // behind the part of a line that was never finished
	}
	var e Event
	if jsonread.Decode(line, &e, readEvent) != nil {
		return nil // cut off by a kill or a full disk
	}
	t := e.When()
	if t.Before(q.Since) || !q.Until.IsZero() && t.After(q.Until) || q.Match != nil && !q.Match(&e) {
		return nil
	}
	return each(&e, line)
}

// tail reads the lines of a file that grows.
type tail struct {
	f    *os.File
	ino  uint64
	rest []byte // of a line whose end is not there yet
}

func newTail(f *os.File, past bool) (tail, error) {
	var st unix.Stat_t
	err := unix.Fstat(int(f.Fd()), &st)
	if err == nil && !past {
		_, err = f.Seek(0, 2)
	}
	if err != nil {
		f.Close()
		return tail{}, err
	}
	return tail{f: f, ino: st.Ino}, nil
}

func (t *tail) close() {
	if t.f != nil {
		t.f.Close()
	}
}

// read calls line with each line that has been completed since.
func (t *tail) read(line func([]byte) error) error {
	if t.f == nil {
		return nil
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := t.f.Read(buf)
		text := buf[:n]
		for {
			i := bytes.IndexByte(text, '\n')
			if i < 0 {
				break
			}
			one := text[:i]
			if len(t.rest) > 0 {
				one = append(t.rest, one...)
				t.rest = nil
			}
			if err := line(one); err != nil {
				return err
			}
			text = text[i+1:]
		}
		t.rest = append(t.rest, text...)
		if err != nil || n == 0 {
			return nil //nolint:nilerror // the end, for now
		}
	}
}

// watch tells when a journal changes.
type watch struct {
	inotify, stop int
	release       func()
}

func (j *Journal) watch(ctx context.Context) (*watch, error) {
	if err := os.MkdirAll(j.dir, 0o700); err != nil {
		return nil, err
	}
	in, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, err
	}
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err == nil {
		_, err = unix.InotifyAddWatch(in, j.dir, unix.IN_MODIFY|unix.IN_CREATE|unix.IN_MOVED_TO)
		if err != nil {
			_ = unix.Close(stop)
		}
	}
	if err != nil {
		_ = unix.Close(in) // the first error counts
		return nil, err
	}
	w := &watch{inotify: in, stop: stop}
	woken := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() {
		_, _ = unix.Write(stop, []byte{1, 1, 1, 1, 1, 1, 1, 1}) // wakes the poll: any number but 0 does
		close(woken)
	})
	w.release = func() {
		if !unhook() {
			<-woken
		}
		_ = unix.Close(stop)
	}
	return w, nil
}

func (w *watch) close() {
	_ = unix.Close(w.inotify)
	w.release()
}

// wait returns true when something has changed, and false at until and at the
// end of ctx.
func (w *watch) wait(ctx context.Context, until time.Time) (bool, error) {
	for {
		timeout := -1
		if !until.IsZero() {
			left := time.Until(until)
			if left <= 0 {
				return false, nil
			}
			timeout = int(min(left.Milliseconds()+1, 1<<30))
		}
		fds := []unix.PollFd{{Fd: int32(w.inotify), Events: unix.POLLIN}, {Fd: int32(w.stop), Events: unix.POLLIN}}
		_, err := unix.Poll(fds, timeout)
		switch {
		case ctx.Err() != nil:
			return false, nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return false, err
		case fds[0].Revents != 0:
			var buf [4096]byte
			for {
				if n, err := unix.Read(w.inotify, buf[:]); n <= 0 || err != nil {
					return true, nil //nolint:nilerror // EAGAIN: all of them are read
				}
			}
		}
	}
}
