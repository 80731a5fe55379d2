package runc

import (
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/flags"
)

// TestRows: no command has a flag twice, and each setter sets what the command
// has.
func TestRows(t *testing.T) {
	check := func(command string, rows []flags.Flag, to func(f *flags.Flag) any) {
		seen := map[string]bool{}
		for i := range rows {
			f := &rows[i]
			for _, n := range names(f) {
				if seen[n] {
					t.Errorf("%s has %s twice", command, n)
				}
				seen[n] = true
			}
			for _, v := range []string{"1", "x", ""} {
				_ = f.Set(to(f), v) // what is for another command panics
			}
		}
	}
	check("tare-oci", globalRows, func(*flags.Flag) any { return New() })
	for i := range commands {
		c := &commands[i]
		check(c.name, c.rows(), func(f *flags.Flag) any {
			if c.name == "update" && f.Name != "resources" {
				return &specs.LinuxResources{}
			}
			return c.options()
		})
	}
}

// TestUpdateFlags: the last value of a limit counts, and an empty one is none.
func TestUpdateFlags(t *testing.T) {
	o := &updateOptions{given: map[string]string{}}
	rest, err := flags.ParseGo(updateRows, o, []string{"--cpu-shares=1", "box", "-cpu-share", "2", "--memory", "x", "--memory="}, false)
	if err != nil || len(rest) != 1 || o.given["cpu-share"] != "2" || o.given["memory"] != "" {
		t.Errorf("%q, %q: %v", o.given, rest, err)
	}
	o.given["cpu-share"] = "many"
	err = o.run(New(), rest)
	if err == nil || err.Error() != `invalid value "many" for --cpu-share,cpu-shares: strconv.ParseUint: parsing "many": invalid syntax` {
		t.Error(err)
	}
}
