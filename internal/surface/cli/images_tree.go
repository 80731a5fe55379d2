package cli

import (
	"strings"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/engine"
)

// printTree prints each name with the platforms that are here of it.
func printTree(app *App, e *engine.Engine, list []api.ImageSummary) error {
	groups := map[string][]int{}
	var order []string
	for i := range list {
		key := list[i].ID
		if list[i].Name != "" {
			key = list[i].Name + ":" + orNone(list[i].Tag)
		}
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], i)
	}
	lines := [][]string{{"IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "USED"}}
	for n, key := range order {
		if n > 0 {
			lines = append(lines, []string{""})
		}
		var rows [][]string
		disk, content, used := int64(0), int64(0), ""
		members := groups[key]
		for k, i := range members {
			m := &list[i]
			c, err := e.Images.ContentSize(m.ID)
			if err != nil {
				return err
			}
			mark, branch := "", "├─ "
			if k == len(members)-1 {
				branch = "└─ "
			}
			if m.Containers > 0 {
				mark, used = "✔", "✔"
			}
			disk, content = disk+m.Size, content+c
			rows = append(rows, []string{branch + m.Platform, ShortImageID(m.ID), Size(m.Size), Size(c), mark})
		}
		if strings.HasPrefix(key, "sha256:") {
			key = "<none>"
		}
		lines = append(append(lines, []string{key, ShortImageID(list[members[0]].ID), Size(disk), Size(content), used}), rows...)
	}
	app.Print(Lines(lines, true))
	return nil
}

// ShortImageID is what tables show of an image ID.
func ShortImageID(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(shortLen, len(id))]
}
