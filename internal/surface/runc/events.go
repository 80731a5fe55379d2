package runc

import (
	"time"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
	"github.com/tare-engine/tare/internal/linux/cgroupfs"
	"golang.org/x/sys/unix"
)

// event is one line of `events`, as runc prints it.
type event struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Data any    `json:"data,omitempty"`
}

var eventsRows = []flags.Flag{
	{
		Name: "interval", Value: "duration", Usage: "time between two statistics", Default: "5s",
		Set: func(o any, v string) error { return flags.Set(&o.(*eventsOptions).interval, v, flags.ParseDuration) },
	},
	{Name: "stats", Usage: "print one statistic and quit", Set: func(o any, v string) error { return flags.Bool(&o.(*eventsOptions).once, v) }},
}

type eventsOptions struct {
	interval time.Duration
	once     bool
}

func (o *eventsOptions) run(a *App, args []string) error {
	if o.interval <= 0 {
		return fault.New(fault.Invalid, "--interval: duration %v is not above zero", o.interval)
	}
	c, err := a.open(args[0])
	if err != nil {
		return err
	}
	p, _, err := c.process()
	if err != nil {
		return err
	}
	if p.Pidfd < 0 {
		return fault.New(fault.Conflict, "events of %s: %w", c.rec.ID, errStopped)
	}
	defer p.Release()
	g, err := a.group(&c.rec)
	if err != nil {
		return err
	}
	defer g.Close()
	if o.once {
		return a.printStats(c.rec.ID, g)
	}
	return a.follow(c.rec.ID, p.Pidfd, g, o.interval)
}

func (a *App) printStats(id string, g *cgroupfs.Group) error {
	s, err := g.Stats()
	if err != nil {
		return err
	}
	return a.printJSON(event{"stats", id, statsOf(&s)}, "")
}

// follow prints statistics and OOM kills until the container has ended.
func (a *App) follow(id string, pidfd int, g *cgroupfs.Group, interval time.Duration) error {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}, {Fd: -1, Events: unix.POLLIN}}
	oom, err := g.WatchOOM()
	if err == nil {
		defer oom.Close()
		fds[1].Fd = int32(oom.FD)
	} else {
		a.log.warn(err.Error())
	}
	next := time.Now().Add(interval)
	for {
		n, err := unix.Poll(fds, int(max(0, time.Until(next).Milliseconds()+1)))
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return err
		case fds[1].Revents != 0:
			kills, err := oom.Read()
			if err != nil {
				fds[1].Fd = -1 // the group is being removed
			}
			if kills > 0 {
				if err := a.printJSON(event{Type: "oom", ID: id}, ""); err != nil {
					return err
				}
			}
		}
		if fds[0].Revents != 0 {
			return nil
		}
		if n == 0 && !time.Now().Before(next) {
			if err := a.printStats(id, g); err != nil && fault.KindOf(err) != fault.NotFound {
				return err
			}
			next = next.Add(interval)
		}
	}
}
