package containers

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/tare-engine/tare/internal/engine/ground"
	"github.com/tare-engine/tare/internal/keeper/logs"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/state"
)

// Boot starts, after the machine has come up, what its restart policies want
// to run, each after what it requires. It returns the IDs of what it started.
// In a boot in which it has been called already it finds nothing to do.
func (e *Room) Boot(ctx context.Context) ([]string, error) {
	ids, err := e.State.IDs()
	if err != nil {
		return nil, err
	}
	boot, err := state.BootID()
	if err != nil {
		return nil, err
	}
	var list []bootItem
	errs := []error{e.sweepReboot(), e.Sandboxes.Recover(ctx)}
	for _, id := range ids {
		r, err := e.State.Get(id)
		if fault.KindOf(err) == fault.NotFound {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		c, err := ground.Config(r)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		it := bootItem{id: r.ID, name: r.Name, requires: c.Requires}
		if r.Resolved != nil {
			it.requires = r.Resolved.Requires
		}
		it.wanted = r.Proc.Boot != boot && startsAtBoot(c.HostConfig.RestartPolicy, r)
		list = append(list, it)
	}
	order, err := bootOrder(list)
	errs = append(errs, err)
	var started []string
	for _, it := range order {
		if _, err := e.Begin(ctx, &Request{Ref: it.id, Warn: e.Warn}); err != nil {
			errs = append(errs, fault.New(fault.KindOf(err), "start %s: %w", it.name, err))
			continue
		}
		started = append(started, it.id)
	}
	return started, errors.Join(errs...)
}

// sweepReboot removes what a reboot has left of --rm containers: their records
// went with the run root.
func (e *Room) sweepReboot() error {
	e.State.FreeStale()
	inUse := func(id string) bool {
		if e.State.Underway(id) {
			return true // in this order: what has begun is a record by its end
		}
		_, err := e.State.Get(id)
		return fault.KindOf(err) != fault.NotFound
	}
	errs := []error{e.Snapshots.Recover(inUse)}
	entries, err := os.ReadDir(filepath.Dir(e.LogDir("x")))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err)
	}
	for _, en := range entries {
		if !inUse(en.Name()) {
			errs = append(errs, logs.Remove(e.LogDir(en.Name())))
		}
	}
	return errors.Join(errs...)
}

// bootItem is what the order of a boot depends on.
type bootItem struct {
	id, name string
	requires []string // names or IDs
	wanted   bool
}

// bootOrder returns the wanted items, each behind those that it requires. A
// circle is an error that names one of its members; the others are in order.
func bootOrder(list []bootItem) ([]bootItem, error) {
	slices.SortFunc(list, func(a, b bootItem) int {
		switch {
		case a.id < b.id:
			return -1
		case a.id > b.id:
			return 1
		}
		return 0
	})
	const (
		open = iota
		under
		done
	)
	marks := make([]int, len(list))
	var order []bootItem
	var errs []error
	var visit func(i int) bool
	visit = func(i int) bool {
		switch marks[i] {
		case done:
			return true
		case under:
			return false
		}
		marks[i] = under
		for _, ref := range list[i].requires {
			j := slices.IndexFunc(list, func(b bootItem) bool { return b.name == ref || b.id == ref })
			if j >= 0 && !visit(j) {
				errs = append(errs, fault.New(fault.Invalid, "%s and %s require each other", list[i].name, list[j].name))
			}
		}
		marks[i] = done
		if list[i].wanted {
			order = append(order, list[i])
		}
		return true
	}
	for i := range list {
		visit(i)
	}
	return order, errors.Join(errs...)
}
