package runc

import "github.com/tare-engine/tare/internal/container"

type featuresOptions struct{}

func (featuresOptions) run(a *App, _ []string) error {
	f := container.Features()
	f.Annotations = map[string]string{"org.tare.version": Version}
	return a.printJSON(f, "    ")
}
