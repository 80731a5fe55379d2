// Package carriers wires what moves images from and to other places: what
// speaks HTTP, and the compressions that tare does without.
package carriers

import (
	"io"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/images"
	"github.com/tare-engine/tare/internal/image/archive"
	"github.com/tare-engine/tare/internal/image/conf"
	"github.com/tare-engine/tare/internal/image/registry"
	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/storage/layer/deflate"
	"github.com/tare-engine/tare/internal/storage/layer/unzstd"
	"github.com/tare-engine/tare/internal/surface/cli"
)

// Of are the ways in which images come and go.
func Of(app *cli.App) images.Carriers {
	return images.Carriers{
		Of: map[api.PlaceKind]images.Carrier{
			api.InRegistry:  registry.Carrier{Client: func() (*registry.Client, error) { return Client(app) }, Policy: registry.LoadPolicy},
			api.InArchive:   archive.Carrier{},
			api.InDirectory: archive.Carrier{},
		},
		Prepare: func(s *store.Store) error {
			c, err := conf.Load()
			s.Zstd, s.Gzip, s.Limits = unzstd.New, deflate.New, c.Limits
			return err
		},
		Policy: func() (api.GCPolicy, bool, error) {
			c, err := conf.Load()
			return c.GC, c.AfterPull, err
		},
		Accounts: registry.Accounts{Client: func() (*registry.Client, error) { return Client(app) }},
	}
}

// Client is a client of registries as it is configured.
func Client(app *cli.App) (*registry.Client, error) {
	c, err := registry.LoadConfig()
	if err != nil {
		return nil, err
	}
	r := &registry.Client{Config: c, Agent: "tare/" + cli.Version}
	if app.Options().Debug {
		r.Trace = func(method, url string) { _, _ = io.WriteString(app.Stderr, "tare: "+method+" "+url+"\n") }
	}
	return r, nil
}
