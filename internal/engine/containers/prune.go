package containers

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// PruneOptions choose what a prune removes.
type PruneOptions struct {
	Until time.Time // only what was made before; zero is all
	api.Filters
}

// wants checks the labels that must be there and those that must not.
func (o *PruneOptions) wants(created time.Time, labels map[string]string) bool {
	if !o.Until.IsZero() && !created.Before(o.Until) || !o.Labels("label", labels) {
		return false
	}
	for _, unwanted := range o.Filters["label!"] {
		if (api.Filters{"label": {unwanted}}).Labels("label", labels) {
			return false
		}
	}
	return true
}

// Pruned is what a prune has removed.
type Pruned struct {
	IDs   []string
	Bytes int64 // that the removed files had
}

// Prune removes the containers that do not run. One that cannot be removed
// does not keep the others.
func (e *Room) Prune(ctx context.Context, o PruneOptions) (Pruned, error) {
	var out Pruned
	if err := o.Only("label", "label!"); err != nil {
		return out, err
	}
	list, err := e.List(ctx, api.ListOptions{All: true, Brief: true})
	if err != nil {
		return out, err
	}
	var errs []error
	for i := range list {
		c := &list[i]
		if c.Status != api.StatusCreated && c.Status != api.StatusExited || !o.wants(c.Created, c.Labels) {
			continue
		}
		size, err := e.Snapshots.Usage(c.ID)
		if err == nil {
			_, err = e.Remove(ctx, c.ID, false, false)
		}
		switch {
		case fault.KindOf(err) == fault.Conflict || fault.KindOf(err) == fault.NotFound:
			// It has been started, or removed, meanwhile.
		case err != nil:
			errs = append(errs, fault.New(fault.KindOf(err), "%s: %w", strings.TrimPrefix(c.Name, "/"), err))
		default:
			out.IDs, out.Bytes = append(out.IDs, c.ID), out.Bytes+size
		}
	}
	return out, errors.Join(errs...)
}
