package store

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/image/reference"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
)

// DefaultPartial is how long what a broken transfer has left is kept.
const DefaultPartial = 24 * time.Hour

// GCCandidate is an image as the policy looks at it.
type GCCandidate struct {
	ID     string
	Names  []string // familiar
	Added  time.Time
	Used   time.Time
	InUse  bool
	Pinned bool             // built in
	Parts  map[string]int64 // layers and blobs with their bytes; images share them
}

// PlanGC chooses what goes. It is pure: the same input gives the same list.
func PlanGC(images []GCCandidate, p api.GCPolicy, now time.Time) []api.GCVictim {
	images = slices.Clone(images)
	slices.SortFunc(images, func(a, b GCCandidate) int { return cmp.Or(a.Used.Compare(b.Used), cmp.Compare(a.ID, b.ID)) })
	refs := map[string]int{}
	size := map[string]int64{}
	total := int64(0)
	for i := range images {
		for part, n := range images[i].Parts {
			if refs[part]++; refs[part] == 1 {
				size[part] = n
				total += n
			}
		}
	}
	var out []api.GCVictim
	take := func(c *GCCandidate, reason string) {
		v := api.GCVictim{ID: c.ID, Names: c.Names, Reason: reason, Used: c.Used}
		for part := range c.Parts {
			if refs[part]--; refs[part] == 0 {
				v.Bytes += size[part]
			}
		}
		total -= v.Bytes
		out = append(out, v)
	}
	var left []*GCCandidate
	for i := range images {
		c := &images[i]
		switch {
		case c.InUse || c.Pinned || now.Sub(c.Used) < p.Fresh || keeps(&p, c.Names):
		case p.Unused > 0 && now.Sub(c.Used) > p.Unused:
			take(c, "not used for "+days(now.Sub(c.Used)))
		case p.Age > 0 && now.Sub(c.Added) > p.Age:
			take(c, "here for "+days(now.Sub(c.Added)))
		case p.Dangling > 0 && len(c.Names) == 0 && now.Sub(c.Used) > p.Dangling:
			take(c, "no name, not used for "+days(now.Sub(c.Used)))
		default:
			left = append(left, c)
		}
	}
	if p.MaxBytes > 0 && total > p.MaxBytes {
		low := p.LowBytes
		if low == 0 {
			low = p.MaxBytes / 10 * 8
		}
		for _, c := range left {
			if total <= low {
				break
			}
			take(c, "the store is above "+strconv.FormatInt(p.MaxBytes, 10)+" bytes")
		}
	}
	return out
}

func keeps(p *api.GCPolicy, names []string) bool {
	for _, n := range names {
		for _, pattern := range p.Keep {
			if ok, err := path.Match(pattern, n); n == pattern || err == nil && ok {
				return true
			}
			if r, err := reference.Parse(n); err == nil && r.FamiliarName() == pattern {
				return true
			}
		}
	}
	return false
}

func days(d time.Duration) string {
	if d < 48*time.Hour {
		return d.Round(time.Minute).String()
	}
	return strconv.Itoa(int(d.Hours()/24)) + " days"
}

// Touch records that an image is used now. It costs one system call, or two
// once an hour, and belongs into a quiet moment.
func (s *Store) Touch(id string) {
	p := s.root + "/images/" + strings.TrimPrefix(id, "sha256:")
	var st unix.Stat_t
	if unix.Lstat(p, &st) != nil || time.Since(time.Unix(st.Mtim.Unix())) < time.Hour {
		return
	}
	// Lost, it costs an image that is pulled again.
	_ = unix.UtimesNanoAt(unix.AT_FDCWD, p, nil, unix.AT_SYMLINK_NOFOLLOW)
}

// Users looks who uses images at that moment, and returns the users of an image
// by its id. It is called with the store locked where that counts.
type Users func() func(id string) []string

// Nobody uses any image.
func Nobody() func(string) []string { return func(string) []string { return nil } }

// GC removes what the policy says, and what transfers have left. With dry it
// only tells.
func (s *Store) GC(p api.GCPolicy, users Users, dry bool) ([]api.GCVictim, error) {
	images, err := s.candidates(users())
	if err != nil {
		return nil, err
	}
	plan := PlanGC(images, p, time.Now())
	if dry {
		return plan, nil
	}
	done, err := s.removeVictims(plan, users)
	return done, errors.Join(err, s.agePartial(cmp.Or(p.Partial, DefaultPartial)))
}

// candidates reads what a policy needs to know of the images.
func (s *Store) candidates(inUse func(id string) []string) ([]GCCandidate, error) {
	byID := map[string]*GCCandidate{}
	var order []string
	for _, dir := range []string{"images", "names"} {
		files, err := s.entries(dir)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			p := s.root + "/" + dir + "/" + f
			m, err := s.readRecord(p)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			var st unix.Stat_t
			if err := unix.Lstat(p, &st); err != nil {
				continue //nolint:nilerr // removed meanwhile
			}
			at := time.Unix(st.Mtim.Unix())
			c := byID[m.ID]
			if c == nil {
				c = &GCCandidate{ID: m.ID, Added: at, Used: at, Parts: map[string]int64{}, InUse: len(inUse(m.ID)) > 0}
				byID[m.ID] = c
				order = append(order, m.ID)
			}
			if m.Name != "" {
				c.Names = append(c.Names, m.Familiar())
				c.Added = at
			}
			if at.After(c.Used) {
				c.Used = at
			}
			c.Pinned = c.Pinned || m.Build != "" && m.Name != ""
			s.parts(&m, c.Parts)
		}
	}
	list := make([]GCCandidate, 0, len(order))
	for _, id := range order {
		list = append(list, *byID[id])
	}
	return list, nil
}

// parts adds the layers and blobs of an image with what they take.
func (s *Store) parts(m *Image, into map[string]int64) {
	for _, key := range m.Layers {
		meta, err := readSmall(s.layerDir(key) + "/meta")
		if err != nil {
			continue // a check finds it
		}
		n, err := strconv.ParseInt(metaField(meta, "size"), 10, 64)
		if err == nil {
			into[key] = n
		}
	}
	for _, digest := range m.blobs {
		var st unix.Stat_t
		if unix.Lstat(s.blobPath(digest), &st) == nil {
			into[digest] = st.Size
		}
	}
}

// removeVictims removes images that are still as unused as they were when the
// plan was made.
func (s *Store) removeVictims(plan []api.GCVictim, users Users) (done []api.GCVictim, err error) {
	lease, err := s.lock(unix.LOCK_EX)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // no store
	}
	if err != nil {
		return nil, err
	}
	inUse := users()
	named, err := s.named()
	for i := 0; i < len(plan) && err == nil; i++ {
		v := &plan[i]
		p := s.root + "/images/" + strings.TrimPrefix(v.ID, "sha256:")
		var st unix.Stat_t
		if unix.Lstat(p, &st) != nil || time.Unix(st.Mtim.Unix()).After(v.Used) || len(inUse(v.ID)) > 0 || renamed(v, named) {
			continue
		}
		if err = s.removeRecords(v.ID, named); err == nil {
			done = append(done, *v)
		}
	}
	// Also what an ingest that was killed has left.
	trash, derr := s.detach()
	lease.Release()
	return done, emptyTrash(trash, cmp.Or(err, derr))
}

// renamed reports whether an image has a name that the plan did not know.
func renamed(v *api.GCVictim, named []Image) bool {
	return slices.ContainsFunc(named, func(n Image) bool { return n.ID == v.ID && !slices.Contains(v.Names, n.Familiar()) })
}

// removeRecords removes all names of an image, and the image.
func (s *Store) removeRecords(id string, named []Image) error {
	for i := range named {
		if n := &named[i]; n.ID == id {
			if err := unix.Unlink(s.namePath(n.Name, n.Platform)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("remove image %s: %w", n.Familiar(), err)
			}
		}
	}
	err := unix.Unlink(s.root + "/images/" + strings.TrimPrefix(id, "sha256:"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove image %s: %w", id, err)
	}
	return nil
}

// agePartial removes what transfers have left that nobody has gone on with
// for so long.
func (s *Store) agePartial(age time.Duration) error {
	dir := s.root + "/partial"
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fault.New(fault.KindOf(err), "clean up transfers: %w", err)
	}
	defer func() { _ = unix.Close(fd) }() // read only
	list, err := fsatomic.Entries(fd)
	if err != nil {
		return fault.New(fault.KindOf(err), "clean up transfers: %w", err)
	}
	for _, e := range list {
		p := dir + "/" + e.Name
		st, err := os.Lstat(p)
		if err != nil || !st.Mode().IsRegular() || time.Since(st.ModTime()) < age {
			continue
		}
		if of, ok := strings.CutSuffix(p, ".got"); ok {
			if _, err := os.Lstat(of); errors.Is(err, fs.ErrNotExist) {
				_ = os.Remove(p)
			}
			continue
		}
		f, err := os.Open(p)
		if err != nil {
			continue
		}
		// Somebody who waits for it at this moment finds out: see lockFile.
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = os.Remove(p + ".got")
			err = os.Remove(p)
		}
		if err := errors.Join(err, f.Close()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fault.New(fault.KindOf(err), "clean up transfers: %w", err)
		}
	}
	return nil
}
