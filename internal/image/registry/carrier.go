package registry

import (
	"context"
	"errors"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/image/reference"
	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/lib/fault"
)

// Carrier moves images between a store and registries. Its functions are
// called when something is moved: they read configurations.
type Carrier struct {
	Client func() (*Client, error)
	Policy func() (Policy, error)
}

// Bring pulls what p names. Several tags come one after the other, and those
// that have come stay when one fails.
func (c Carrier) Bring(ctx context.Context, s *store.Store, p *api.Place, r api.Reporter) error {
	client, platform, err := c.open(p.Platform)
	if err != nil {
		return err
	}
	o := PullOptions{Platform: platform, Progress: r}
	if o.Policy, err = c.Policy(); err != nil {
		return err
	}
	for _, name := range p.Refs {
		refs, err := c.meant(ctx, client, name, p.AllTags)
		if err != nil {
			return err
		}
		for _, ref := range refs {
			r.Image(ref.String())
			out, err := client.Pull(ctx, s, ref, o)
			if err != nil {
				return err
			}
			r.Done(&api.Transferred{Ref: ref.String(), ID: out.Image.ID, Names: []string{ref.Familiar()}, Digest: out.Digest, Fresh: out.Fresh})
		}
	}
	return nil
}

// open makes a client, and reads the platform that is asked for.
func (c Carrier) open(platform string) (*Client, store.Platform, error) {
	var p store.Platform
	var err error
	if platform != "" {
		if p, err = store.ParsePlatform(platform); err != nil {
			return nil, p, err
		}
	}
	client, err := c.Client()
	return client, p, err
}

// meant is what a name stands for: all tags of its repository, or one.
func (c Carrier) meant(ctx context.Context, client *Client, name string, all bool) ([]reference.Ref, error) {
	ref, err := reference.Parse(name)
	if err != nil || !all {
		return []reference.Ref{ref.Tagged()}, err
	}
	repo, err := client.Repo(ref.Domain, ref.Path, false)
	if err != nil {
		return nil, err
	}
	tags, err := repo.Tags(ctx)
	if err != nil {
		return nil, fault.New(fault.KindOf(err), "list tags of %s: %w", ref.Familiar(), err)
	}
	if len(tags) == 0 {
		return nil, fault.New(fault.NotFound, "list tags of %s: there are none", ref.Familiar())
	}
	var refs []reference.Ref
	for _, t := range tags {
		one, err := reference.Parse(ref.Name() + ":" + t)
		if err != nil {
			return nil, err // what a registry says is not trusted to be a tag
		}
		refs = append(refs, one)
	}
	return refs, nil
}

// Send pushes what from names under those names.
func (c Carrier) Send(ctx context.Context, s *store.Store, from, _ *api.Place, r api.Reporter) error {
	client, platform, err := c.open(from.Platform)
	if err != nil {
		return err
	}
	for _, name := range from.Refs {
		ref, err := reference.Parse(name)
		if err != nil {
			return err
		}
		refs := []reference.Ref{ref.Tagged()}
		if from.AllTags {
			if refs, err = localTags(s, ref); err != nil {
				return err
			}
		}
		for _, ref := range refs {
			r.Image(ref.String())
			sent, err := client.Push(ctx, s, ref, PushOptions{Platform: platform, Progress: r})
			if errors.Is(err, store.ErrNotFound) {
				return fault.New(fault.NotFound, "an image does not exist locally with the tag: %s", ref.FamiliarName())
			}
			if err != nil {
				return err
			}
			r.Done(&api.Transferred{Ref: ref.String(), Names: []string{ref.Familiar()}, Digest: sent.Digest, Size: sent.Size, Fresh: true})
		}
	}
	return nil
}

// localTags lists the names that the store has for a repository.
func localTags(s *store.Store, repo reference.Ref) ([]reference.Ref, error) {
	list, err := s.List()
	if err != nil {
		return nil, err
	}
	var refs []reference.Ref
	seen := map[string]bool{}
	for i := range list {
		r, err := reference.Parse(list[i].Name)
		if err != nil || r.Name() != repo.Name() || r.Tag == "" || seen[r.Tag] {
			continue
		}
		seen[r.Tag] = true
		refs = append(refs, r)
	}
	if len(refs) == 0 {
		return nil, fault.New(fault.NotFound, "an image does not exist locally with the tag: %s", repo.Familiar())
	}
	return refs, nil
}
