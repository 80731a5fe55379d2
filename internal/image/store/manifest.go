package store

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// Media types of Docker's schema 2 (distribution, manifest-v2-2.md).
const (
	mediaIndex        = "application/vnd.oci.image.index.v1+json"
	mediaLayerZstd    = "application/vnd.oci.image.layer.v1.tar+zstd"
	mediaDockerIndex  = "application/vnd.docker.distribution.manifest.list.v2+json"
	mediaDocker       = "application/vnd.docker.distribution.manifest.v2+json"
	mediaDockerConfig = "application/vnd.docker.container.image.v1+json"
)

// Descriptor names content by its digest (image-spec, descriptor.md).
type Descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"` // "sha256:HEX"
	Size        int64             `json:"size"`   // bytes
	Annotations map[string]string `json:"annotations,omitempty"`
	Platform    *IndexPlatform    `json:"platform,omitempty"` // in an index
}

// IndexPlatform is what an index says of a manifest's platform.
type IndexPlatform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	OSVersion    string `json:"os.version,omitempty"`
	Variant      string `json:"variant,omitempty"`
}

// Platform returns p in the form that the store uses.
func (p *IndexPlatform) Platform() Platform {
	if p == nil {
		return Platform{}
	}
	return Platform{p.OS, p.Architecture, p.Variant}
}

// Manifest is an image manifest, with Config and Layers, or an index, with
// Manifests.
type Manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType,omitempty"`
	Config        Descriptor        `json:"config"`
	Layers        []Descriptor      `json:"layers"`
	Manifests     []Descriptor      `json:"manifests"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// IsIndex reports whether m lists manifests.
func (m *Manifest) IsIndex() bool {
	return m.MediaType == mediaIndex || m.MediaType == mediaDockerIndex || m.MediaType == "" && m.Config.Digest == "" && len(m.Manifests) > 0
}

// ParseManifest parses a manifest or an index, OCI's or Docker's schema 2, and
// checks it against the limits. mediaType is what its descriptor or the server
// said and may be empty, as may the field of that name. The errors are Invalid,
// or Unsupported for schema 1 and for what is no container image.
func ParseManifest(mediaType string, data []byte, l Limits) (Manifest, error) {
	l = l.orDefault()
	if int64(len(data)) > l.Manifest {
		return Manifest{}, fault.New(fault.Invalid, "parse manifest: larger than %d bytes", l.Manifest)
	}
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fault.New(fault.Invalid, "parse manifest: %w", err)
	}
	if m.SchemaVersion == 1 {
		return m, fault.New(fault.Unsupported, "parse manifest: schema version 1 is not supported")
	}
	if m.MediaType == "" {
		m.MediaType = mediaType
	}
	// A document that is both could be read as one thing here and as another
	// elsewhere (CVE-2021-41190).
	if len(m.Manifests) > 0 && (m.Config.Digest != "" || len(m.Layers) > 0) {
		return m, fault.New(fault.Invalid, "parse manifest: it is a manifest and an index at once")
	}
	if m.IsIndex() {
		return m, checkDescriptors(m.Manifests, l)
	}
	if m.Config.Digest == "" {
		return m, fault.New(fault.Invalid, "parse manifest: it names no config")
	}
	if len(m.Layers) > l.Layers {
		return m, fault.New(fault.Invalid, "parse manifest: %d layers, the limit is %d", len(m.Layers), l.Layers)
	}
	if m.Config.Size > l.Manifest {
		return m, fault.New(fault.Invalid, "parse manifest: the config has %d bytes, the limit is %d", m.Config.Size, l.Manifest)
	}
	return m, checkDescriptors(append([]Descriptor{m.Config}, m.Layers...), l)
}

func checkDescriptors(list []Descriptor, l Limits) error {
	for i := range list {
		d := &list[i]
		if !validID(d.Digest) {
			return fault.New(fault.Unsupported, "parse manifest: digest %.80q is not supported", d.Digest)
		}
		if d.Size < 0 || d.Size > l.Layer.Bytes {
			return fault.New(fault.Invalid, "parse manifest: %s has %d bytes, the limit is %d", d.Digest, d.Size, l.Layer.Bytes)
		}
	}
	return nil
}

// ConfigFile is what the store needs of an image's config.
type ConfigFile struct {
	Platform Platform
	Created  time.Time
	Config   api.ImageDefaults
	DiffIDs  []string // bottom first
}

// ParseConfig parses the config of an image. The error is Invalid, or
// Unsupported when it is the config of something else.
func ParseConfig(data []byte) (ConfigFile, error) {
	var f configFile
	if err := json.Unmarshal(data, &f); err != nil {
		return ConfigFile{}, fault.New(fault.Invalid, "parse image config: %w", err)
	}
	if f.RootFS.Type != "layers" && (f.RootFS.Type != "" || len(f.RootFS.DiffIDs) == 0) {
		return ConfigFile{}, fault.New(fault.Unsupported, "parse image config: it is no container image")
	}
	for _, d := range f.RootFS.DiffIDs {
		if !validID(d) {
			return ConfigFile{}, fault.New(fault.Unsupported, "parse image config: diff id %.80q is not supported", d)
		}
	}
	p := Platform{f.OS, f.Architecture, f.Variant}
	if p.OS == "" {
		p.OS = "linux"
	}
	if p.Arch == "" {
		p.Arch = HostPlatform().Arch
	}
	if _, err := ParsePlatform(p.String()); err != nil {
		return ConfigFile{}, err
	}
	c := &f.Config
	out := ConfigFile{Platform: p, DiffIDs: f.RootFS.DiffIDs, Config: api.ImageDefaults{
		User: c.User, Env: c.Env, Entrypoint: c.Entrypoint, Cmd: c.Cmd, WorkingDir: c.WorkingDir, Volumes: sortedKeys(c.Volumes),
		ExposedPorts: sortedKeys(c.ExposedPorts), Labels: c.Labels, StopSignal: c.StopSignal, Shell: c.Shell, OnBuild: c.OnBuild,
	}}
	if h := strings.TrimSpace(string(c.Healthcheck)); h != "" && h != "null" {
		out.Config.Healthcheck = []byte(h)
	}
	if f.Created != nil {
		out.Created = f.Created.UTC()
	}
	return out, nil
}

// ChainIDs returns the chain id of each layer (image-spec, config.md).
func ChainIDs(diffIDs []string) []string {
	chains := make([]string, len(diffIDs))
	parent := ""
	for i, d := range diffIDs {
		parent = chainID(parent, d)
		chains[i] = parent
	}
	return chains
}

// Select returns the manifest of an index for p; the zero Platform is the
// host's. The error is NotFound and names what there is.
func (m *Manifest) Select(p Platform) (Descriptor, error) {
	if p == (Platform{}) {
		p = HostPlatform()
	}
	var have []string
	for _, d := range m.Manifests {
		if d.Platform == nil || d.Annotations["vnd.docker.reference.type"] != "" {
			continue
		}
		if d.Platform.Platform().matches(p) {
			return d, nil
		}
		if s := d.Platform.Platform().String(); !slices.Contains(have, s) {
			have = append(have, s)
		}
	}
	if len(m.Manifests) == 1 && m.Manifests[0].Platform == nil {
		return m.Manifests[0], nil // archives leave it out
	}
	return Descriptor{}, fault.New(fault.NotFound, "choose platform %s: the image is for %s", p, strings.Join(have, ", "))
}
