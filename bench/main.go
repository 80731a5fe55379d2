// Command bench measures how long engines take to run /bin/true: interleaved,
// in random order, on this machine, and prints the table of
// docs/benchmarks.md.
//
//	make bench BENCHFLAGS="-n 100 -row container"
//
// An engine is one line of engines.txt; those that are not installed are shown
// as missing. Wall time is from fork to the end of the command; CPU time is
// that of all its descendants, also of those that outlive it (launch.c.txt).
package main

import (
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed engines.txt
var table string

//go:embed launch.c.txt
var launchSource string

//go:embed floor.c.txt
var floorSource string

func main() {
	n := flag.Int("n", 50, "measured runs of each engine")
	warm := flag.Int("warm", 3, "runs before them that do not count")
	rows := flag.String("row", "", "only this row")
	file := flag.String("engines", "", "table of engines instead of the built-in one")
	bin := flag.String("bin", "bin", "directory of tare's programs")
	flag.Parse()
	if err := run(*n, *warm, *rows, *file, *bin); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(n, warm int, only, file, bin string) error {
	if os.Geteuid() != 0 {
		return errors.New("the engines are compared as root")
	}
	text := table
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		text = string(b)
	}
	engines, err := parseEngines(text)
	if err != nil {
		return err
	}
	if !inNamespace() {
		return enterNamespace()
	}
	hidden, err := hideUnified()
	if err != nil {
		return err
	}
	bin, err = filepath.Abs(bin)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("/var/tmp", "tare-bench-")
	if err != nil {
		return err
	}
	w := &world{dir: work, bin: bin, vars: map[string]string{"work": work, "bin": bin, "image": "tare-bench"}}
	w.bare = only == "start" || only == "process"
	defer w.cleanUp()
	if err := w.prepare(); err != nil {
		return err
	}
	fmt.Print(machine(hidden))
	for _, row := range rowsOf(engines) {
		if only != "" && only != row {
			continue
		}
		var some []*engine
		for _, e := range engines {
			if e.row == row {
				some = append(some, e)
			}
		}
		w.measure(some, n, warm)
		fmt.Print(report(row, n, some))
		if row == "start" {
			fmt.Print(differences(some))
		}
	}
	return nil
}

// engine is one line of the table and what was measured of it.
type engine struct {
	row, name, needs, command string
	missing                   string // why it did not run
	samples                   []sample
}

func parseEngines(text string) ([]*engine, error) {
	var out []*engine
	for i, l := range strings.Split(text, "\n") {
		if l = strings.TrimSpace(l); l == "" || l[0] == '#' {
			continue
		}
		f := strings.SplitN(l, "|", 4)
		if len(f) != 4 {
			return nil, fmt.Errorf("engines line %d: want row | name | program | command", i+1)
		}
		for j := range f {
			f[j] = strings.TrimSpace(f[j])
		}
		out = append(out, &engine{row: f[0], name: f[1], needs: f[2], command: f[3]})
	}
	return out, nil
}

func rowsOf(engines []*engine) []string {
	var out []string
	for _, e := range engines {
		if len(out) == 0 || out[len(out)-1] != e.row {
			out = append(out, e.row)
		}
	}
	return out
}

// measure runs the engines of a row n times each, in a new random order every
// round, so that a slow phase of the machine meets all of them.
func (w *world) measure(engines []*engine, n, warm int) {
	var live []*engine
	for _, e := range engines {
		if _, err := exec.LookPath(w.expand(e.needs, 0)); err != nil {
			e.missing = "not installed"
			continue
		}
		if why := w.unready[e.name]; why != "" {
			e.missing = why
			continue
		}
		live = append(live, e)
	}
	for round := range warm + n {
		rand.Shuffle(len(live), func(i, j int) { live[i], live[j] = live[j], live[i] })
		for _, e := range live {
			if e.missing != "" {
				continue
			}
			s, err := w.once(e, round)
			if err != nil {
				e.missing = err.Error()
				continue
			}
			if round >= warm {
				e.samples = append(e.samples, s)
			}
		}
	}
}
