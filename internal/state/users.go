package state

import (
	"errors"
	"syscall"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// Users returns the names of the containers that use something, by what they
// use: an image's id, a network, a volume, as uses tells of a record. It is how
// "in use" is answered, whoever asks. A record that is damaged uses nothing, for
// its container cannot start again; one that cannot be read just now, or is of a
// newer tare, is an error.
func (s *Store) Users(uses func(*Record) []string) (map[string][]string, error) {
	ids, err := s.IDs()
	if err != nil {
		return nil, err
	}
	users := make(map[string][]string)
	for _, id := range ids {
		r, err := s.Get(id)
		var no syscall.Errno
		switch kind := fault.KindOf(err); {
		case err == nil:
		case kind == fault.NotFound, kind == fault.Internal && !errors.As(err, &no):
			continue
		default:
			return nil, err
		}
		for _, key := range uses(r) {
			users[key] = append(users[key], r.Name)
		}
	}
	return users, nil
}
