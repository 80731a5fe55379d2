package cold

import (
	"bufio"
	"context"
	"io"
	"strings"

	"golang.org/x/term"

	"github.com/tare-engine/tare/internal/engine/images"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/surface/cli"
)

// login proves a user to a registry and keeps the proof.
type login struct{ *cli.LoginOptions }

// maxPassword bounds what is read from standard input.
const maxPassword = 1 << 20

func (l login) Run(ctx context.Context, app *cli.App, args []string) (int, error) {
	a, server, err := account(app, args)
	if err != nil {
		return 0, err
	}
	if err := l.ask(app, server); err != nil {
		return 0, err
	}
	if err := a.Login(ctx, server, l.User, l.Password); err != nil {
		return 0, err
	}
	app.Print("Login Succeeded\n")
	return 0, nil
}

// account is the logins, and the server that args mean.
func account(app *cli.App, args []string) (images.Accounts, string, error) {
	a := app.Carriers.Accounts
	server, err := a.Server(strings.Join(args, ""))
	return a, server, err
}

// ask gets what the flags leave open.
func (l login) ask(app *cli.App, server string) error {
	switch {
	case l.Stdin && l.Password != "":
		return fault.New(fault.Invalid, "--password and --password-stdin are mutually exclusive")
	case l.Stdin && l.User == "":
		return fault.New(fault.Invalid, "must provide --username with --password-stdin")
	case l.Stdin:
		data, err := io.ReadAll(io.LimitReader(app.Stdin, maxPassword))
		if err != nil {
			return fault.New(fault.KindOf(err), "read password: %w", err)
		}
		l.Password = strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	case l.Password != "":
		app.Warn("warning: other users may see a --password; use --password-stdin")
	}
	if l.User != "" && l.Password != "" {
		return nil
	}
	if !cli.IsTerminal(app.Stdin) {
		return fault.New(fault.Invalid, "cannot perform an interactive login from a non TTY device")
	}
	if l.User == "" {
		_, _ = io.WriteString(app.Stderr, "Username for "+server+": ")
		line, err := bufio.NewReader(app.Stdin).ReadString('\n')
		if err != nil {
			return fault.New(fault.Invalid, "read user name: %w", err)
		}
		if l.User = strings.TrimSpace(line); l.User == "" {
			return fault.New(fault.Invalid, "username is empty")
		}
	}
	if l.Password == "" {
		_, _ = io.WriteString(app.Stderr, "Password: ")
		data, err := term.ReadPassword(int(app.Stdin.Fd()))
		_, _ = io.WriteString(app.Stderr, "\n")
		if err != nil {
			return fault.New(fault.Invalid, "read password: %w", err)
		}
		if l.Password = string(data); l.Password == "" {
			return fault.New(fault.Invalid, "password is empty")
		}
	}
	return nil
}

// logout forgets what login keeps.
type logout struct{}

func (logout) Run(_ context.Context, app *cli.App, args []string) (int, error) {
	a, server, err := account(app, args)
	if err != nil {
		return 0, err
	}
	err = a.Logout(server)
	if fault.KindOf(err) == fault.NotFound {
		app.Print("Not logged in to " + server + "\n")
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	app.Print("Removing login credentials for " + server + "\n")
	return 0, nil
}
