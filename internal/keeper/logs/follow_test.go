package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestFollow follows a log over rotations, a writer that is replaced, and a
// run that ends and begins again, and gets every byte once.
func TestFollow(t *testing.T) {
	for _, driver := range fileDrivers {
		t.Run(driver, func(t *testing.T) {
			dir, c := t.TempDir(), config(driver)
			c.MaxSize, c.MaxFile = 64<<10, 8
			var over atomic.Bool
			var want strings.Builder
			wrote := make(chan int)
			var seen atomic.Int64
			go func() {
				defer close(wrote)
				w, err := Open(dir, c)
				if err != nil {
					t.Error(err)
					return
				}
				for i := range 4000 {
					line := fmt.Sprintf("%d %s\n", i, strings.Repeat("q", i%200))
					want.WriteString(line)
					w.Write(Stdout, []byte(line), time.Now())
					for int64(want.Len())-seen.Load() > 100<<10 {
						time.Sleep(time.Millisecond) // the reader must not fall behind the rotation
					}
					switch i {
					case 1000:
						err = w.End(time.Now())
					case 2000:
						if err = w.Close(); err == nil {
							w, err = Open(dir, c)
						}
					}
					if err != nil {
						t.Error(err)
					}
				}
				if err := w.End(time.Now()); err != nil {
					t.Error(err)
				}
				over.Store(true)
			}()
			var got bytes.Buffer
			o := all()
			o.Follow = func() (bool, error) { return !over.Load(), nil }
			if err := Read(t.Context(), dir, c, o, counter{&got, &seen}, &got); err != nil {
				t.Fatal(err)
			}
			<-wrote
			if got.String() != want.String() {
				t.Errorf("got %d bytes, want %d", got.Len(), want.Len())
			}
		})
	}
}

type counter struct {
	b *bytes.Buffer
	n *atomic.Int64
}

func (c counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return c.b.Write(p)
}

// TestFollowUntil: a reader that follows to a moment ends with it.
func TestFollowUntil(t *testing.T) {
	dir, c := t.TempDir(), config(Local)
	fill(t, dir, c, []piece{{Stdout, "one\n", 0}})
	var b bytes.Buffer
	o := all()
	o.Until = time.Now().Add(20 * time.Millisecond)
	o.Follow = func() (bool, error) { return true, nil }
	if err := Read(t.Context(), dir, c, o, &b, &b); err != nil || b.String() != "one\n" {
		t.Errorf("%q: %v", b.String(), err)
	}
}

// TestFollowEarly: a reader that follows before there is a log, or any directory of
// one, sees all of it at once, and ends with its context.
func TestFollowEarly(t *testing.T) {
	for _, driver := range fileDrivers {
		dir, c := t.TempDir()+"/logs/id", config(driver)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r, w := io.Pipe()
		forever, never, err := os.Pipe() // the writer lives
		if err != nil {
			t.Fatal(err)
		}
		defer forever.Close()
		defer never.Close()
		o := all()
		o.Wake = []int{int(forever.Fd())}
		asked := make(chan struct{}, 100)
		o.Follow = func() (bool, error) {
			asked <- struct{}{}
			return true, nil
		}
		go func() { w.CloseWithError(Read(ctx, dir, c, o, w, w)) }()
		<-asked
		fill(t, dir, c, []piece{{Stdout, "one\n", 0}})
		b := make([]byte, 10)
		if n, err := r.Read(b); err != nil || string(b[:n]) != "one\n" {
			t.Errorf("%s: %q, %v", driver, b[:n], err)
		}
		if n := len(asked); n > 20 {
			t.Errorf("%s: asked %d times", driver, n)
		}
		cancel()
		if _, err := r.Read(b); !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", driver, err)
		}
	}
}
