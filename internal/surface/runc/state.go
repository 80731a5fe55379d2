package runc

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
)

// stateOutput is what `state` and `list --format json` print, as runc does.
type stateOutput struct {
	Version     string               `json:"ociVersion"`
	ID          string               `json:"id"`
	Pid         int                  `json:"pid"`
	Status      specs.ContainerState `json:"status"`
	Bundle      string               `json:"bundle"`
	Rootfs      string               `json:"rootfs"`
	Created     time.Time            `json:"created"`
	Annotations map[string]string    `json:"annotations,omitempty"`
	Owner       string               `json:"owner"`
}

func (a *App) output(c *entry) *stateOutput {
	s := &stateOutput{
		Version: c.rec.OCIVersion, ID: c.rec.ID, Pid: c.rec.Pid, Status: a.status(c), Bundle: c.rec.Bundle, Rootfs: c.rec.Rootfs,
		Created: c.rec.Created, Annotations: c.rec.Annotations,
		Owner: ownerName(c.rec.Owner),
	}
	if s.Status == specs.StateStopped {
		s.Pid = 0
	}
	return s
}

type stateOptions struct{}

func (stateOptions) run(a *App, args []string) error {
	c, err := a.open(args[0])
	if err != nil {
		return err
	}
	return a.printJSON(a.output(c), "  ")
}

// printJSON prints v as one JSON value.
func (a *App) printJSON(v any, indent string) error {
	b, err := json.MarshalIndent(v, "", indent)
	if indent == "" && err == nil {
		b, err = json.Marshal(v)
	}
	if err == nil {
		_, err = a.Stdout.Write(append(b, '\n'))
	}
	return err
}

var listRows = []flags.Flag{
	{
		Name: "format", Short: 'f', Value: "format", Usage: "table or json", Default: "table",
		Set: func(o any, v string) error { return flags.String(&o.(*listOptions).format, v) },
	},
	{Name: "quiet", Short: 'q', Usage: "print the ids only", Set: func(o any, v string) error { return flags.Bool(&o.(*listOptions).quiet, v) }},
}

type listOptions struct {
	format string
	quiet  bool
}

func (o *listOptions) run(a *App, _ []string) error {
	if o.format != "table" && o.format != "json" {
		return fault.New(fault.Invalid, "invalid value %q for --format: not table or json", o.format)
	}
	ids, err := a.list()
	if err != nil {
		return err
	}
	list := make([]*stateOutput, 0, len(ids))
	for _, id := range ids {
		c, err := a.open(id)
		if fault.KindOf(err) == fault.NotFound {
			continue // it has just been deleted
		}
		if err != nil {
			a.log.warn(err.Error()) // one damaged record hides no other
			continue
		}
		s := a.output(c)
		list = append(list, s)
	}
	switch {
	case o.quiet:
		var b strings.Builder
		for _, s := range list {
			b.WriteString(s.ID + "\n")
		}
		_, err = a.Stdout.WriteString(b.String())
		return err
	case o.format == "json":
		return a.printJSON(list, "")
	}
	w := tabwriter.NewWriter(a.Stdout, 12, 1, 3, ' ', 0)
	_, _ = fmt.Fprint(w, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER\n") // Flush reports it
	for _, s := range list {
		_, _ = fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", s.ID, s.Pid, s.Status, s.Bundle, s.Created.Format(time.RFC3339Nano), s.Owner)
	}
	return w.Flush()
}
