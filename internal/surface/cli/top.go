package cli

import (
	"context"
	"strings"
	"unicode/utf8"
)

func topCommand() Command {
	return Command{
		Name: "top", Aliases: []string{"container top"}, Args: "CONTAINER [ps OPTIONS]", Short: "Show the processes of a container",
		Long:    "Options are those of ps(1): -e, -f, -F, -j, aux, and -o with a list of columns.\nThe ids of processes and users are the host's.",
		Example: "tare top web\ntare top web aux\ntare top web -o pid,etime,rss,args",
		Stop:    true, MinArgs: 1, MaxArgs: -1, Complete: CompleteContainers, States: []string{"running"},
		New: func() Action { return topAction{} },
	}
}

type topAction struct{}

func (topAction) Run(ctx context.Context, app *App, args []string) (int, error) {
	e, err := app.engineAsCaller()
	if err != nil {
		return 0, err
	}
	titles, rows, err := e.Containers.Top(args[0], args[1:])
	if err != nil {
		return 0, Within(args[0], err)
	}
	var b strings.Builder
	lines := append([][]string{titles}, rows...)
	widths := make([]int, len(titles))
	for _, l := range lines {
		for i, s := range l {
			widths[i] = max(widths[i], utf8.RuneCountInString(s)+3, 20) // Docker's
		}
	}
	for _, l := range lines {
		for i, s := range l {
			b.WriteString(s)
			if i < len(l)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(s)))
			}
		}
		b.WriteByte('\n')
	}
	app.Print(b.String())
	return 0, nil
}
