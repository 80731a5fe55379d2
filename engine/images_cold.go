package engine

import (
	"github.com/tare-engine/tare/image"
	"github.com/tare-engine/tare/reference"
)

// ErrNoImage is in every error about an image that is not here.
var ErrNoImage = image.ErrNotFound

// Store returns the image store, for what only tared does with it: pull and
// push.
func (is *Images) Store() *image.Store { return is.e.images }

// Note writes an event of an image into the journal: pull, push, tag, …
func (is *Images) Note(action, id, name string) { is.e.noteImage(action, id, name) }

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
