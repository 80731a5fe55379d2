package cold

import (
	"bufio"
	"context"
	"io"
	"strings"

	"golang.org/x/term"

	"github.com/tare-engine/tare/cli"
	"github.com/tare-engine/tare/fault"
	"github.com/tare-engine/tare/registry"
)

// login proves a user to a registry and keeps the proof.
type login struct {
	user, password string
	stdin          bool
}

func (l *login) Set(flag, v string) error {
	switch flag {
	case "password":
		l.password = v
	case "password-stdin":
		return cli.SetBool(&l.stdin, v)
	case "username":
		l.user = v
	}
	return nil
}

// maxPassword bounds what is read from standard input.
const maxPassword = 1 << 20

func (l *login) Run(ctx context.Context, app *cli.App, args []string) (int, error) {
	server, err := registry.LoginServer(strings.Join(args, ""))
	if err != nil {
		return 0, err
	}
	if err := l.ask(app, server); err != nil {
		return 0, err
	}
	c, err := client(app)
	if err != nil {
		return 0, err
	}
	if err := c.CheckLogin(ctx, server, l.user, l.password); err != nil {
		return 0, err
	}
	if err := registry.SaveLogin(server, l.user, l.password); err != nil {
		return 0, err
	}
	app.Print("Login Succeeded\n")
	return 0, nil
}

// ask gets what the flags leave open.
func (l *login) ask(app *cli.App, server string) error {
	switch {
	case l.stdin && l.password != "":
		return fault.New(fault.Invalid, "--password and --password-stdin are mutually exclusive")
	case l.stdin && l.user == "":
		return fault.New(fault.Invalid, "must provide --username with --password-stdin")
	case l.stdin:
		data, err := io.ReadAll(io.LimitReader(app.Stdin, maxPassword))
		if err != nil {
			return fault.New(fault.KindOf(err), "read password: %w", err)
		}
		l.password = strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	case l.password != "":
		app.Warn("warning: other users may see a --password; use --password-stdin")
	}
	if l.user != "" && l.password != "" {
		return nil
	}
	if !cli.IsTerminal(app.Stdin) {
		return fault.New(fault.Invalid, "cannot perform an interactive login from a non TTY device")
	}
	if l.user == "" {
		_, _ = io.WriteString(app.Stderr, "Username for "+server+": ")
		line, err := bufio.NewReader(app.Stdin).ReadString('\n')
		if err != nil {
			return fault.New(fault.Invalid, "read user name: %w", err)
		}
		if l.user = strings.TrimSpace(line); l.user == "" {
			return fault.New(fault.Invalid, "username is empty")
		}
	}
	if l.password == "" {
		_, _ = io.WriteString(app.Stderr, "Password: ")
		data, err := term.ReadPassword(int(app.Stdin.Fd()))
		_, _ = io.WriteString(app.Stderr, "\n")
		if err != nil {
			return fault.New(fault.Invalid, "read password: %w", err)
		}
		if l.password = string(data); l.password == "" {
			return fault.New(fault.Invalid, "password is empty")
		}
	}
	return nil
}

// logout forgets what login keeps.
type logout struct{}

func (logout) Set(string, string) error { return nil }

func (logout) Run(_ context.Context, app *cli.App, args []string) (int, error) {
	server, err := registry.LoginServer(strings.Join(args, ""))
	if err != nil {
		return 0, err
	}
	err = registry.RemoveLogin(server)
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
