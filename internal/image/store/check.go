package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
)

// Problem is damage that a check has found.
type Problem struct {
	Object string // "blob sha256:…", "layer KEY", "image ID", "name N"
	Text   string
	// Repair says what was done about it; "" if nothing was.
	Repair string
}

// CheckReport is what a check has looked at and found.
type CheckReport struct {
	Images, Layers, Blobs int
	Problems              []Problem
}

// CheckOptions are the optional parts of a check.
type CheckOptions struct {
	// Repair removes what is damaged, and makes again what can be made from a
	// blob that is not. An image that cannot be helped is removed, so that it
	// can be pulled again.
	Repair bool
	// Users of images: what they stand on is not replaced. nil is [Nobody].
	Users Users
}

// Check verifies the digest of every blob, compares every unpacked layer with
// its blob, file by file, and every record with what it names. It reads the
// whole store, and needs the space of its largest layer. Images can be used
// and added meanwhile, and not removed.
func (s *Store) Check(ctx context.Context, o CheckOptions) (CheckReport, error) {
	c := &checker{ctx: ctx, s: s, o: o, badBlobs: map[string]bool{}, badLayers: map[string]bool{}, images: map[string]*Image{}}
	if c.o.Users == nil {
		c.o.Users = Nobody
	}
	var err error
	if c.lease, err = s.Lease(); err != nil {
		return c.report, err
	}
	err = c.run()
	c.lease.Release()
	if err == nil && o.Repair {
		err = c.dispose()
	}
	return c.report, err
}

type checker struct {
	ctx    context.Context //nolint:containedctx // lives for one call
	s      *Store
	o      CheckOptions
	lease  *Lease
	report CheckReport

	images    map[string]*Image // by id
	badBlobs  map[string]bool   // digests
	badLayers map[string]bool   // keys
	badFiles  []string          // records that cannot be read
	records   int               // problems that are theirs
	lost      []string          // ids of images that cannot be helped
}

// aside reports whether an error says nothing of the store, but of this
// process or this version: that must not cost an image.
func aside(err error) bool {
	switch fault.KindOf(err) {
	case fault.Unavailable, fault.Unsupported, fault.Denied:
		return true
	case fault.Internal, fault.NotFound, fault.Invalid, fault.Conflict, fault.Exists:
	}
	return false
}

func (c *checker) problem(object, format string, args ...any) *Problem {
	c.report.Problems = append(c.report.Problems, Problem{Object: object, Text: fmt.Sprintf(format, args...)})
	return &c.report.Problems[len(c.report.Problems)-1]
}

func (c *checker) run() error {
	if err := c.readRecords(); err != nil {
		return err
	}
	c.records = len(c.report.Problems)
	if err := c.blobs(); err != nil {
		return err
	}
	ids := sortedKeys(c.images)
	checked := map[string]bool{}
	for _, id := range ids {
		if err := c.image(c.images[id], checked); err != nil {
			return err
		}
	}
	return c.orphans(checked)
}

// readRecords reads all records.
func (c *checker) readRecords() error {
	for _, dir := range []string{"images", "names"} {
		files, err := c.s.entries(dir)
		if err != nil {
			return err
		}
		for _, f := range files {
			p := c.s.root + "/" + dir + "/" + f
			m, err := c.s.readRecord(p)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if aside(err) {
				return err
			}
			wrong := ""
			switch {
			case err != nil:
				wrong = err.Error()
			case dir == "images" && "sha256:"+f != m.ID:
				wrong = "the record is that of " + m.ID
			case dir == "names" && filepath.Base(c.s.namePath(m.Name, m.Platform)) != f:
				wrong = "the record is that of " + m.Name
			}
			if wrong != "" {
				c.problem(strings.TrimSuffix(dir, "s")+" "+strings.ReplaceAll(f, "%", "/"), "%s", wrong)
				c.badFiles = append(c.badFiles, p)
				continue
			}
			if dir == "images" {
				c.report.Images++
			}
			if c.images[m.ID] == nil || c.images[m.ID].Name == "" {
				c.images[m.ID] = &m
			}
		}
	}
	return nil
}

// blobs hashes all blobs.
func (c *checker) blobs() error {
	list, err := c.s.entries("blobs/sha256")
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	for _, hex := range list {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		digest := "sha256:" + hex
		if !validID(digest) {
			c.problem("blob "+hex, "the name is no digest")
			c.badFiles = append(c.badFiles, c.s.root+"/blobs/sha256/"+hex)
			continue
		}
		c.report.Blobs++
		f, err := os.Open(c.s.blobPath(digest))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		h := sha256.New()
		_, err = io.CopyBuffer(h, struct{ io.Reader }{f}, buf)
		_ = f.Close() // read only
		switch {
		case err != nil:
			c.problem("blob "+digest, "%v", err)
		case hexSum(h) != digest:
			c.problem("blob "+digest, "the content has digest %s", hexSum(h))
		default:
			continue
		}
		c.badBlobs[digest] = true
	}
	return nil
}

// image checks what an image needs, and its layers from the bottom up.
func (c *checker) image(m *Image, checked map[string]bool) error {
	object := "image " + m.ShortID()
	broken := ""
	for _, d := range m.blobs {
		switch {
		case c.badBlobs[d]:
			broken = "blob " + d + " is damaged"
		case !c.s.HasBlob(d):
			broken = "blob " + d + " is missing"
			c.problem(object, "%s", broken)
		}
	}
	details, err := c.s.Details(m)
	if aside(err) {
		return err
	}
	if err == nil && len(details.DiffIDs) != len(m.Layers) {
		err = fault.New(fault.Invalid, "it has %d layers, its config %d", len(m.Layers), len(details.DiffIDs))
	}
	if err != nil {
		if broken == "" {
			c.problem(object, "%v", err)
		}
		c.lost = append(c.lost, m.ID)
		return nil
	}
	l := layerCheck{m: m, chains: ChainIDs(details.DiffIDs), blobs: c.layerBlobs(m)}
	for i, key := range m.Layers {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if !checked[key] {
			checked[key] = true
			c.report.Layers++
			if err := c.layer(&l, i, details.DiffIDs[i]); err != nil {
				return err
			}
		}
		if c.badLayers[key] && broken == "" {
			broken = "layer " + key + " is damaged"
		}
	}
	if broken != "" {
		c.lost = append(c.lost, m.ID)
	}
	return nil
}

// layerBlobs returns the blob of each layer, "" for an image that was made
// here.
func (c *checker) layerBlobs(m *Image) []string {
	out := make([]string, len(m.Layers))
	data, err := c.s.ReadBlob(m.Manifest)
	if err != nil || c.badBlobs[m.Manifest] {
		return out
	}
	parsed, err := ParseManifest("", data, c.s.Limits)
	if err == nil && len(parsed.Layers) == len(out) {
		for i := range parsed.Layers {
			out[i] = parsed.Layers[i].Digest
		}
	}
	return out
}

// orphans finds what no image names.
func (c *checker) orphans(checked map[string]bool) error {
	keys, err := c.s.entries("layers")
	if err != nil {
		return err
	}
	for _, key := range keys {
		if !checked[key] && len(c.badFiles) == 0 {
			c.fixLater(c.problem("layer "+key, "no image has it"))
		}
	}
	blobs, err := c.s.entries("blobs/sha256")
	if err != nil {
		return err
	}
	for _, hex := range blobs {
		used := slices.ContainsFunc(sortedKeys(c.images), func(id string) bool { return slices.Contains(c.images[id].blobs, "sha256:"+hex) })
		if !used && validID("sha256:"+hex) && len(c.badFiles) == 0 {
			c.fixLater(c.problem("blob sha256:"+hex, "no image has it"))
		}
	}
	return nil
}

func (c *checker) fixLater(p *Problem) {
	if c.o.Repair {
		p.Repair = "removed"
	}
}

// dispose removes what was found to be beyond help. Images in use keep their
// records: their containers may still work.
func (c *checker) dispose() error {
	s := c.s
	lease, err := s.lock(unix.LOCK_EX)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, p := range c.badFiles {
		err = errors.Join(err, fsatomic.RemoveTree(unix.AT_FDCWD, p))
	}
	for i := range c.report.Problems[:c.records] {
		c.report.Problems[i].Repair = "removed"
	}
	err = errors.Join(err, c.rewrite())
	users := c.o.Users()
	named, nerr := s.named()
	err = errors.Join(err, nerr)
	for _, id := range c.lost {
		m := c.images[id]
		if u := users(id); len(u) > 0 {
			c.problem("image "+m.ShortID(), "kept, since %s uses it; remove that, and check again", u[0])
			continue
		}
		name := m.Familiar()
		if err == nil {
			err = s.removeRecords(id, named)
		}
		c.problem("image "+m.ShortID(), "it cannot be repaired here").Repair = strings.TrimSpace("removed; pull it again " + name)
	}
	var trash *fsatomic.Staging
	if err == nil {
		trash, err = s.detach()
	}
	c.settled()
	lease.Release()
	return errors.Join(emptyTrash(trash, err), s.Recover())
}

// settled notes what is gone together with what was removed.
func (c *checker) settled() {
	gone := func(dir, name string) bool {
		return errors.Is(unix.Access(c.s.root+"/"+dir+"/"+name, unix.F_OK), fs.ErrNotExist)
	}
	for i := range c.report.Problems {
		p := &c.report.Problems[i]
		kind, name, _ := strings.Cut(p.Object, " ")
		switch {
		case p.Repair != "":
		case kind == "blob" && gone("blobs/sha256", strings.TrimPrefix(name, "sha256:")), kind == "layer" && gone("layers", name):
			p.Repair = "removed"
		case kind == "image":
			id := slices.IndexFunc(c.lost, func(id string) bool { return c.images[id].ShortID() == name })
			if id >= 0 && gone("images", strings.TrimPrefix(c.lost[id], "sha256:")) {
				p.Repair = "removed"
			}
		}
	}
}

// rewrite makes the record of an image again from that of one of its names.
func (c *checker) rewrite() error {
	for id, m := range c.images {
		p := c.s.root + "/images/" + strings.TrimPrefix(id, "sha256:")
		if unix.Access(p, unix.F_OK) == nil {
			continue
		}
		nameless := *m
		nameless.Name = ""
		if err := fsatomic.WriteFile(p, encodeRecord(&nameless), 0o600, fsatomic.Durable); err != nil {
			return err
		}
		c.problem("image "+m.ShortID(), "it had names only").Repair = "recorded again"
	}
	return nil
}
