package oci

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// printVersion prints what runc does: engines read the lines.
func (a *App) printVersion() error {
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	_, err := fmt.Fprintf(a.Stdout, "tare-oci version %s\nspec: %s\ngo: %s\n", version, specs.Version, runtime.Version())
	return err
}

func (a *App) printHelp() error {
	var b strings.Builder
	b.WriteString("tare-oci runs containers of OCI bundles, with the command line of runc.\n\n" +
		"Usage: tare-oci [OPTIONS] COMMAND [ARGUMENTS]\n\nCommands:\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-11s %s\n", c.name, c.short)
	}
	b.WriteString("\nOptions:\n")
	f := newFlags("")
	a.globals(f)
	f.print(&b)
	b.WriteString("\ntare-oci COMMAND --help shows the options of a command.\n")
	_, err := a.Stdout.WriteString(b.String())
	return err
}

func (a *App) printCommandHelp(c *command, f *flags) error {
	var b strings.Builder
	fmt.Fprintf(&b, "tare-oci %s: %s\n\nUsage: tare-oci %s", c.name, c.short, c.name)
	if len(f.help) > 0 {
		b.WriteString(" [OPTIONS]")
	}
	if c.args != "" {
		b.WriteString(" " + c.args)
	}
	b.WriteString("\n")
	if len(f.help) > 0 {
		b.WriteString("\nOptions:\n")
		f.print(&b)
	}
	_, err := a.Stdout.WriteString(b.String())
	return err
}

// print writes the flags as a table.
func (f *flags) print(b *strings.Builder) {
	for _, h := range f.help {
		left := "  "
		for i, n := range strings.Split(h.names, ",") {
			if i > 0 {
				left += ", "
			}
			if len(n) == 1 {
				left += "-" + n
			} else {
				left += "--" + n
			}
		}
		if h.value != "" {
			left += " " + strings.ToUpper(h.value)
		}
		fmt.Fprintf(b, "%-30s %s\n", left, h.usage)
	}
}
