package containers

import (
	"bytes"
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/state"
)

// List lists containers, newest first. What it says of a process is the truth
// at the moment of the call, whoever started it.
func (e *Room) List(ctx context.Context, o api.ListOptions) ([]api.ContainerSummary, error) {
	f, err := e.listFilter(&o)
	if err != nil {
		return nil, err
	}
	entries, err := e.entries()
	if err != nil {
		return nil, err
	}
	if err := f.order(entries); err != nil {
		return nil, err
	}
	var list []api.ContainerSummary
	for i := range entries {
		if err := ctx.Err(); err != nil {
			return nil, err // sizes walk layers
		}
		en := &entries[i]
		if ok, err := f.keep(en); err != nil {
			return nil, err
		} else if !ok {
			continue
		}
		s, err := en.complete(&o)
		if err != nil {
			return nil, err
		}
		if list = append(list, s); len(list) == o.Limit {
			break
		}
	}
	return list, nil
}

// entry is a container in a list: its configuration is decoded, and its image
// looked up, when something asks for them.
type entry struct {
	e       *Room
	images  map[string]*store.Image // of the whole list, by ID
	record  *state.Record           // nil when it is damaged, or of a newer tare
	config  *api.ContainerConfig
	summary api.ContainerSummary
	place   int // in the list of all
}

func (e *Room) entries() ([]entry, error) {
	ids, err := e.State.IDs()
	if err != nil {
		return nil, err
	}
	images := make(map[string]*store.Image)
	list := make([]entry, 0, len(ids))
	for _, id := range ids {
		r, st, err := e.seen(id)
		switch {
		case fault.KindOf(err) == fault.NotFound:
			// being made, or just removed
		case err != nil:
			// It can be seen, and removed by force.
			s := api.ContainerSummary{ID: id, Name: e.State.NameOf(id), Status: api.StatusDead}
			list = append(list, entry{e: e, images: images, summary: s})
		default:
			list = append(list, entry{e: e, images: images, record: r, summary: summary(r, st)})
		}
	}
	slices.SortFunc(list, func(a, b entry) int {
		if c := b.summary.Created.Compare(a.summary.Created); c != 0 {
			return c
		}
		return strings.Compare(a.summary.ID, b.summary.ID)
	})
	return list, nil
}

var noConfig api.ContainerConfig

func (en *entry) cfg() (*api.ContainerConfig, error) {
	if en.record == nil {
		return &noConfig, nil
	}
	if en.config == nil {
		en.config = new(api.ContainerConfig)
		if err := api.ReadContainerConfig(en.record.Config, en.config); err != nil {
			return nil, fault.New(fault.Internal, "container %s: damaged configuration: %w", en.summary.ID, err)
		}
	}
	return en.config, nil
}

// image returns the container's image, or nil.
func (en *entry) image() *store.Image {
	id := en.summary.ImageID
	if id == "" {
		return nil
	}
	m, known := en.images[id]
	if !known {
		if img, err := en.e.ImageStore.Resolve(id, store.Platform{}); err == nil {
			m = &img
		} // else it was removed by force
		en.images[id] = m
	}
	return m
}

func (en *entry) ports() ([]api.Port, error) {
	if s := en.summary.Status; s != api.StatusRunning && s != api.StatusPaused {
		return nil, nil
	}
	var exposed []string
	if m := en.image(); m != nil {
		exposed = m.Config.ExposedPorts
	}
	// Most have none, and decoding a configuration takes 50 µs.
	if raw := en.record.Config; len(exposed) == 0 && en.config == nil &&
		!bytes.Contains(raw, []byte(`"ExposedPorts":{"`)) && !bytes.Contains(raw, []byte(`"PortBindings":{"`)) {
		return nil, nil
	}
	c, err := en.cfg()
	if err != nil {
		return nil, err
	}
	return ports(c, exposed), nil
}

// complete fills in what the record does not say at a glance.
func (en *entry) complete(o *api.ListOptions) (api.ContainerSummary, error) {
	s := &en.summary
	var err error
	if s.Ports, err = en.ports(); err != nil {
		return *s, err
	}
	if !o.Brief {
		c, err := en.cfg()
		if err != nil {
			return *s, err
		}
		s.Mounts, s.Networks = mountPoints(c), networks(c)
	}
	if o.Size && en.record != nil {
		if s.SizeRw, err = en.e.Snapshots.Usage(s.ID); err != nil {
			return *s, err
		}
		s.SizeRootFs = s.SizeRw
		if m := en.image(); m != nil {
			s.SizeRootFs += m.Size
		}
	}
	return *s, nil
}

// networks are the names of the networks of a container.
func networks(c *api.ContainerConfig) []string {
	var list []string
	for name := range c.NetworkingConfig.EndpointsConfig {
		list = append(list, name)
	}
	slices.Sort(list)
	switch mode := c.HostConfig.NetworkMode; {
	case mode == "":
		mode = "none"
		fallthrough
	case mode == "none", mode == "host":
		if len(list) == 0 {
			list = append(list, mode)
		}
	case strings.Contains(mode, ":"): // another's, or a path
	case !slices.Contains(list, mode):
		list = append(list, mode)
	}
	return list
}

// listFilter is what a list was asked for, checked.
type listFilter struct {
	o         *api.ListOptions
	names     []func(string) bool
	ids       []func(string) bool
	exited    []int
	publish   []portRange
	expose    []portRange
	ancestors []*store.Image
	// Only the entries in [from, to) are looked at.
	from, to int
}

// statuses are the values of the filter.
var statuses = []string{"created", "running", "paused", "restarting", "removing", "exited", "dead"}

func (e *Room) listFilter(o *api.ListOptions) (*listFilter, error) {
	if err := o.Only("ancestor", "before", "exited", "expose", "health", "id", "is-task", "isolation",
		"label", "name", "network", "publish", "since", "status", "volume"); err != nil {
		return nil, err
	}
	f := &listFilter{o: o}
	for _, check := range [...]struct {
		name  string
		words []string
	}{{"status", statuses}, {"health", []string{"starting", "healthy", "unhealthy", "none"}}} {
		for _, v := range o.Filters[check.name] {
			if !slices.Contains(check.words, v) {
				return nil, fault.New(fault.Invalid, "invalid filter '%s=%s'", check.name, v)
			}
		}
	}
	if _, err := o.Bool("is-task", false); err != nil {
		return nil, err
	}
	var err error
	if f.names, err = matchers(o, "name"); err != nil {
		return nil, err
	}
	if f.ids, err = matchers(o, "id"); err != nil {
		return nil, err
	}
	for _, v := range o.Filters["exited"] {
		code, err := strconv.Atoi(v)
		if err != nil {
			return nil, fault.New(fault.Invalid, "invalid filter 'exited=%s'", v)
		}
		f.exited = append(f.exited, code)
	}
	if f.publish, err = portRanges(o.Filters["publish"]); err != nil {
		return nil, err
	}
	if f.expose, err = portRanges(o.Filters["expose"]); err != nil {
		return nil, err
	}
	for _, v := range o.Filters["ancestor"] {
		// One that is not there is no container's.
		if m, err := e.ImageStore.Resolve(v, store.Platform{}); err == nil {
			f.ancestors = append(f.ancestors, &m)
		}
	}
	return f, nil
}

// order finds the places of the containers that before and since name.
func (f *listFilter) order(list []entry) error {
	f.to = len(list)
	place := func(ref string) (int, error) {
		if len(list) == 0 {
			return 0, fault.New(fault.NotFound, "no such container: %s", ref)
		}
		id, err := list[0].e.State.Find(ref)
		if err != nil {
			return 0, err
		}
		return slices.IndexFunc(list, func(en entry) bool { return en.summary.ID == id }), nil
	}
	for _, ref := range f.o.Filters["before"] {
		i, err := place(ref)
		if err != nil {
			return err
		}
		f.from = max(f.from, i+1)
	}
	for _, ref := range f.o.Filters["since"] {
		i, err := place(ref)
		if err != nil {
			return err
		}
		if i >= 0 {
			f.to = min(f.to, i)
		}
	}
	for i := range list {
		list[i].place = i
	}
	return nil
}

func (f *listFilter) keep(en *entry) (bool, error) {
	o, s := f.o, &en.summary
	runs := s.Status == api.StatusRunning || s.Status == api.StatusPaused || s.Status == api.StatusRestarting
	task, _ := o.Bool("is-task", false) // checked before
	switch {
	case en.place < f.from || en.place >= f.to,
		!runs && !o.All && o.Limit <= 0 && !o.Has("status"),
		task, // there are no services
		!matchAny(f.names, s.Name) && !matchAny(f.names, "/"+s.Name),
		!matchAny(f.ids, s.ID),
		!o.Labels("label", s.Labels),
		!o.Exact("status", string(s.Status)),
		!o.Exact("health", s.HealthOrNone()),
		!o.Exact("isolation", "default") && o.Has("isolation"),
		len(f.exited) > 0 && (runs || s.Started.IsZero() || !slices.Contains(f.exited, s.ExitCode)),
		o.Has("ancestor") && !f.descends(en):
		return false, nil
	}
	if o.Has("volume") || o.Has("network") {
		c, err := en.cfg()
		if err != nil {
			return false, err
		}
		if o.Has("volume") && !slices.ContainsFunc(mountPoints(c), func(m api.MountPoint) bool {
			return o.Exact("volume", m.Destination) || m.Name != "" && o.Exact("volume", m.Name) || m.Name == "" && o.Exact("volume", m.Source)
		}) {
			return false, nil
		}
		if o.Has("network") && !slices.ContainsFunc(networks(c), func(n string) bool { return o.Exact("network", n) }) {
			return false, nil
		}
	}
	if len(f.publish) > 0 || len(f.expose) > 0 {
		list, err := en.ports()
		if err != nil {
			return false, err
		}
		public := func(p api.Port) bool { return p.PublicPort != 0 && inRanges(f.publish, p.PublicPort, p.Type) }
		private := func(p api.Port) bool { return inRanges(f.expose, p.PrivatePort, p.Type) }
		if len(f.publish) > 0 && !slices.ContainsFunc(list, public) || len(f.expose) > 0 && !slices.ContainsFunc(list, private) {
			return false, nil
		}
	}
	return true, nil
}

// descends reports whether the container's image is one of the ancestors, or
// stands on the layers of one.
func (f *listFilter) descends(en *entry) bool {
	for _, a := range f.ancestors {
		if a.ID == en.summary.ImageID {
			return true
		}
		if m := en.image(); m != nil && len(a.Layers) > 0 && len(m.Layers) > len(a.Layers) && slices.Equal(a.Layers, m.Layers[:len(a.Layers)]) {
			return true
		}
	}
	return false
}

func matchAny(list []func(string) bool, s string) bool {
	return list == nil || slices.ContainsFunc(list, func(f func(string) bool) bool { return f(s) })
}

// matchers compiles the values of a filter, which are regular expressions that
// are mostly just texts.
func matchers(o *api.ListOptions, name string) ([]func(string) bool, error) {
	var list []func(string) bool
	for _, p := range o.Filters[name] {
		m, ok := textMatcher(p)
		if !ok {
			if o.Regexp == nil {
				return nil, fault.New(fault.Unsupported, "filter '%s=%s': no regular expressions here", name, p)
			}
			var err error
			if m, err = o.Regexp(p); err != nil {
				return nil, err
			}
		}
		list = append(list, m)
	}
	return list, nil
}

// textMatcher compiles a regular expression that is a text, with ^ or $ or
// without.
func textMatcher(p string) (func(string) bool, bool) {
	text, begin := strings.CutPrefix(p, "^")
	text, end := strings.CutSuffix(text, "$")
	if strings.ContainsAny(text, `\.+*?()|[]{}^$`) {
		return nil, false
	}
	return func(s string) bool {
		switch {
		case begin && end:
			return s == text
		case begin:
			return strings.HasPrefix(s, text)
		case end:
			return strings.HasSuffix(s, text)
		}
		return strings.Contains(s, text)
	}, true
}
