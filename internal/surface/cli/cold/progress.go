package cold

import (
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tare-engine/tare/internal/api"

	"golang.org/x/term"

	"github.com/tare-engine/tare/internal/surface/cli"
)

// progress shows what a pull or a push does: on a terminal a bar for each
// layer, elsewhere a line for each change.
type progress struct {
	app   *cli.App
	quiet bool
	bars  *bars // nil where there is no terminal

	mu   sync.Mutex
	last map[string]api.LayerState
}

func newProgress(app *cli.App, quiet bool) *progress {
	p := &progress{app: app, quiet: quiet, last: map[string]api.LayerState{}}
	if !quiet && cli.IsTerminal(app.Stdout) {
		p.bars = newBars(app.Stdout, time.Now)
		p.bars.start(100 * time.Millisecond)
	}
	return p
}

// Note implements registry.Progress.
func (p *progress) Note(text string) {
	switch {
	case p.quiet:
	case p.bars != nil:
		p.bars.note(text)
	default:
		p.app.Print(text + "\n")
	}
}

// Layer implements registry.Progress.
func (p *progress) Layer(digest string, size int64, s api.LayerState) {
	if p.quiet {
		return
	}
	if p.bars != nil {
		p.bars.set(digest, size, s)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if old, seen := p.last[digest]; seen && old == s {
		return // a layer may be in an image twice
	}
	p.last[digest] = s
	if text := plainLine(s); text != "" {
		p.app.Print(shortDigest(digest) + ": " + text + "\n")
	}
}

// plainLine is what is said where there are no bars, or nothing.
func plainLine(s api.LayerState) string {
	switch s {
	case api.Waiting:
		return "Pulling fs layer"
	case api.Extracting:
		return "Download complete"
	case api.Downloading, api.Pushing:
		return ""
	case api.Exists, api.Complete, api.Preparing, api.Mounted, api.Present, api.Pushed:
	}
	return s.String()
}

// Moved implements registry.Progress.
func (p *progress) Moved(digest string, n int) {
	if p.bars != nil {
		p.bars.moved(digest, int64(n))
	}
}

// Close ends the bars; what they say last stays.
func (p *progress) Close() {
	if p.bars != nil {
		p.bars.close()
	}
}

func shortDigest(d string) string {
	_, hex, _ := strings.Cut(d, ":")
	return hex[:min(12, len(hex))]
}

// bars are the lines of layers at the bottom of a terminal, drawn again and
// again.
type bars struct {
	out *os.File
	now func() time.Time

	mu    sync.Mutex
	list  []*bar
	drawn int    // lines on the terminal
	shown string // what they say
	stop  chan struct{}
	done  chan struct{}
}

// bar is the state of one layer.
type bar struct {
	digest    string
	size, got int64
	state     api.LayerState

	seen    int64     // got at the last sample
	sampled time.Time // zero: none yet
	rate    float64   // bytes a second
}

func newBars(out *os.File, now func() time.Time) *bars {
	return &bars{out: out, now: now, stop: make(chan struct{}), done: make(chan struct{})}
}

func (b *bars) start(every time.Duration) {
	go func() {
		defer close(b.done)
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				b.mu.Lock()
				b.draw()
				b.mu.Unlock()
			case <-b.stop:
				return
			}
		}
	}()
}

func (b *bars) close() {
	close(b.stop)
	<-b.done
	b.mu.Lock()
	defer b.mu.Unlock()
	b.draw()
}

// note prints a line above the bars.
func (b *bars) note(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, _ = b.out.WriteString(b.erase() + text + "\n")
	b.drawn = 0
	b.draw()
}

func (b *bars) find(digest string) *bar {
	i := slices.IndexFunc(b.list, func(x *bar) bool { return x.digest == digest })
	if i < 0 {
		return nil
	}
	return b.list[i]
}

func (b *bars) set(digest string, size int64, s api.LayerState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.find(digest)
	if l == nil {
		l = &bar{digest: digest}
		b.list = append(b.list, l)
	}
	if l.state != s && (s == api.Downloading || s == api.Pushing) {
		l.got, l.sampled = 0, time.Time{}
	}
	l.size, l.state = size, s
}

func (b *bars) moved(digest string, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l := b.find(digest); l != nil {
		l.got += n
	}
}

// erase is what takes the cursor to the first of the lines drawn and clears
// from there on.
func (b *bars) erase() string {
	if b.drawn == 0 {
		return ""
	}
	return strings.Repeat("\x1b[A", b.drawn) + "\r\x1b[J"
}

// draw draws the layers; where the terminal is too low, those that are done
// are left out first.
func (b *bars) draw() {
	width, height, err := term.GetSize(int(b.out.Fd()))
	if err != nil || width <= 0 {
		width, height = 80, 24
	}
	now := b.now()
	show := b.list
	if most := max(height-2, 1); len(show) > most {
		show = slices.DeleteFunc(slices.Clone(show), func(l *bar) bool { return finished(l.state) })
		show = show[:min(len(show), most)]
	}
	var text strings.Builder
	for _, l := range show {
		l.sample(now)
		text.WriteString(l.line(width) + "\n")
	}
	if b.drawn > 0 && text.String() == b.shown {
		return
	}
	_, _ = b.out.WriteString(b.erase() + text.String())
	b.drawn, b.shown = len(show), text.String()
}

func finished(s api.LayerState) bool {
	switch s {
	case api.Exists, api.Complete, api.Mounted, api.Present, api.Pushed:
		return true
	case api.Waiting, api.Downloading, api.Extracting, api.Preparing, api.Pushing:
	}
	return false
}

// sample measures how fast a layer moves, smoothed over about two seconds.
func (l *bar) sample(now time.Time) {
	if l.sampled.IsZero() {
		l.seen, l.sampled, l.rate = l.got, now, 0
		return
	}
	dt := now.Sub(l.sampled).Seconds()
	if dt <= 0 {
		return
	}
	inst := float64(l.got-l.seen) / dt
	share := min(dt/2, 1)
	if l.rate == 0 {
		share = 1
	}
	l.rate += (inst - l.rate) * share
	l.seen, l.sampled = l.got, now
}

// line is one layer: its bar, how much of how much, how fast and how long yet.
func (l *bar) line(width int) string {
	head := shortDigest(l.digest) + ": " + l.state.String()
	if l.state != api.Downloading && l.state != api.Pushing {
		return clipLine(head, width)
	}
	got := min(l.got, l.size)
	tail := " " + cli.Size(got) + "/" + cli.Size(l.size)
	if l.rate >= 1 {
		tail += "  " + cli.Size(int64(l.rate)) + "/s"
		if left := time.Duration(float64(l.size-got) / l.rate * float64(time.Second)); l.size > got {
			tail += "  " + left.Round(time.Second).String()
		}
	}
	room := min(width-len(head)-len(tail)-5, 50)
	if room < 5 || l.size <= 0 {
		return clipLine(head+" "+tail, width)
	}
	full := int(int64(room) * got / l.size)
	arrow := strings.Repeat("=", full)
	if full < room {
		arrow += ">"
	} else {
		arrow += "="
	}
	return head + " [" + arrow + strings.Repeat(" ", room-full) + "]" + tail
}

func clipLine(s string, width int) string { return s[:min(len(s), max(width-1, 0))] }
