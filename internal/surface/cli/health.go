package cli

import (
	"context"
	"strconv"
	"time"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/lib/exit"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// parseHealthTime reads a time of the flags --health-….
func parseHealthTime(v string) (int64, error) {
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 {
		return 0, fault.New(fault.Invalid, "not a duration such as 30s or 1m30s")
	}
	return int64(d), nil
}

func parseRetries(v string) (int, error) {
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		return 0, fault.New(fault.Invalid, "not a number, 0 or more")
	}
	return n, nil
}

// disableHealth is --no-healthcheck.
func disableHealth(c *api.ContainerConfig) error {
	if c.Healthcheck != nil || c.HealthOnFailure != "" {
		return fault.New(fault.Invalid, "--no-healthcheck conflicts with --health-* options")
	}
	c.Healthcheck = &api.Healthcheck{Test: []string{"NONE"}}
	return nil
}

func healthcheckCommand() Command {
	return Command{
		Name: "healthcheck run", Args: "CONTAINER", Short: "Check the health of a container now",
		Long:    "The exit code is 0 when the check succeeds, and 1 when it fails. The result counts as one of the container's own checks.",
		MinArgs: 1, MaxArgs: 1, Complete: CompleteContainers,
		New: func() Action { return healthcheckAction{} },
	}
}

type healthcheckAction struct{}

func (healthcheckAction) Run(ctx context.Context, app *App, args []string) (int, error) {
	e, err := app.Engine()
	if err != nil {
		return exit.Engine, err
	}
	h, err := e.Containers.CheckHealth(ctx, args[0])
	if err != nil {
		return exit.Engine, Within(args[0], err)
	}
	if len(h.Log) > 0 && h.Log[len(h.Log)-1].ExitCode == 0 {
		return 0, nil
	}
	app.Print(h.Status + "\n")
	return 1, nil
}
