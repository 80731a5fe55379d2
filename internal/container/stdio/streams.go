package stdio

import (
	"errors"
	"io"
	"os"
	"sync"
)

// Streams are what a caller connects something in a container with: to read
// from and to write to whatever has these methods. A file is used as that, and is
// handed to the container where it is safe. Everything else gets a pipe and is
// copied by a goroutine, which splices where the two sides can: a socket is not
// handed on, since it belongs to the caller's network, and may not block.
//
// They are in use until the container ends, also when the caller has left.
type Streams struct {
	In       io.Reader // nil: nothing is sent
	Out, Err io.Writer // nil: not shown

	// Signals is asked when the program is about to run, and brings what the
	// caller's user does besides typing; tty says that the program has a
	// terminal. Nil, and a nil answer: nothing comes.
	Signals func(tty bool) (Signals, error)
}

// Files are Streams as descriptors. Nil is what is not attached.
type Files struct {
	In, Out, Err *os.File

	start  func()     // begins to copy the input; nil: there is nothing to copy, or it has begun
	input  *os.File   // what it writes to
	closes []*os.File // ours
	wg     sync.WaitGroup
	once   sync.Once
	mu     sync.Mutex
	err    error
}

// Catch asks for the signals.
func (s *Streams) Catch(tty bool) (Signals, error) {
	if s.Signals == nil {
		return nil, nil //nolint:nilnil // none
	}
	return s.Signals(tty)
}

// Open makes descriptors of the streams. Nothing is read of the input before
// Start.
func (s *Streams) Open() (*Files, error) {
	f := &Files{}
	if err := f.open(s); err != nil {
		f.Leave()
		return nil, err
	}
	return f, nil
}

func (f *Files) open(s *Streams) (err error) {
	if err := f.openInput(s.In); err != nil {
		return err
	}
	if f.Out, err = f.output(s.Out); err != nil {
		return err
	}
	if same(s.Out, s.Err) {
		f.Err = f.Out // one pipe keeps the order
		return nil
	}
	f.Err, err = f.output(s.Err)
	return err
}

func (f *Files) openInput(from io.Reader) error {
	if file, ok := from.(*os.File); ok || from == nil {
		f.In = file
		return nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	f.In, f.input, f.closes = r, w, append(f.closes, r)
	f.start = func() { // not waited for: it may sit in a read for ever
		_, _ = io.Copy(w, from) // EPIPE: nobody reads any more
		_ = w.Close()
	}
	return nil
}

// Start begins to copy the input, once the program runs.
func (f *Files) Start() {
	if f != nil && f.start != nil {
		go f.start()
		f.start, f.input = nil, nil
	}
}

// none reports whether a stream is nil, or a nil file.
func none(stream any) bool {
	file, isFile := stream.(*os.File)
	return stream == nil || isFile && file == nil
}

// same reports whether two writers are one. Comparing those that cannot be
// compared would panic.
func same(a, b io.Writer) (equal bool) {
	defer func() { _ = recover() }()
	return !none(a) && a == b
}

func (f *Files) output(to io.Writer) (*os.File, error) {
	if file, ok := to.(*os.File); ok || to == nil {
		return file, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	f.closes = append(f.closes, w)
	f.wg.Go(func() {
		if _, err := io.Copy(to, r); err != nil {
			f.mu.Lock()
			f.err = errors.Join(f.err, err)
			f.mu.Unlock()
		}
		_ = r.Close() // whoever writes on gets EPIPE
	})
	return w, nil
}

// Close waits until the caller's streams have got everything, and tells why
// something was lost. A second call does nothing. The caller's own files stay open.
func (f *Files) Close() error {
	if f == nil {
		return nil
	}
	f.Leave()
	f.wg.Wait()
	return f.err
}

// Leave is Close for a caller who does not wait: one of its streams may never
// take anything again.
func (f *Files) Leave() {
	if f == nil {
		return
	}
	f.once.Do(func() {
		for _, c := range f.closes {
			_ = c.Close()
		}
		if f.input != nil { // nothing was read of the input
			_ = f.input.Close()
		}
	})
}
