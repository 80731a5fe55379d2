package cli

func completionCommand() Command {
	return Command{
		Name: "completion", Args: "bash|zsh|fish", Short: "Print the completion script of a shell",
		Example: "source <(tare completion bash)\ntare completion zsh > \"${fpath[1]}/_tare\"\ntare completion fish > ~/.config/fish/completions/tare.fish",
		MinArgs: 1, MaxArgs: 1, Complete: CompleteWords, Words: []string{"bash", "zsh", "fish"},
		Cold: true,
	}
}

// completeCommand is what the completion scripts call.
func completeCommand() Command {
	return Command{Name: "__complete", Aliases: []string{"__completeNoDesc"}, Hidden: true, Raw: true, MaxArgs: -1, Cold: true}
}

// manCommand writes the manual pages, for make install.
func manCommand() Command {
	return Command{
		Name: "man", Args: "DIR", Short: "Write the manual pages into a directory",
		Hidden: true, MinArgs: 1, MaxArgs: 1, Cold: true,
	}
}
