package runc

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/tare-engine/tare/internal/lib/flags"
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
	for i := range commands {
		fmt.Fprintf(&b, "  %-11s %s\n", commands[i].name, commands[i].short)
	}
	b.WriteString("\nOptions:\n")
	printRows(&b, a.globalHelp())
	b.WriteString("\ntare-oci COMMAND --help shows the options of a command.\n")
	_, err := a.Stdout.WriteString(b.String())
	return err
}

func (a *App) printCommandHelp(c *command) error {
	rows := c.rows()
	var b strings.Builder
	fmt.Fprintf(&b, "tare-oci %s: %s\n\nUsage: tare-oci %s", c.name, c.short, c.name)
	if len(rows) > 0 {
		b.WriteString(" [OPTIONS]")
	}
	if c.args != "" {
		b.WriteString(" " + c.args)
	}
	b.WriteString("\n")
	if len(rows) > 0 {
		b.WriteString("\nOptions:\n")
		printRows(&b, rows)
	}
	_, err := a.Stdout.WriteString(b.String())
	return err
}

// globalHelp is globalRows with what is only known here.
func (a *App) globalHelp() []flags.Flag {
	rows := slices.Clone(globalRows)
	for i := range rows {
		if rows[i].Name == "root" {
			rows[i].Default = a.defaultRoot()
		}
	}
	return rows
}

// printRows writes flags as a table.
func printRows(b *strings.Builder, rows []flags.Flag) {
	for i := range rows {
		fmt.Fprintf(b, "  %-28s %s\n", left(&rows[i]), right(&rows[i]))
	}
}
