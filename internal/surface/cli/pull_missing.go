package cli

import (
	"context"
	"errors"
	"os"
	"os/exec"

	"github.com/tare-engine/tare/internal/engine/images"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// pulling says when a command pulls the image that it needs.
type pulling struct {
	when     string // "missing", "always" or "never"
	platform string
	quiet    bool
}

func (p *pulling) check() error {
	switch p.when {
	case "missing", "always", "never":
		return nil
	}
	return fault.New(fault.Invalid, "invalid pull option: '%s': must be one of \"always\", \"missing\" or \"never\"", p.when)
}

// withImage calls f, and once more with the image pulled when that is missing.
// So nobody looks for an image twice that is there.
func (app *App) withImage(ctx context.Context, image string, p *pulling, f func() (int, error)) (int, error) {
	if p.when == "always" && image != "" && !images.IsBuiltIn(image) {
		if err := app.pullImage(ctx, image, p); err != nil {
			return exitUsage, err
		}
	}
	code, err := f()
	if p.when != "missing" || !errors.Is(err, images.ErrNoImage) {
		return code, err
	}
	if !p.quiet {
		_, _ = app.Stderr.WriteString("Unable to find image '" + images.TaggedName(image) + "' locally\n")
	}
	if err := app.pullImage(ctx, image, p); err != nil {
		return exitUsage, err
	}
	return f()
}

// pullImage has tared pull, with its progress on standard error. The error
// says nothing where tared has told what is wrong.
func (app *App) pullImage(ctx context.Context, image string, p *pulling) error {
	self, err := os.Executable()
	if err != nil {
		return fault.New(fault.Internal, "find own executable: %w", err)
	}
	args := []string{"--root", app.options.Root, "--run-root", app.options.RunRoot}
	if app.options.Debug {
		args = append(args, "--debug")
	}
	args = append(args, "pull")
	if p.platform != "" {
		args = append(args, "--platform", p.platform)
	}
	if p.quiet {
		args = append(args, "--quiet")
	}
	for _, path := range coldPaths(self) {
		cmd := exec.CommandContext(ctx, path, append(args, "--", images.TaggedName(image))...) //nolint:gosec // our own program
		cmd.Stdout, cmd.Stderr = app.Stderr, app.Stderr
		if p.quiet {
			cmd.Stdout = nil
		}
		err = cmd.Run()
		var exit *exec.ExitError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &exit):
			return &entered{code: exitUsage}
		case !errors.Is(err, os.ErrNotExist):
			return fault.New(fault.KindOf(err), "execute %s: %w", path, err)
		}
	}
	return fault.WithHint(fault.New(fault.NotFound, "find image %s: no such image, and the tared binary that could pull it is missing", image), "install tared beside tare")
}
