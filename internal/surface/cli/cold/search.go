package cold

import (
	"context"
	"strconv"
	"strings"

	"github.com/tare-engine/tare/internal/surface/cli"
	"github.com/tare-engine/tare/internal/surface/cli/cold/carriers"
)

// search looks for images in a registry.
type search struct{ *cli.SearchOptions }

// maxDescription is how much of a description a table shows.
const maxDescription = 45

func (s search) Run(ctx context.Context, app *cli.App, args []string) (int, error) {
	domain, term := "docker.io", args[0]
	if first, rest, ok := strings.Cut(args[0], "/"); ok && (strings.ContainsAny(first, ".:") || first == "localhost") {
		domain, term = first, rest
	}
	c, err := carriers.Client(app)
	if err != nil {
		return 0, err
	}
	found, err := c.Search(ctx, domain, term, s.Limit)
	if err != nil {
		return 0, err
	}
	rows := [][]cli.Cell{}
	for _, f := range found {
		if s.Official != nil && f.Official != *s.Official || f.Stars < s.Stars {
			continue
		}
		name, about := f.Name, strings.Join(strings.Fields(f.Description), " ")
		if domain != "docker.io" {
			name = domain + "/" + name
		}
		if !s.Full {
			about = cli.Clip(about, maxDescription)
		}
		official := ""
		if f.Official {
			official = "[OK]"
		}
		rows = append(rows, []cli.Cell{
			{Name: "Description", Value: about},
			{Name: "IsOfficial", Value: official},
			{Name: "Name", Value: name},
			{Name: "StarCount", Value: strconv.Itoa(f.Stars)},
		})
	}
	text, err := app.Render(s.Format, []string{"NAME", "Name", "DESCRIPTION", "Description", "STARS", "StarCount", "OFFICIAL", "IsOfficial"}, rows)
	if err != nil {
		return 0, err
	}
	app.Print(text)
	return 0, nil
}
