package cold

import (
	"context"
	"strconv"
	"strings"

	"github.com/tare-engine/tare/cli"
	"github.com/tare-engine/tare/fault"
)

// search looks for images in a registry.
type search struct {
	format   string
	full     bool
	limit    int
	official *bool
	stars    int
}

func (s *search) Set(flag, v string) error {
	switch flag {
	case "filter":
		return s.filter(v)
	case "format":
		s.format = v
	case "limit":
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 100 {
			return fault.New(fault.Invalid, "not a number from 1 to 100")
		}
		s.limit = n
	case "no-trunc":
		return cli.SetBool(&s.full, v)
	}
	return nil
}

func (s *search) filter(v string) error {
	key, value, _ := strings.Cut(v, "=")
	switch key {
	case "is-official":
		var b bool
		if err := cli.SetBool(&b, value); err != nil {
			return err
		}
		s.official = &b
		return nil
	case "stars":
		n, err := strconv.Atoi(value)
		if err != nil {
			return fault.New(fault.Invalid, "not a number")
		}
		s.stars = n
		return nil
	}
	return fault.New(fault.Invalid, "invalid filter '%s'", key)
}

// maxDescription is how much of a description a table shows.
const maxDescription = 45

func (s *search) Run(ctx context.Context, app *cli.App, args []string) (int, error) {
	domain, term := "docker.io", args[0]
	if first, rest, ok := strings.Cut(args[0], "/"); ok && (strings.ContainsAny(first, ".:") || first == "localhost") {
		domain, term = first, rest
	}
	c, err := client(app)
	if err != nil {
		return 0, err
	}
	if s.limit == 0 {
		s.limit = 25
	}
	found, err := c.Search(ctx, domain, term, s.limit)
	if err != nil {
		return 0, err
	}
	rows := [][]cli.Cell{}
	for _, f := range found {
		if s.official != nil && f.Official != *s.official || f.Stars < s.stars {
			continue
		}
		name, about := f.Name, strings.Join(strings.Fields(f.Description), " ")
		if domain != "docker.io" {
			name = domain + "/" + name
		}
		if !s.full {
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
	text, err := app.Render(s.format, []string{"NAME", "Name", "DESCRIPTION", "Description", "STARS", "StarCount", "OFFICIAL", "IsOfficial"}, rows)
	if err != nil {
		return 0, err
	}
	app.Print(text)
	return 0, nil
}
