package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"github.com/tare-engine/tare/internal/engine"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
)

func inspectCommand() Command {
	return Command{
		Name: "inspect", Args: "NAME|ID [NAME|ID...]", Short: "Show all that is known of containers and images",
		Example: "tare inspect web\ntare inspect -f '{{.State.Status}} {{.State.ExitCode}}' web\ntare inspect --type image tare/base",
		Flags:   inspectFlags, MinArgs: 1, MaxArgs: -1, Complete: CompleteContainers,
		New: func() Action { return &inspectAction{kinds: []string{"container", "image"}} },
	}
}

func inspectContainerCommand() Command {
	return Command{
		Name: "container inspect", Args: "CONTAINER [CONTAINER...]", Short: "Show all that is known of containers",
		Flags: inspectFlags[:2], MinArgs: 1, MaxArgs: -1, Complete: CompleteContainers,
		New: func() Action { return &inspectAction{kinds: []string{"container"}} },
	}
}

func inspectImageCommand() Command {
	return Command{
		Name: "image inspect", Args: "IMAGE [IMAGE...]", Short: "Show all that is known of images",
		Flags: inspectFlags[:1], MinArgs: 1, MaxArgs: -1, Complete: CompleteImages,
		New: func() Action { return &inspectAction{kinds: []string{"image"}} },
	}
}

var inspectFlags = []flags.Flag{
	{
		Name: "format", Short: 'f', Value: "string", Usage: "Format of the output: json (one line) or a template of {{.Name}}",
		Set: func(a any, v string) error { return flags.String(&a.(*inspectAction).format, v) },
	},
	{Name: "size", Short: 's', Usage: "Add the size of what a container has written", Set: func(a any, v string) error { return flags.Bool(&a.(*inspectAction).size, v) }},
	{
		Name: "type", Value: "string", Usage: "Look among containers or among images only", Words: []string{"container", "image"},
		Set: func(a any, v string) error {
			if v != "container" && v != "image" {
				return fault.New(fault.Invalid, "%q is not a valid value for --type", v)
			}
			a.(*inspectAction).kinds = []string{v}
			return nil
		},
	},
}

type inspectAction struct {
	kinds  []string
	format string
	size   bool
}

func (a *inspectAction) Run(ctx context.Context, app *App, args []string) (int, error) {
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	var found []any
	var missing []error
	for _, arg := range args {
		v, err := a.find(e, arg)
		if err != nil {
			missing = append(missing, Within(arg, err))
			continue
		}
		found = append(found, v)
	}
	text, err := a.render(app, found)
	if err != nil {
		return 0, err
	}
	app.Print(text)
	code := 0
	for _, err := range missing {
		code = app.fail(exitError, "inspect", err)
	}
	return code, nil
}

func (a *inspectAction) find(e *engine.Engine, arg string) (any, error) {
	for _, kind := range a.kinds {
		var v any
		var err error
		if kind == "container" {
			v, err = e.Containers.Inspect(arg, a.size)
		} else {
			v, err = e.Images.Inspect(arg)
		}
		if err == nil || len(a.kinds) == 1 || fault.KindOf(err) != fault.NotFound && fault.KindOf(err) != fault.Invalid {
			return v, err
		}
	}
	return nil, fault.New(fault.NotFound, "no such object: %s", arg)
}

func (a *inspectAction) render(app *App, list []any) (string, error) {
	switch a.format {
	case "":
		if len(list) == 0 {
			return "[]\n", nil
		}
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "    ")
		err := e.Encode(list)
		return b.String(), err
	case "json":
		if len(list) == 0 {
			return "[]\n", nil
		}
		text, err := compactJSON(list)
		return string(text) + "\n", err
	}
	var b strings.Builder
	for _, v := range list {
		s, err := app.Fill(a.format, v)
		if err != nil {
			return "", err
		}
		b.WriteString(s + "\n")
	}
	return b.String(), nil
}
