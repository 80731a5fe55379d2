package oci

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Version is tare's version; a release build sets it with -ldflags -X.
var Version = "0.1.0-dev"

// printVersion prints what runc does: engines read the lines.
func (a *App) printVersion() error {
	_, err := fmt.Fprintf(a.Stdout, "tare-oci version %s\nspec: %s\ngo: %s\n", Version, specs.Version, runtime.Version())
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
		fmt.Fprintf(b, "  %-28s %s\n", h.left(), h.usage)
	}
}

// left is how a flag is written: "--bundle, -b DIR".
func (h *flagHelp) left() string {
	var b strings.Builder
	for n := range strings.SplitSeq(h.names, ",") {
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		if b.WriteByte('-'); len(n) > 1 {
			b.WriteByte('-')
		}
		b.WriteString(n)
	}
	if h.value != "" {
		b.WriteString(" " + strings.ToUpper(h.value))
	}
	return b.String()
}
