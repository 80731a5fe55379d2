package api

import (
	"time"
)

// ImageSummary is one line of a list of images: one per tag, or one without
// a tag for an image that has none.
type ImageSummary struct {
	ID       string // sha256:… of the configuration
	Name     string // as the user named it, without the tag; may be empty
	Tag      string
	Digest   string // of the manifest or index that the name means in a registry, may be empty
	Created  time.Time
	Size     int64 // bytes, unpacked
	Platform string
	Labels   map[string]string

	Containers int // that use it, running or not
}

// ImportOptions describe an image that is made from a file tree.
type ImportOptions struct {
	Name    string   // name[:tag]
	Message string   // history comment
	Changes []string // Dockerfile instructions: CMD, ENTRYPOINT, ENV, USER, WORKDIR, LABEL, …
}

// RemovedImage says what removing an image did: exactly one field is set.
type RemovedImage struct {
	Untagged string `json:",omitempty"`
	Deleted  string `json:",omitempty"`
}

// ImageListOptions choose images.
type ImageListOptions struct {
	Filters // before, dangling, label, reference, since, until
	// Until reads the times of the filter until. With nil they are refused.
	Until func(string) (time.Time, error)
}

// HistoryItem is one step of an image's making, the newest first.
type HistoryItem struct {
	ID        string `json:"Id"` // of the image for the newest, else "<missing>"
	Created   time.Time
	CreatedBy string
	Size      int64 // bytes that the step added
	Comment   string
	Tags      []string
}

// ImagePruneOptions choose what to remove.
type ImagePruneOptions struct {
	All     bool // also images that have a name and that no container uses
	Filters      // label, label!, until
	// Until reads the times of the filter until.
	Until func(string) (time.Time, error)
}

// ImagesPruned is what a prune has removed.
type ImagesPruned struct {
	Removed []RemovedImage
	Bytes   int64 // given back
}

// ImageMount is an image that is mounted for people to look at.
type ImageMount struct {
	ID   string // of the image
	Path string // where it is
}

// ImageInfo is all that is known of an image, in the shape of Docker's API.
type ImageInfo struct {
	ID            string `json:"Id"`
	RepoTags      []string
	RepoDigests   []string
	Parent        string // always empty: there are no intermediate images
	Comment       string `json:",omitempty"`
	Created       string `json:",omitempty"`
	DockerVersion string
	Author        string `json:",omitempty"`
	Config        ImageConfig
	Architecture  string
	Variant       string `json:",omitempty"`
	Os            string
	Size          int64 // bytes, unpacked
	GraphDriver   GraphDriver
	RootFS        ImageRootFS
	Metadata      struct{ LastTagTime string }
}

// ImageConfig is what an image gives to its containers.
type ImageConfig struct {
	User         string              `json:",omitempty"`
	ExposedPorts map[string]struct{} `json:",omitempty"`
	Env          []string            `json:",omitempty"`
	Entrypoint   []string            `json:",omitempty"`
	Cmd          []string            `json:",omitempty"`
	Volumes      map[string]struct{} `json:",omitempty"`
	WorkingDir   string              `json:",omitempty"`
	Labels       map[string]string   `json:",omitempty"`
	StopSignal   string              `json:",omitempty"`
	Healthcheck  *Healthcheck        `json:",omitempty"`
	OnBuild      []string            `json:",omitempty"`
	Shell        []string            `json:",omitempty"`
}

// ImageRootFS names the layers by the digests of their content, lowest first.
type ImageRootFS struct {
	Type   string
	Layers []string
}

// Change is a file of a container that differs from its image's.
type Change struct {
	Kind string // "C" changed, "A" added, "D" deleted
	Path string // absolute, in the container
}

// GraphDriver says where a root file system is: UpperDir, LowerDir, WorkDir
// and, while it is mounted, MergedDir.
type GraphDriver struct {
	Data map[string]string
	Name string
}

// StorageDriver is the name of the one there is.
const StorageDriver = "overlay"

// Stamp is a time in Docker's form; the zero time too.
func Stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
