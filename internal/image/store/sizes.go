package store

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// LayerSizes returns the bytes of the regular files in each unpacked layer, by
// its key: those of [Image.Layers], and such as no image has any more.
func (s *Store) LayerSizes() (map[string]int64, error) {
	keys, err := s.entries("layers")
	if err != nil {
		return nil, err
	}
	sizes := make(map[string]int64, len(keys))
	for _, k := range keys {
		meta, err := readSmall(s.layerDir(k) + "/meta")
		if errors.Is(err, unix.ENOENT) {
			continue // being removed
		}
		if err != nil {
			return nil, err
		}
		n, err := strconv.ParseInt(metaField(meta, "size"), 10, 64)
		if err != nil {
			n = 0 // damaged: a check finds it
		}
		sizes[k] = n
	}
	return sizes, nil
}
