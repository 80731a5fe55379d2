package api

import (
	"io"
)

// LayerState is what happens to one layer.
type LayerState uint8

// The states, in the words of Docker's lines.
const (
	Waiting LayerState = iota
	Exists
	Downloading
	Extracting
	Complete
	Preparing
	Pushing
	Mounted
	Present
	Pushed
)

func (s LayerState) String() string {
	return [...]string{
		"Waiting", "Already exists", "Downloading", "Extracting", "Pull complete",
		"Preparing", "Pushing", "Mounted", "Layer already exists", "Pushed",
	}[s]
}

// Reporter is told what a transfer of images does. Calls come from several
// goroutines at once, but for Image and Done.
type Reporter interface {
	// Image says that what follows is of the image that the user would call so.
	Image(ref string)
	// Note is a line about the whole.
	Note(text string)
	// Layer says what happens to the blob of a layer of size bytes.
	Layer(digest string, size int64, s LayerState)
	// Moved says that n more of its bytes have come, or gone.
	Moved(digest string, n int)
	// Done says that an image has come, or gone.
	Done(m *Transferred)
}

// Quiet is a reporter that nobody looks at.
type Quiet struct{}

// Image implements Reporter.
func (Quiet) Image(string) {}

// Done implements Reporter.
func (Quiet) Done(*Transferred) {}

// Note implements Reporter.
func (Quiet) Note(string) {}

// Layer implements Reporter.
func (Quiet) Layer(string, int64, LayerState) {}

// Moved implements Reporter.
func (Quiet) Moved(string, int) {}

// PlaceKind is a kind of place where images are.
type PlaceKind uint8

// The kinds.
const (
	InStore     PlaceKind = iota // the engine's own
	InRegistry                   //
	InArchive                    // a tar archive: Docker's or OCI's
	InDirectory                  // an OCI layout, or an unpacked archive
	InTree                       // a file tree, as a directory or a tar archive: it becomes one layer
)

func (k PlaceKind) String() string {
	return [...]string{"store", "registry", "archive", "directory", "file tree"}[k]
}

// Place is where images are brought from, or sent to. One side of a transfer is
// the store.
type Place struct {
	Kind     PlaceKind
	Refs     []string // what is meant of the place, as the user names it; in the store of a transfer into it, nothing
	AllTags  bool     // every tag of the repositories in Refs
	Platform string   // os/arch[/variant]; "": the host's, or the only one

	Path string    // of an archive, a directory or a tree; "": In or Out
	In   io.Reader // of an archive or a tree
	Out  io.Writer // of an archive
	OCI  bool      // an archive without what only Docker reads

	Import *ImportOptions // of a tree
}

// Transferred is an image that has come, or gone.
type Transferred struct {
	Ref    string   // what the transfer called it: the name in a registry
	ID     string   // sha256:… of its configuration; "" where it was sent
	Names  []string // that it has now, as a user would write them
	Digest string   // of what the name means in a registry, a manifest or an index
	Size   int64    // of that, in bytes
	Fresh  bool     // there was something new
}
