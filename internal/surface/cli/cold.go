package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// errCold asks for the command to be done by tared.
var errCold error = &fault.Error{Kind: fault.Unsupported, Text: "needs tared"}

// Compile returns what fills in a template with one value.
//
// Precondition: nothing has been changed or printed yet.
func (app *App) Compile(format string) (func(v any) (string, error), error) {
	if app.Value == nil {
		return nil, errCold
	}
	return app.Value(format)
}

// regexp compiles a regular expression.
//
// Precondition: nothing has been changed or printed yet.
func (app *App) regexp(pattern string) (func(string) bool, error) {
	if app.Regexp == nil {
		return nil, errCold
	}
	return app.Regexp(pattern)
}

// run runs a command whose flags are set in to.
func (app *App) run(ctx context.Context, c *Command, to any, args []string) (int, error) {
	switch {
	case !c.Cold:
		return to.(Action).Run(ctx, app, args)
	case app.Cold == nil:
		return 0, errCold
	}
	return app.Cold(c.Name, to).Run(ctx, app, args)
}

// handOver becomes tared, with the same arguments. It returns on error only.
func (app *App) handOver() (int, error) {
	if app.Cold != nil {
		return exitError, fault.New(fault.Internal, "tared does not know the command")
	}
	self, err := os.Executable()
	if err != nil {
		return exitUsage, fault.New(fault.Internal, "find own executable: %w", err)
	}
	for _, path := range coldPaths(self) {
		err = unix.Exec(path, append([]string{"tared"}, app.args...), os.Environ())
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
