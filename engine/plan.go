package engine

import (
	"context"
	"fmt"
	"io"

	tareruntime "github.com/tare-engine/tare/runtime"
)

// Plan writes what a run would do, every system call with its operands, and
// does nothing.
func (cs *Containers) Plan(ctx context.Context, c *ContainerConfig, w io.Writer) error {
	id, err := newID()
	if err != nil {
		return err
	}
	d, err := cs.e.draft(ctx, id, c)
	if err != nil {
		return err
	}
	for _, text := range d.composed.Warnings {
		if _, err := fmt.Fprintln(w, "# warning:", text); err != nil {
			return err
		}
	}
	d.runtime.Compiled = nil // what is compiled for a plan is not kept
	p, err := tareruntime.Compile(d.runtime)
	if err != nil {
		return err
	}
	return p.Format(w)
}
