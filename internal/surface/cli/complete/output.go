package complete

import (
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/surface/cli"
)

// script prints the completion script of a shell.
func script(root *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fault.New(fault.Invalid, "completion: name one of bash, zsh and fish")
	}
	out := root.OutOrStdout()
	switch args[0] {
	case "bash":
		return root.GenBashCompletionV2(out, true)
	case "zsh":
		return root.GenZshCompletion(out)
	case "fish":
		return root.GenFishCompletion(out, true)
	default:
		return fault.New(fault.Invalid, "completion: no script for %q: bash, zsh and fish have one", args[0])
	}
}

// Man writes the man pages, section 1, into a directory that exists. The date
// is not today's, so that a build can be repeated.
func Man(dir string, date time.Time) error {
	return doc.GenManTree(Root(Names{}), &doc.GenManHeader{
		Title: "TARE", Section: "1", Date: &date, Source: "tare " + cli.Version, Manual: "tare",
	}, dir)
}
