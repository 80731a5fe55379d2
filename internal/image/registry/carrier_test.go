package registry

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/lib/testkit"
	"github.com/tare-engine/tare/internal/storage/layer/deflate"
	"github.com/tare-engine/tare/internal/storage/layer/unzstd"
)

// canceller cancels a transfer at its nth word.
type canceller struct {
	at     int64
	said   atomic.Int64
	cancel context.CancelFunc
	done   bool
}

func (c *canceller) word() {
	if c.said.Add(1) == c.at {
		c.cancel()
	}
}

func (c *canceller) Image(string)                        { c.word() }
func (c *canceller) Note(string)                         { c.word() }
func (c *canceller) Layer(string, int64, api.LayerState) { c.word() }
func (c *canceller) Moved(string, int)                   { c.word() }
func (c *canceller) Done(*api.Transferred)               { c.done = true }

// TestPullCancelled cancels a pull at fifty places. Nothing of it is visible or
// left, but for what the next pull goes on with; and that one is whole.
func TestPullCancelled(t *testing.T) {
	f := newFake(t)
	m := makeImage(t, ociManifest, store.HostPlatform(), 300<<10, 2<<20, 1<<10, 1<<20)
	f.image(t, "team/app", "v1", m)
	open := func() (*store.Store, string) {
		testkit.Root(t, "kills pulls") // layers have owners
		root := t.TempDir() + "/root"
		s := store.Open(root)
		s.Zstd, s.Gzip = unzstd.New, deflate.New
		return s, root
	}
	bring := func(s *store.Store, at int64) (*canceller, error) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r := &canceller{at: at, cancel: cancel}
		c := Carrier{Client: func() (*Client, error) { return newClient(), nil }, Policy: func() (Policy, error) { return Policy{}, nil }}
		return r, c.Bring(ctx, s, &api.Place{Kind: api.InRegistry, Refs: []string{f.Host + "/team/app:v1"}}, r)
	}
	first, _ := open()
	whole, err := bring(first, -1)
	if err != nil || !whole.done {
		t.Fatal(err)
	}
	words := whole.said.Load()
	cancelled := 0
	for i := range int64(50) {
		s, root := open()
		r, err := bring(s, 1+words*i/50)
		switch {
		case err == nil: // it was faster than the word
			continue
		case !errors.Is(err, context.Canceled):
			t.Fatalf("at word %d of %d: %v", 1+words*i/50, words, err)
		case r.done:
			t.Fatalf("at word %d of %d: told as done", 1+words*i/50, words)
		}
		cancelled++
		for _, dir := range []string{"images", "names", "layers", "blobs/sha256", "staging"} {
			entries, err := os.ReadDir(root + "/" + dir)
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			for _, e := range entries {
				t.Errorf("at word %d of %d: left %s/%s", 1+words*i/50, words, dir, e.Name())
			}
		}
		if i%10 == 0 {
			if _, err := bring(s, -1); err != nil {
				t.Errorf("after a pull that was cancelled: %v", err)
			}
		}
		if t.Failed() {
			return
		}
	}
	if cancelled < 40 {
		t.Errorf("only %d of 50 pulls were cancelled", cancelled)
	}
}
