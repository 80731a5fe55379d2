package cli

// The commands that talk to registries. Their actions are in tared.

func pullCommand() Command {
	return Command{
		Name: "pull", Aliases: []string{"image pull"}, Args: "NAME[:TAG|@DIGEST]", Short: "Bring an image from a registry",
		Example: "tare pull debian\ntare pull --platform linux/arm64 registry.example:5000/team/app:1.2",
		Flags:   pullFlags, MinArgs: 1, MaxArgs: 1, Cold: true,
	}
}

var pullFlags = []Flag{
	{Name: "all-tags", Short: 'a', Usage: "Pull all tags of the repository"},
	{Name: "platform", Value: "string", Usage: "Platform of the image (os/arch)"},
	{Name: "quiet", Short: 'q', Usage: "Print the name of the image only"},
}

func pushCommand() Command {
	return Command{
		Name: "push", Aliases: []string{"image push"}, Args: "NAME[:TAG]", Short: "Send an image to a registry",
		Flags: pushFlags, MinArgs: 1, MaxArgs: 1, Complete: CompleteImages, Cold: true,
	}
}

var pushFlags = []Flag{
	{Name: "all-tags", Short: 'a', Usage: "Push all tags of the repository"},
	{Name: "platform", Value: "string", Usage: "Platform of the image (os/arch)"},
	{Name: "quiet", Short: 'q', Usage: "Print the name of the image only"},
}

func loginCommand() Command {
	return Command{
		Name: "login", Args: "[SERVER]", Short: "Log in to a registry",
		Long:    "The registry is asked whether it takes the login, which is then kept in Docker's config.json or in the credential helper that it names. Without SERVER it is Docker Hub.",
		Example: "tare login registry.example:5000\necho $TOKEN | tare login -u robot --password-stdin registry.example",
		Flags:   loginFlags, MaxArgs: 1, Complete: CompleteNothing, Cold: true,
	}
}

var loginFlags = []Flag{
	{Name: "password", Short: 'p', Value: "string", Usage: "Password or token; other users may see it, so prefer --password-stdin"},
	{Name: "password-stdin", Usage: "Read the password from standard input"},
	{Name: "username", Short: 'u', Value: "string", Usage: "Name of the user"},
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
	}
}

var searchFlags = []Flag{
	{Name: "filter", Short: 'f', Value: "filter", Usage: "Only what matches: is-official=BOOL, stars=N"},
	{Name: "format", Value: "string", Usage: "Format of the output: table, json or a template"},
	{Name: "limit", Value: "int", Usage: "How many results", Default: "25"},
	{Name: "no-trunc", Usage: "Do not shorten the output"},
}
