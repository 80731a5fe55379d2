package containers

import (
	"slices"
	"testing"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/ground"
	"github.com/tare-engine/tare/internal/keeper/logs"
)

// TestLogOfNewContainer: the settings are resolved before the container has a
// name, and tell the one that it will have, and its image's environment.
func TestLogOfNewContainer(t *testing.T) {
	e := testEngine(t)
	c := testContainer("true")
	c.Env = []string{"A=1"}
	c.HostConfig.LogConfig = api.LogConfig{Type: "json-file", Config: map[string]string{"tag": "{{.Name}}", "env": "A,B"}}
	s, err := drafted(t.Context(), e, c)
	if err != nil {
		t.Fatal(err)
	}
	if want := []logs.Attr{{Key: "A", Value: "1"}, {Key: "tag", Value: ground.MadeUpName(s.id)}}; !slices.Equal(s.log.Attrs, want) {
		t.Errorf("%v, want %v", s.log.Attrs, want)
	}
}
