package cold

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/surface/cli"
)

// history shows how an image was made.
type history struct{ *cli.HistoryOptions }

// maxCreatedBy is how much of a step's command a table shows.
const maxCreatedBy = 45

func (h history) Run(ctx context.Context, app *cli.App, args []string) (int, error) {
	e, err := app.Engine()
	if err != nil {
		return 0, err
	}
	list, err := e.Images.History(args[0])
	if err != nil {
		return 0, err
	}
	rows := make([][]cli.Cell, len(list))
	for i := range list {
		rows[i] = h.row(&list[i], time.Now())
	}
	if h.Quiet {
		app.Print(cli.IDs(rows))
		return 0, nil
	}
	text, err := app.Render(h.Format, []string{"IMAGE", "ID", "CREATED", "CreatedSince", "CREATED BY", "CreatedBy", "SIZE", "Size", "COMMENT", "Comment"}, rows)
	if err != nil {
		return 0, err
	}
	app.Print(text)
	return 0, nil
}

func (h history) row(i *api.HistoryItem, now time.Time) []cli.Cell {
	id, by, since, bytes := i.ID, strings.ReplaceAll(i.CreatedBy, "\t", " "), "N/A", cli.Size(i.Size)
	at := i.Created.Format(time.RFC3339)
	if !h.Full {
		id, by = cli.ShortImageID(id), cli.Clip(by, maxCreatedBy)
	}
	if !i.Created.IsZero() && i.Created.Unix() != 0 {
		since = cli.Ago(i.Created, now)
	}
	if !h.Human {
		since, bytes = at, strconv.FormatInt(i.Size, 10)
	}
	return []cli.Cell{{Name: "Comment", Value: i.Comment}, {Name: "CreatedAt", Value: at}, {Name: "CreatedBy", Value: by}, {Name: "CreatedSince", Value: since}, {Name: "ID", Value: id}, {Name: "Size", Value: bytes}}
}
