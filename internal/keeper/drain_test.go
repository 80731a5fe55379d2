package keeper

import (
	"os"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/keeper/logs"
	"github.com/tare-engine/tare/internal/keeper/wire"
)

// TestDrainLimit: a process that outlives its container and never stops writing keeps
// nobody from learning of the end.
func TestDrainLimit(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	k := &keeper{}
	k.ContainerPart = &k.part
	k.Pty = -1
	k.Log.Driver = logs.None
	k.outputs = [2]output{{int(r.Fd()), wire.Output, logs.Stdout, wire.WantOutput}, {fd: -1}}
	stop := make(chan struct{})
	defer close(stop)
	begun := make(chan struct{})
	go func() {
		b := make([]byte, 64<<10)
		_, _ = w.Write(b[:100])
		close(begun)
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = w.Write(b) // until the reader is closed
			}
		}
	}()
	<-begun
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.drain(time.Now())
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("it reads for ever")
	}
	if k.outputs[0].fd != -1 {
		t.Error("the stream is not given up")
	}
}
