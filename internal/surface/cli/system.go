package cli

import (
	"context"
)

func systemBootCommand() Command {
	return Command{
		Name: "system boot", Short: "Start what its restart policy wants to run after a reboot",
		Long:     "A service manager calls it when the machine has come up. What has been started since then is left alone.",
		Complete: CompleteNothing,
		New:      func() Action { return systemBootAction{} },
	}
}

type systemBootAction struct{}

func (systemBootAction) Run(ctx context.Context, app *App, _ []string) (int, error) {
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	started, err := e.Containers.Boot(ctx)
	for _, id := range started {
		app.Print(id + "\n")
	}
	return 0, err
}
