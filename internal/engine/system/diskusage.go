package system

import (
	"context"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/image/store"
)

// DiskUsage is what takes up space, and what of it would be given back.
type DiskUsage struct {
	Images     []ImageUsage
	Containers []api.ContainerSummary // with sizes

	LayersSize        int64 // bytes of all images, shared layers once
	ImagesActive      int   // used by containers
	ImagesReclaim     int64 // of layers that no container's image has
	ContainersActive  int   // that run
	ContainersSize    int64
	ContainersReclaim int64 // of those that do not run
}

// ImageUsage is an image with what it shares.
type ImageUsage struct {
	api.ImageSummary
	SharedSize int64 // bytes of layers that other images have too
	UniqueSize int64
	Containers int // that use it
}

// DiskUsage measures images and containers.
func (sy *Room) DiskUsage(ctx context.Context) (*DiskUsage, error) {
	u := &DiskUsage{}
	list, err := sy.containers.List(ctx, api.ListOptions{All: true, Size: true})
	if err != nil {
		return nil, err
	}
	users := map[string]int{}
	for i := range list {
		c := &list[i]
		users[c.ImageID]++
		u.ContainersSize += c.SizeRw
		if c.Status == api.StatusRunning || c.Status == api.StatusPaused || c.Status == api.StatusRestarting {
			u.ContainersActive++
		} else {
			u.ContainersReclaim += c.SizeRw
		}
	}
	u.Containers = list
	all, err := sy.ImageStore.List()
	if err != nil {
		return nil, err
	}
	sizes, err := sy.ImageStore.LayerSizes()
	if err != nil {
		return nil, err
	}
	for _, n := range sizes {
		u.LayersSize += n
	}
	summaries, err := sy.images.List(api.ImageListOptions{})
	if err != nil {
		return nil, err
	}
	u.images(distinct(all), summaries, sizes, users)
	return u, nil
}

// distinct leaves one of the images with several names.
func distinct(all []store.Image) []store.Image {
	seen := map[string]bool{}
	var out []store.Image
	for _, m := range all {
		if !seen[m.ID] {
			seen[m.ID] = true
			out = append(out, m)
		}
	}
	return out
}

func (u *DiskUsage) images(all []store.Image, summaries []api.ImageSummary, sizes map[string]int64, users map[string]int) {
	sharing, kept := map[string]int{}, map[string]bool{}
	for i := range all {
		m := &all[i]
		if users[m.ID] > 0 {
			u.ImagesActive++
		}
		for _, k := range m.Layers {
			sharing[k]++
			kept[k] = kept[k] || users[m.ID] > 0
		}
	}
	for k, n := range sizes {
		if !kept[k] {
			u.ImagesReclaim += n
		}
	}
	for i := range all {
		m := &all[i]
		use := ImageUsage{Containers: users[m.ID]}
		for j := range summaries {
			if summaries[j].ID == m.ID {
				use.ImageSummary = summaries[j]
				break
			}
		}
		for _, k := range m.Layers {
			if sharing[k] > 1 {
				use.SharedSize += sizes[k]
			} else {
				use.UniqueSize += sizes[k]
			}
		}
		u.Images = append(u.Images, use)
	}
}
