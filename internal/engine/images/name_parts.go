package images

import (
	"github.com/tare-engine/tare/internal/image/reference"
	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/state/events"
)

// ErrNoImage is in every error about an image that is not here.
var ErrNoImage = store.ErrNotFound

// Note writes an event of an image into the journal: pull, push, tag, …
func (im *Room) Note(action, id, name string) {
	if err := im.Events.Append(events.OfImage(action, id, name, nil)); err != nil && im.Warn != nil {
		im.Warn(err.Error())
	}
}

// IsBuiltIn reports whether ref means the image that comes with tare.
func IsBuiltIn(ref string) bool { return isBase(ref) }

// TaggedName returns ref as a user would write it, with the tag that it
// stands for.
func TaggedName(ref string) string {
	r, err := reference.Parse(ref)
	if err != nil {
		return ref
	}
	return r.Tagged().Familiar()
}

// Parts returns what a name says besides the repository: tag and digest, both
// empty for the default tag.
func Parts(ref string) (tag, digest string, err error) {
	r, err := reference.Parse(ref)
	return r.Tag, r.Digest, err
}

// Repository returns the whole name of an image's repository.
func Repository(ref string) string { return parsed(ref).Name() }

// Path returns a repository's name within its registry.
func Path(ref string) string { return parsed(ref).Path }

// Meant returns what a name means of its repository: a tag, or the repository
// with the digest.
func Meant(ref string) string {
	r := parsed(ref)
	if r.Digest != "" {
		return r.FamiliarName() + "@" + r.Digest
	}
	return r.Tag
}

// parsed reads a name that was read before.
func parsed(ref string) reference.Ref {
	r, err := reference.Parse(ref)
	if err != nil {
		return reference.Ref{}
	}
	return r
}
