package images

import (
	"path"
	"slices"
	"strings"
	"time"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/image/reference"
	"github.com/tare-engine/tare/internal/image/store"
)

// Inspect returns all that is known of an image.
func (im *Room) Inspect(ref string) (*api.ImageInfo, error) {
	s := im.ImageStore
	m, err := s.Resolve(ref, store.Platform{})
	if err != nil {
		return nil, err
	}
	f, err := s.Details(&m)
	if err != nil {
		return nil, err
	}
	all, err := s.List()
	if err != nil {
		return nil, err
	}
	info := &api.ImageInfo{
		ID: m.ID, RepoTags: []string{}, RepoDigests: []string{}, Created: api.Stamp(m.Created), Author: f.Author,
		Architecture: m.Platform.Arch, Variant: m.Platform.Variant, Os: m.Platform.OS, Size: m.Size,
		Config: ConfigOf(&m.Config),
		RootFS: api.ImageRootFS{Type: "layers", Layers: f.DiffIDs},
	}
	info.Metadata.LastTagTime = api.Stamp(time.Time{})
	if n := len(f.History); n > 0 {
		info.Comment = f.History[n-1].Comment
	}
	for i := range all {
		if n := &all[i]; n.ID == m.ID && n.Name != "" {
			r, err := reference.Parse(n.Name)
			if err != nil {
				return nil, err
			}
			if r.Tag != "" {
				info.RepoTags = append(info.RepoTags, r.Familiar())
			}
			switch digest := n.Digest(); {
			case r.Digest != "":
				info.RepoDigests = append(info.RepoDigests, r.FamiliarName()+"@"+r.Digest)
			case digest != "":
				info.RepoDigests = append(info.RepoDigests, r.FamiliarName()+"@"+digest)
			}
		}
	}
	slices.Sort(info.RepoTags)
	slices.Sort(info.RepoDigests)
	info.RepoDigests = slices.Compact(info.RepoDigests)
	info.GraphDriver = api.GraphDriver{Name: api.StorageDriver, Data: map[string]string{}}
	if len(m.Lower) > 0 {
		info.GraphDriver.Data["UpperDir"] = m.Lower[0]
		info.GraphDriver.Data["WorkDir"] = path.Dir(m.Lower[0])
	}
	if len(m.Lower) > 1 {
		info.GraphDriver.Data["LowerDir"] = strings.Join(m.Lower[1:], ":")
	}
	return info, nil
}

// ConfigOf is what an image gives to its containers, in the shape of Docker's API.
func ConfigOf(c *api.ImageDefaults) api.ImageConfig {
	out := api.ImageConfig{
		User: c.User, ExposedPorts: setOf(c.ExposedPorts), Env: c.Env, Entrypoint: c.Entrypoint, Cmd: c.Cmd,
		Volumes: setOf(c.Volumes), WorkingDir: c.WorkingDir, Labels: c.Labels, StopSignal: c.StopSignal,
		OnBuild: c.OnBuild, Shell: c.Shell,
	}
	if len(c.Healthcheck) > 0 {
		var h api.Healthcheck
		if api.ReadHealthcheck(c.Healthcheck, &h) == nil { // else it is none that could be run
			out.Healthcheck = &h
		}
	}
	return out
}

func setOf(list []string) map[string]struct{} {
	if len(list) == 0 {
		return nil
	}
	set := make(map[string]struct{}, len(list))
	for _, v := range list {
		set[v] = struct{}{}
	}
	return set
}
