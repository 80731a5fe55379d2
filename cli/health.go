package cli

import (
	"context"
	"strconv"
	"time"

	"github.com/tare-engine/tare/engine"
	"github.com/tare-engine/tare/fault"
)

// setHealth takes the flags --health-… of run and create.
func setHealth(c *engine.ContainerConfig, flag, v string) (err error) {
	if flag == "health-on-failure" {
		c.HealthOnFailure, err = engine.ParseHealthOnFailure(v)
		return err
	}
	if c.Healthcheck == nil {
		c.Healthcheck = &engine.Healthcheck{}
	}
	h := c.Healthcheck
	duration := func(to *int64) error {
		d, err := time.ParseDuration(v)
		if err != nil || d < 0 {
			return fault.New(fault.Invalid, "not a duration such as 30s or 1m30s")
		}
		*to = int64(d)
		return nil
	}
	switch flag {
	case "health-cmd":
		h.Test = []string{"CMD-SHELL", v}
	case "health-interval":
		return duration(&h.Interval)
	case "health-retries":
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			return fault.New(fault.Invalid, "not a number, 0 or more")
		}
		h.Retries = n
	case "health-start-interval":
		return duration(&h.StartInterval)
	case "health-start-period":
		return duration(&h.StartPeriod)
	case "health-timeout":
		return duration(&h.Timeout)
	}
	return nil
}

// disableHealth is --no-healthcheck.
func disableHealth(c *engine.ContainerConfig) error {
	if c.Healthcheck != nil || c.HealthOnFailure != "" {
		return fault.New(fault.Invalid, "--no-healthcheck conflicts with --health-* options")
	}
	c.Healthcheck = &engine.Healthcheck{Test: []string{"NONE"}}
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

func (healthcheckAction) Set(string, string) error { return nil }

func (healthcheckAction) Run(ctx context.Context, app *App, args []string) (int, error) {
	e, err := app.Engine()
	if err != nil {
		return engine.ExitEngine, err
	}
	h, err := e.Containers.CheckHealth(ctx, args[0])
	if err != nil {
		return engine.ExitEngine, Within(args[0], err)
	}
	if len(h.Log) > 0 && h.Log[len(h.Log)-1].ExitCode == 0 {
		return 0, nil
	}
	app.Print(h.Status + "\n")
	return 1, nil
}
