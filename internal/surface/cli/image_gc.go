package cli

import (
	"time"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/lib/flags"
)

// The commands that look after the image store. Their actions are in tared,
// which reads images.toml and knows zstd.

func imageGCCommand() Command {
	return Command{
		Name: "image gc", Short: "Remove images by policy",
		Long: "Without flags the policy of images.toml counts (docs/images.md). An image that a container uses stays, " +
			"whatever the policy says. With --dry-run nothing is removed.",
		Example: "tare image gc --dry-run --unused 30d\ntare image gc --max-size 20GB --keep 'debian:*'",
		Flags:   imageGCFlags, Complete: CompleteNothing, Cold: true,
		Options: func() any { return &GCOptions{} },
	}
}

// GCOptions are the flags of image gc: what they change in the policy, which
// is known once the engine is open.
type GCOptions struct {
	Set        []func(*api.GCPolicy)
	Dry, Quiet bool
}

func (g *GCOptions) age(v string, of func(*api.GCPolicy) *time.Duration) error {
	d, err := api.ParseAge(v)
	g.Set = append(g.Set, func(p *api.GCPolicy) { *of(p) = d })
	return err
}

func (g *GCOptions) size(v string, of func(*api.GCPolicy) *int64) error {
	n, err := api.ParseStoreSize(v)
	g.Set = append(g.Set, func(p *api.GCPolicy) { *of(p) = n })
	return err
}

var imageGCFlags = []flags.Flag{
	{
		Name: "age", Value: "duration", Usage: "Images that have been here for so long (30d, 12h)",
		Set: func(a any, v string) error {
			return a.(*GCOptions).age(v, func(p *api.GCPolicy) *time.Duration { return &p.Age })
		},
	},
	{
		Name: "dangling", Value: "duration", Usage: "Images without a name that were not used for so long",
		Set: func(a any, v string) error {
			return a.(*GCOptions).age(v, func(p *api.GCPolicy) *time.Duration { return &p.Dangling })
		},
	},
	{Name: "dry-run", Usage: "Only show what would be removed", Set: func(a any, v string) error { return flags.Bool(&a.(*GCOptions).Dry, v) }},
	{
		Name: "keep", Value: "list", Usage: "Name, or pattern of names, that stays",
		Set: func(a any, v string) error {
			g := a.(*GCOptions)
			g.Set = append(g.Set, func(p *api.GCPolicy) { p.Keep = append(p.Keep, v) })
			return nil
		},
	},
	{
		Name: "low-size", Value: "bytes", Usage: "Where --max-size stops to remove", Default: "80 % of it",
		Set: func(a any, v string) error {
			return a.(*GCOptions).size(v, func(p *api.GCPolicy) *int64 { return &p.LowBytes })
		},
	},
	{
		Name: "max-size", Value: "bytes", Usage: "Above this size of the store the images not used for longest (20GB)",
		Set: func(a any, v string) error {
			return a.(*GCOptions).size(v, func(p *api.GCPolicy) *int64 { return &p.MaxBytes })
		},
	},
	{Name: "quiet", Short: 'q', Usage: "Show IDs only", Set: func(a any, v string) error { return flags.Bool(&a.(*GCOptions).Quiet, v) }},
	{
		Name: "unused", Value: "duration", Usage: "Images that were not used for so long",
		Set: func(a any, v string) error {
			return a.(*GCOptions).age(v, func(p *api.GCPolicy) *time.Duration { return &p.Unused })
		},
	},
}

func systemCheckCommand() Command {
	return Command{
		Name: "system check", Short: "Verify the image store",
		Long: "Every blob is hashed, and every unpacked layer compared with its blob, file by file. The exit code is 1 when there is damage that is " +
			"left. With --repair damaged layers are unpacked again, and images that cannot be helped are removed, so that they can be pulled again.",
		Example: "tare system check\ntare system check --repair",
		Flags:   systemCheckFlags, Complete: CompleteNothing, Cold: true,
		Options: func() any { return &CheckOptions{} },
	}
}

// CheckOptions are the flags of system check.
type CheckOptions struct{ Repair, Quiet bool }

var systemCheckFlags = []flags.Flag{
	{Name: "quiet", Short: 'q', Usage: "Print problems only", Set: func(a any, v string) error { return flags.Bool(&a.(*CheckOptions).Quiet, v) }},
	{Name: "repair", Usage: "Repair what can be repaired", Set: func(a any, v string) error { return flags.Bool(&a.(*CheckOptions).Repair, v) }},
}
