// Package complete turns tare's command tables into cobra commands, for
// completion scripts and man pages. Only tared imports it: cobra costs more to
// start than tare does (docs/adr/0002-flag-table.md).
package complete

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tare-engine/tare/internal/lib/flags"
	"github.com/tare-engine/tare/internal/spec/capability"
	"github.com/tare-engine/tare/internal/surface/cli"
)

// Names lists what the arguments of commands can name. A function may be nil;
// errors are nobody's business while a key is pressed.
type Names struct {
	Images     func() []string
	Containers func(states []string) []string // nil: in any state
}

// Root returns the whole command line of tare. Its commands do nothing but
// complete and describe themselves; completion prints its script.
func Root(names Names) *cobra.Command {
	global := cli.Global()
	root := &cobra.Command{
		Use: "tare", Short: "Run containers without a daemon",
		SilenceUsage: true, SilenceErrors: true, Version: cli.Version,
		TraverseChildren: true, // global flags stand before the command
	}
	declare(root.Flags(), &global)
	root.Flags().SetInterspersed(false)
	commands := cli.Commands()
	for i := range commands {
		if c := &commands[i]; !c.Hidden {
			add(root, c, names)
		}
	}
	return root
}

// add adds a command under each of its names; one of two words goes below a
// group.
func add(root *cobra.Command, c *cli.Command, names Names) {
	var plain []string
	for _, a := range c.Aliases {
		if group, name, two := strings.Cut(a, " "); two {
			groupOf(root, group).AddCommand(command(c, name, nil, names))
		} else {
			plain = append(plain, a)
		}
	}
	if group, name, two := strings.Cut(c.Name, " "); two {
		groupOf(root, group).AddCommand(command(c, name, plain, names))
		return
	}
	root.AddCommand(command(c, c.Name, plain, names))
}

// groupOf returns the command that a group's commands stand below.
func groupOf(root *cobra.Command, name string) *cobra.Command {
	for _, c := range root.Commands() {
		if c.Name() == name {
			return c
		}
	}
	g := &cobra.Command{Use: name, Short: "Commands on " + name + "s", Run: func(*cobra.Command, []string) {}}
	root.AddCommand(g)
	return g
}

func command(c *cli.Command, name string, aliases []string, names Names) *cobra.Command {
	cmd := &cobra.Command{
		Use: strings.TrimSpace(name + " " + c.Args), Short: c.Short, Long: c.Long, Example: c.Example,
		Aliases: aliases, DisableFlagsInUseLine: true,
		Run: func(*cobra.Command, []string) {},
	}
	if c.Name == "completion" {
		cmd.RunE = func(cmd *cobra.Command, args []string) error { return script(cmd.Root(), args) }
	}
	declare(cmd.Flags(), c)
	cmd.Flags().SetInterspersed(!c.Stop)
	// Without a letter: -h is the host name of run.
	cmd.Flags().Bool("help", false, "Print help and quit")
	cmd.ValidArgsFunction = arguments(c, names)
	for i := range c.Flags {
		f := &c.Flags[i]
		words := f.Words
		if f.Name == "cap-add" || f.Name == "cap-drop" {
			words = capabilities()
		}
		if words != nil {
			// It fails for a flag that is not there or has one already.
			cobra.CheckErr(cmd.RegisterFlagCompletionFunc(f.Name, fixed(words)))
		}
	}
	return cmd
}

func declare(set *pflag.FlagSet, c *cli.Command) {
	for i := range c.Flags {
		f := &c.Flags[i]
		short := ""
		if f.Short != 0 {
			short = string(f.Short)
		}
		p := set.VarPF(&value{f}, f.Name, short, f.Usage)
		p.Hidden = f.Hidden
		if f.Bool() {
			p.NoOptDefVal = "true"
		}
	}
}

// value takes any text: tare itself reads it.
type value struct{ f *flags.Flag }

func (v *value) String() string   { return v.f.Default }
func (v *value) Set(string) error { return nil }
func (v *value) Type() string {
	if v.f.Bool() {
		return "bool"
	}
	return v.f.Value
}

func arguments(c *cli.Command, names Names) cobra.CompletionFunc {
	switch c.Complete {
	case cli.CompleteWords:
		return first(fixed(c.Words))
	case cli.CompleteNothing:
		return cobra.NoFileCompletions
	case cli.CompleteImages:
		if c.Stop { // what follows the image is the command in it
			return first(listed(names.Images))
		}
		return listed(names.Images)
	case cli.CompleteContainers:
		if names.Containers == nil {
			return cobra.NoFileCompletions
		}
		list := listed(func() []string { return names.Containers(c.States) })
		if c.Stop { // what follows the container is the command in it
			return first(list)
		}
		return list
	case cli.CompleteFiles:
	}
	return nil
}

func fixed(words []string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

func first(f cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return f(cmd, args, prefix)
	}
}

func listed(list func() []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if list == nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var found []string
		for _, n := range list() {
			if strings.HasPrefix(n, prefix) && !contains(args, n) {
				found = append(found, n)
			}
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

func capabilities() []string {
	words := []string{"ALL"}
	for _, n := range capability.UpTo(capability.Last).Names() {
		words = append(words, strings.TrimPrefix(n, "CAP_"))
	}
	return words
}
