package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/fault"
)

func completionCommand() Command {
	return Command{
		Name: "completion", Args: "bash|zsh|fish", Short: "Print the completion script of a shell",
		Example: "source <(tare completion bash)\ntare completion zsh > \"${fpath[1]}/_tare\"\ntare completion fish > ~/.config/fish/completions/tare.fish",
		MinArgs: 1, MaxArgs: 1, Complete: CompleteWords, Words: []string{"bash", "zsh", "fish"},
		New: func() Action { return &coldAction{command: "completion"} },
	}
}

// completeCommand is what the completion scripts call.
func completeCommand() Command {
	return Command{
		Name: "__complete", Hidden: true, Raw: true, MaxArgs: -1,
		New: func() Action { return &coldAction{command: "__complete"} },
	}
}

// coldAction hands a command over to tared, which may take its time to start.
type coldAction struct{ command string }

func (c *coldAction) Set(string, string) error { return nil }

func (c *coldAction) Run(_ context.Context, app *App, args []string) (int, error) {
	if c.command == "completion" {
		switch args[0] {
		case "bash", "zsh", "fish":
		default:
			return exitUsage, fault.WithHint(fault.New(fault.Invalid, "no completion for %q", args[0]), "use bash, zsh or fish")
		}
	}
	self, err := os.Executable()
	if err != nil {
		return exitUsage, fault.New(fault.Internal, "find own executable: %w", err)
	}
	env := append(os.Environ(), "TARE_ROOT="+app.options.Root, "TARE_RUN_ROOT="+app.options.RunRoot)
	for _, path := range coldPaths(self) {
		err = unix.Exec(path, append([]string{"tared", c.command}, args...), env)
		if !errors.Is(err, unix.ENOENT) {
			return exitUsage, fault.New(fault.KindOf(err), "execute %s: %w", path, err)
		}
	}
	return exitUsage, fault.WithHint(fault.New(fault.NotFound, "the tared binary is missing: looked in %s", filepath.Dir(self)), "install tared beside tare")
}

// coldPaths are where tared may be, seen from tare's own path.
func coldPaths(self string) []string {
	dir := filepath.Dir(self)
	return []string{
		filepath.Join(dir, "tared"),
		filepath.Join(dir, "..", "libexec", "tare", "tared"),
		filepath.Join(dir, "..", "lib", "tare", "tared"),
	}
}
