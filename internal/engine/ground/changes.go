package ground

import (
	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/storage/snapshot"
)

// Changes is what a comparison of file trees found, as callers are told of it.
func Changes(list []snapshot.Change) []api.Change {
	out := make([]api.Change, len(list))
	for i, c := range list {
		out[i] = api.Change{Kind: string(rune(c.Kind)), Path: c.Path}
	}
	return out
}
