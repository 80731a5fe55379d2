package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/logs"
	"github.com/tare-engine/tare/state"
)

// Boot starts, after the machine has come up, what its restart policies want
// to run, each after what it requires. It returns the IDs of what it started.
// In a boot in which it has been called already it finds nothing to do.
func (cs *Containers) Boot(ctx context.Context) ([]string, error) {
	e := cs.e
	ids, err := e.state.IDs()
	if err != nil {
		return nil, err
	}
	var list []bootItem
	errs := []error{e.sweepReboot()}
	for _, id := range ids {
		r, err := e.state.Get(id)
		if fault.KindOf(err) == fault.NotFound {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		c, err := decodeConfig(r)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		it := bootItem{id: r.ID, name: r.Name, requires: c.Requires}
		it.wanted = r.Proc.Boot != state.BootID() && c.HostConfig.RestartPolicy.atBoot(r)
		list = append(list, it)
	}
	order, err := bootOrder(list)
	errs = append(errs, err)
	var started []string
	for _, it := range order {
		if _, err := cs.Start(ctx, it.id, &LaunchOptions{}); err != nil {
			errs = append(errs, fault.New(fault.KindOf(err), "start %s: %w", it.name, err))
			continue
		}
		started = append(started, it.id)
	}
	return started, errors.Join(errs...)
}

// sweepReboot removes what a reboot has left of --rm containers: their records
// went with the run root.
func (e *Engine) sweepReboot() error {
	e.state.FreeStale()
	inUse := func(id string) bool {
		if e.state.Underway(id) {
			return true // in this order: what has begun is a record by its end
		}
		_, err := e.state.Get(id)
		return fault.KindOf(err) != fault.NotFound
	}
	errs := []error{e.snapshots.Recover(inUse)}
	entries, err := os.ReadDir(filepath.Dir(e.logDir("x")))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err)
	}
	for _, en := range entries {
		if !inUse(en.Name()) {
			errs = append(errs, logs.Remove(e.logDir(en.Name())))
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
	slices.SortStableFunc(list, func(a, b bootItem) int {
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
