package cli

import (
	"strconv"
	"strings"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
)

// The commands that talk to registries. Their actions are in tared.

func pullCommand() Command {
	return Command{
		Name: "pull", Aliases: []string{"image pull"}, Args: "NAME[:TAG|@DIGEST]", Short: "Bring an image from a registry",
		Example: "tare pull debian\ntare pull --platform linux/arm64 registry.example:5000/team/app:1.2",
		Flags:   pullFlags, MinArgs: 1, MaxArgs: 1, Cold: true,
		Options: func() any { return &TransferOptions{} },
	}
}

// TransferOptions are the flags of pull and push.
type TransferOptions struct {
	All, Quiet bool
	Platform   string
}

var pullFlags = []flags.Flag{
	{Name: "all-tags", Short: 'a', Usage: "Pull all tags of the repository", Set: func(a any, v string) error { return flags.Bool(&a.(*TransferOptions).All, v) }},
	{
		Name: "platform", Value: "string", Usage: "Platform of the image (os/arch)",
		Set: func(a any, v string) error { return flags.String(&a.(*TransferOptions).Platform, v) },
	},
	{Name: "quiet", Short: 'q', Usage: "Print the name of the image only", Set: func(a any, v string) error { return flags.Bool(&a.(*TransferOptions).Quiet, v) }},
}

func pushCommand() Command {
	return Command{
		Name: "push", Aliases: []string{"image push"}, Args: "NAME[:TAG]", Short: "Send an image to a registry",
		Flags: pushFlags, MinArgs: 1, MaxArgs: 1, Complete: CompleteImages, Cold: true,
		Options: func() any { return &TransferOptions{} },
	}
}

var pushFlags = []flags.Flag{
	{Name: "all-tags", Short: 'a', Usage: "Push all tags of the repository", Set: func(a any, v string) error { return flags.Bool(&a.(*TransferOptions).All, v) }},
	{
		Name: "platform", Value: "string", Usage: "Platform of the image (os/arch)",
		Set: func(a any, v string) error { return flags.String(&a.(*TransferOptions).Platform, v) },
	},
	{Name: "quiet", Short: 'q', Usage: "Print the name of the image only", Set: func(a any, v string) error { return flags.Bool(&a.(*TransferOptions).Quiet, v) }},
}

func loginCommand() Command {
	return Command{
		Name: "login", Args: "[SERVER]", Short: "Log in to a registry",
		Long:    "The registry is asked whether it takes the login, which is then kept in Docker's config.json or in the credential helper that it names. Without SERVER it is Docker Hub.",
		Example: "tare login registry.example:5000\necho $TOKEN | tare login -u robot --password-stdin registry.example",
		Flags:   loginFlags, MaxArgs: 1, Complete: CompleteNothing, Cold: true,
		Options: func() any { return &LoginOptions{} },
	}
}

// LoginOptions are the flags of login.
type LoginOptions struct {
	User, Password string
	Stdin          bool // the password is read there
}

var loginFlags = []flags.Flag{
	{
		Name: "password", Short: 'p', Value: "string", Usage: "Password or token; other users may see it, so prefer --password-stdin",
		Set: func(a any, v string) error { return flags.String(&a.(*LoginOptions).Password, v) },
	},
	{Name: "password-stdin", Usage: "Read the password from standard input", Set: func(a any, v string) error { return flags.Bool(&a.(*LoginOptions).Stdin, v) }},
	{Name: "username", Short: 'u', Value: "string", Usage: "Name of the user", Set: func(a any, v string) error { return flags.String(&a.(*LoginOptions).User, v) }},
}

func logoutCommand() Command {
	return Command{
		Name: "logout", Args: "[SERVER]", Short: "Forget the login of a registry",
		MaxArgs: 1, Complete: CompleteNothing, Cold: true,
	}
}

func searchCommand() Command {
	return Command{
		Name: "search", Args: "[REGISTRY/]TERM", Short: "Search a registry for images",
		Example: "tare search debian\ntare search registry.example:5000/app",
		Flags:   searchFlags, MinArgs: 1, MaxArgs: 1, Complete: CompleteNothing, Cold: true,
		Options: func() any { return &SearchOptions{Limit: 25} },
	}
}

// SearchOptions are the flags of search.
type SearchOptions struct {
	Format   string
	Full     bool
	Limit    int
	Official *bool
	Stars    int
}

func (s *SearchOptions) filter(v string) error {
	key, value, _ := strings.Cut(v, "=")
	switch key {
	case "is-official":
		return flags.SetNew(&s.Official, value, flags.ParseBool)
	case "stars":
		n, err := strconv.Atoi(value)
		if err != nil {
			return fault.New(fault.Invalid, "not a number")
		}
		s.Stars = n
		return nil
	}
	return fault.New(fault.Invalid, "invalid filter '%s'", key)
}

func searchLimit(v string) (int, error) {
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > 100 {
		return 0, fault.New(fault.Invalid, "not a number from 1 to 100")
	}
	return n, nil
}

var searchFlags = []flags.Flag{
	{
		Name: "filter", Short: 'f', Value: "filter", Usage: "Only what matches: is-official=BOOL, stars=N",
		Set: func(a any, v string) error { return a.(*SearchOptions).filter(v) },
	},
	{
		Name: "format", Value: "string", Usage: "Format of the output: table, json or a template",
		Set: func(a any, v string) error { return flags.String(&a.(*SearchOptions).Format, v) },
	},
	{
		Name: "limit", Value: "int", Usage: "How many results", Default: "25",
		Set: func(a any, v string) error { return flags.Set(&a.(*SearchOptions).Limit, v, searchLimit) },
	},
	{Name: "no-trunc", Usage: "Do not shorten the output", Set: func(a any, v string) error { return flags.Bool(&a.(*SearchOptions).Full, v) }},
}
