// Package archive reads and writes images as tar archives and directories.
//
// What it writes is both at once: an OCI image layout (image-spec,
// image-layout.md) and, beside it, the manifest.json and repositories files of
// `docker save`, which point at the same blobs. So Docker, Podman, skopeo and
// containerd read it, and manifests and layers stay as they were, bit for bit.
//
// What it reads is either of the two, from any of those programs, in one pass:
// layers are unpacked while the archive comes, before it is known which image
// they belong to.
package archive

import (
	"github.com/tare-engine/tare/internal/image/store"
)

// Names in archives.
const (
	fileManifest = "manifest.json"
	fileRepos    = "repositories"
	fileIndex    = "index.json"
	fileLayout   = "oci-layout"
	blobDir      = "blobs/sha256/"

	layoutVersion = `{"imageLayoutVersion":"1.0.0"}`
)

// Annotations of an index entry with the name of an image. The first one is
// containerd's and has the whole name, the other one is image-spec's and has
// often only the tag.
const (
	annotationName = "io.containerd.image.name"
	annotationRef  = "org.opencontainers.image.ref.name"
	// attestation marks manifests that are no images (buildkit).
	attestation = "vnd.docker.reference.type"
)

// dockerImage is an entry of manifest.json.
type dockerImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// index is image-spec's image-index.md, in the order in which it is written.
type index struct {
	SchemaVersion int                `json:"schemaVersion"`
	MediaType     string             `json:"mediaType,omitempty"`
	Manifests     []store.Descriptor `json:"manifests"`
}

const mediaIndex = "application/vnd.oci.image.index.v1+json"
