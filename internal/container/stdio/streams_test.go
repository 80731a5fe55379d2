package stdio

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/linux/spawn"
	"golang.org/x/sys/unix"
)

// TestStreamsInput: nothing is read of the input before Start, so whoever does not
// get to it leaves it whole to the next; then all of it comes.
func TestStreamsInput(t *testing.T) {
	in := strings.NewReader("typed")
	s := &Streams{In: in}
	f, err := s.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil || in.Len() != 5 {
		t.Fatalf("%v, %d bytes left", err, in.Len())
	}
	if f, err = s.Open(); err != nil {
		t.Fatal(err)
	}
	f.Start()
	if b, err := io.ReadAll(f.In); err != nil || string(b) != "typed" {
		t.Errorf("%q, %v", b, err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// full takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no room") }

// TestStreamsOutput: Close waits until all has come, and tells what was lost; two
// streams that are one keep their order.
func TestStreamsOutput(t *testing.T) {
	var out bytes.Buffer
	f, err := (&Streams{Out: &out, Err: &out}).Open()
	if err != nil || f.Out != f.Err {
		t.Fatalf("%v, %v and %v", err, f.Out, f.Err)
	}
	_, _ = f.Out.WriteString("one ")
	_, _ = f.Err.WriteString("two")
	if err := f.Close(); err != nil || out.String() != "one two" {
		t.Errorf("%q, %v", &out, err)
	}
	if f, err = (&Streams{Out: full{}, Err: io.Discard}).Open(); err != nil {
		t.Fatal(err)
	}
	_, _ = f.Out.WriteString("one")
	if err := f.Close(); err == nil || err.Error() != "no room" {
		t.Errorf("no error of what was lost: %v", err)
	}
}

// stuck takes what it gets, and never comes back.
type stuck struct{}

func (stuck) Write([]byte) (int, error) { select {} }

// TestStreamsLeave: who leaves does not wait for a stream that takes nothing.
func TestStreamsLeave(t *testing.T) {
	f, err := (&Streams{Out: stuck{}}).Open()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.Out.WriteString("one")
	left := make(chan struct{})
	go func() {
		f.Leave()
		close(left)
	}()
	select {
	case <-left:
	case <-time.After(10 * time.Second):
		t.Fatal("it waits")
	}
}

// TestQueue: what is sent wakes a wait and is read once; a closed queue brings
// nothing, has no descriptor, and wakes whoever waits.
func TestQueue(t *testing.T) {
	q, err := NewQueue()
	if err != nil {
		t.Fatal(err)
	}
	ready := func() bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(q.FD()), Events: unix.POLLIN}}, 0)
		return n == 1 && err == nil
	}
	if ready() {
		t.Error("ready when nothing has come")
	}
	q.Send(Signal{Number: unix.SIGHUP})
	q.Send(Signal{Resize: true, Rows: 1, Cols: 2})
	if !ready() {
		t.Error("not ready when something has come")
	}
	if list := q.Read(); len(list) != 2 || list[0].Number != unix.SIGHUP || list[1].Cols != 2 {
		t.Errorf("read %+v", list)
	}
	if ready() || len(q.Read()) != 0 {
		t.Error("read twice")
	}
	p := spawn.Process{Pidfd: -1}
	cmd := exec.Command("cat")
	cmd.SysProcAttr = &syscall.SysProcAttr{PidFD: &p.Pidfd}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if p.Pid = cmd.Process.Pid; p.Pidfd < 0 {
		t.Skip("no pidfd here")
	}
	done := make(chan error, 1)
	go func() {
		_, err := Wait(q, p, nil)
		done <- err
	}()
	q.Close()
	q.Send(Signal{Number: unix.SIGHUP})
	if q.FD() != -1 || q.Read() != nil {
		t.Error("a closed queue brings something")
	}
	_ = in.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	p.Release()
	q.Close()
}
