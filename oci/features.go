package oci

import tareruntime "github.com/tare-engine/tare/runtime"

func newFeatures(*flags) action {
	return func(a *App, _ []string) error {
		f := tareruntime.Features()
		f.Annotations = map[string]string{"org.tare.version": Version}
		return a.printJSON(f, "    ")
	}
}
