package store

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// Details is what an image's configuration says and its record does not.
type Details struct {
	Author  string
	DiffIDs []string // digests of the uncompressed layers, lowest first
	History []HistoryEntry
}

// HistoryEntry is one step of an image's making.
type HistoryEntry struct {
	Created    time.Time `json:"created"`
	CreatedBy  string    `json:"created_by"`
	Author     string    `json:"author"`
	Comment    string    `json:"comment"`
	EmptyLayer bool      `json:"empty_layer"`
}

// Details reads the configuration of an image. A null entry of its history is
// left out.
func (s *Store) Details(m *Image) (*Details, error) {
	text, err := readSmall(s.blobPath(m.ID))
	if err != nil {
		return nil, fmt.Errorf("read the configuration of %s: %w", m.ShortID(), err)
	}
	var f struct {
		Author string `json:"author"`
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
		History []*HistoryEntry `json:"history"`
	}
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		return nil, fault.New(fault.Internal, "read the configuration of %s: %w", m.ShortID(), err)
	}
	out := &Details{Author: f.Author, DiffIDs: f.RootFS.DiffIDs}
	for _, h := range f.History {
		if h != nil {
			out.History = append(out.History, *h)
		}
	}
	return out, nil
}
