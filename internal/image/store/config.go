package store

import (
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// Media types (image-spec, media-types.md).
const (
	mediaManifest  = "application/vnd.oci.image.manifest.v1+json"
	mediaConfig    = "application/vnd.oci.image.config.v1+json"
	mediaLayer     = "application/vnd.oci.image.layer.v1.tar"
	mediaLayerGzip = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// The JSON below is image-spec's config.md and manifest.md, with the fields
// that Docker adds.

type configFile struct {
	Created      *time.Time `json:"created,omitempty"`
	Architecture string     `json:"architecture"`
	Variant      string     `json:"variant,omitempty"`
	OS           string     `json:"os"`
	Config       runConfig  `json:"config"`
	RootFS       rootFS     `json:"rootfs"`
	History      []history  `json:"history,omitempty"`
}

type runConfig struct {
	User         string              `json:"User,omitempty"`
	ExposedPorts map[string]struct{} `json:"ExposedPorts,omitempty"`
	Env          []string            `json:"Env,omitempty"`
	Entrypoint   []string            `json:"Entrypoint,omitempty"`
	Cmd          []string            `json:"Cmd,omitempty"`
	Healthcheck  json.RawMessage     `json:"Healthcheck,omitempty"`
	Volumes      map[string]struct{} `json:"Volumes,omitempty"`
	WorkingDir   string              `json:"WorkingDir,omitempty"`
	OnBuild      []string            `json:"OnBuild,omitempty"`
	Labels       map[string]string   `json:"Labels,omitempty"`
	StopSignal   string              `json:"StopSignal,omitempty"`
	Shell        []string            `json:"Shell,omitempty"`
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

type history struct {
	Created *time.Time `json:"created,omitempty"`
	Comment string     `json:"comment,omitempty"`
}

// imageManifest is image-spec's manifest.md, in the order in which it is
// written.
type imageManifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        Descriptor   `json:"config"`
	Layers        []Descriptor `json:"layers"`
}

func encodeConfig(m *Image, layers []position, comment string) ([]byte, error) {
	created := m.Created.UTC()
	c := &m.Config
	file := configFile{
		Created: &created, Architecture: m.Platform.Arch, Variant: m.Platform.Variant, OS: m.Platform.OS,
		Config: runConfig{
			User: c.User, ExposedPorts: set(c.ExposedPorts), Env: c.Env, Entrypoint: c.Entrypoint, Cmd: c.Cmd,
			Healthcheck: c.Healthcheck, Volumes: set(c.Volumes), WorkingDir: c.WorkingDir, OnBuild: c.OnBuild,
			Labels: c.Labels, StopSignal: c.StopSignal, Shell: c.Shell,
		},
		RootFS: rootFS{Type: "layers"},
	}
	for i := range layers {
		file.RootFS.DiffIDs = append(file.RootFS.DiffIDs, layers[i].diff)
		file.History = append(file.History, history{Created: &created, Comment: comment})
	}
	return json.Marshal(file)
}

func encodeManifest(configDigest string, configSize int64, layers []position) ([]byte, error) {
	f := imageManifest{SchemaVersion: 2, MediaType: mediaManifest, Config: Descriptor{MediaType: mediaConfig, Digest: configDigest, Size: configSize}}
	for i := range layers {
		l := &layers[i]
		f.Layers = append(f.Layers, Descriptor{MediaType: l.media, Digest: l.blob, Size: l.blobLen})
	}
	return json.Marshal(f)
}

func set(list []string) map[string]struct{} {
	if len(list) == 0 {
		return nil
	}
	m := make(map[string]struct{}, len(list))
	for _, v := range list {
		m[v] = struct{}{}
	}
	return m
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
