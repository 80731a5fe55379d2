package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/image/reference"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/fsatomic"
)

// ErrNotFound is in every error about an image that is not here.
var ErrNotFound = errors.New("no such image")

// Resolve finds a local image by what a user wrote: a name with optional tag
// or digest, an id, or an unambiguous prefix of one. The zero Platform asks
// for the host's, and falls back to the only other one that the name has.
// The error is NotFound when there is none, Invalid when ref is malformed or
// ambiguous. This is the hot path of a run: one open and one read for a name.
func (s *Store) Resolve(ref string, p Platform) (Image, error) {
	id, isID := strings.CutPrefix(ref, "sha256:")
	if !isID {
		r, err := reference.Parse(ref)
		if err == nil {
			m, err := s.resolveName(ref, r.Tagged(), p)
			if err == nil || !errors.Is(err, fs.ErrNotExist) {
				return m, err
			}
		} else if !isHex(ref) {
			return Image{}, err
		}
	}
	m, err := s.resolveID(id)
	if errors.Is(err, fs.ErrNotExist) {
		return Image{}, fault.New(fault.NotFound, "find image %s: %w", ref, ErrNotFound)
	}
	if err == nil && p != (Platform{}) && !m.Platform.matches(p) {
		return Image{}, fault.New(fault.NotFound, "find image %s: it is for %s, not %s", ref, m.Platform, p)
	}
	return m, err
}

func (s *Store) resolveName(ref string, r reference.Ref, p Platform) (Image, error) {
	want := p
	if p == (Platform{}) {
		want = HostPlatform()
	}
	m, err := s.readRecord(s.namePath(r.String(), want))
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return m, err
	}
	// The slow ways: a digest under another tag, another platform.
	all, err := s.named()
	if err != nil {
		return Image{}, err
	}
	var found []Image
	for _, m := range all {
		if m.answers(r) && (p == (Platform{}) || m.Platform.matches(p)) {
			found = append(found, m)
		}
	}
	if len(found) == 0 {
		return Image{}, fs.ErrNotExist
	}
	for _, m := range found {
		if m.Platform.matches(want) {
			return m, nil
		}
	}
	for _, m := range found[1:] {
		if m.ID != found[0].ID {
			return Image{}, fault.New(fault.Invalid, "find image %s: it is here for %s and %s; choose a platform", ref, found[0].Platform, m.Platform)
		}
	}
	return found[0], nil
}

// answers reports whether the image has the name and tag, or the name and
// digest, of r.
func (m *Image) answers(r reference.Ref) bool {
	if r.Digest == "" {
		return m.Name == r.String()
	}
	have, err := reference.Parse(m.Name)
	return err == nil && have.Name() == r.Name() && (m.Manifest == r.Digest || m.Index == r.Digest || m.ID == r.Digest)
}

func (s *Store) resolveID(prefix string) (Image, error) {
	if !isHex(prefix) || len(prefix) > 64 {
		return Image{}, fs.ErrNotExist
	}
	if len(prefix) < 64 {
		ids, err := s.entries("images")
		if err != nil {
			return Image{}, err
		}
		ids = slices.DeleteFunc(ids, func(id string) bool { return !strings.HasPrefix(id, prefix) })
		switch len(ids) {
		case 0:
			return Image{}, fs.ErrNotExist
		case 1:
			prefix = ids[0]
		default:
			return Image{}, fault.New(fault.Invalid, "find image %s: the id is ambiguous, %d images start with it", prefix, len(ids))
		}
	}
	return s.readRecord(s.root + "/images/" + prefix)
}

// named returns the images by name, as far as their records can be understood.
func (s *Store) named() ([]Image, error) { return s.readable("names") }

// readable is records for those who show or look for images: one that is damaged, or
// of a newer tare, is left out with a warning. One that could not be read may be any,
// and is an error.
func (s *Store) readable(dir string) ([]Image, error) {
	return s.read(dir, func(err error) error {
		if !errors.Is(err, errDamaged) && fault.KindOf(err) != fault.Unsupported {
			return err
		}
		if s.Warn != nil {
			s.Warn(err.Error())
		}
		return nil
	})
}

// records are all of a directory: for those who remove what no record refers to.
func (s *Store) records(dir string) ([]Image, error) {
	return s.read(dir, func(err error) error { return err })
}

func (s *Store) read(dir string, failed func(error) error) ([]Image, error) {
	files, err := s.entries(dir)
	if err != nil {
		return nil, err
	}
	list := make([]Image, 0, len(files))
	for _, f := range files {
		m, err := s.readRecord(s.root + "/" + dir + "/" + f)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			if err := failed(err); err != nil {
				return nil, err
			}
			continue
		}
		list = append(list, m)
	}
	return list, nil
}

// entries lists a directory of the store, sorted, without unfinished files. A
// missing one is empty.
func (s *Store) entries(dir string) ([]string, error) {
	fd, err := unix.Open(s.root+"/"+dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fault.New(fault.KindOf(err), "read image store: %w", err)
	}
	defer func() { _ = unix.Close(fd) }() // read only
	list, err := fsatomic.Entries(fd)
	if err != nil {
		return nil, fault.New(fault.KindOf(err), "read image store: %w", err)
	}
	names := make([]string, 0, len(list))
	for _, e := range list {
		if !strings.HasPrefix(e.Name, fsatomic.Prefix) {
			names = append(names, e.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// maxNameFile leaves room for the platform in the 255 bytes of a file name.
const maxNameFile = 200

// namePath is where the record of a canonical name lies. No name contains the
// percent signs and pluses that stand for slashes.
func (s *Store) namePath(name string, p Platform) string {
	if len(name) > maxNameFile {
		sum := sha256.Sum256([]byte(name))
		name = "%" + hex.EncodeToString(sum[:])
	}
	if p.Arch == "arm64" && p.Variant == "v8" {
		p.Variant = "" // the same, more often unwritten
	}
	return s.root + "/names/" + strings.ReplaceAll(name, "/", "%") + "@" + strings.ReplaceAll(p.String(), "/", "+")
}

func (s *Store) layerDir(key string) string { return s.root + "/layers/" + key }

// Serves reports whether an image for p serves a request for want.
func (p Platform) Serves(want Platform) bool { return p.matches(want) }

// matches reports whether an image for p serves a request for want. The
// variant of arm64 is v8 and seldom written.
func (p Platform) matches(want Platform) bool {
	if p.Arch == "arm64" && (p.Variant == "v8" || p.Variant == "") && (want.Variant == "v8" || want.Variant == "") {
		p.Variant, want.Variant = "", ""
	}
	return p.OS == want.OS && p.Arch == want.Arch && (want.Variant == "" || p.Variant == want.Variant)
}

func parsePlatform(s string) Platform {
	os, rest, _ := strings.Cut(s, "/")
	arch, variant, _ := strings.Cut(rest, "/")
	return Platform{os, arch, variant}
}

// ParsePlatform parses "os/arch[/variant]". The error is Invalid.
func ParsePlatform(s string) (Platform, error) {
	p := parsePlatform(s)
	for _, part := range []string{p.OS, p.Arch, p.Variant} {
		for _, c := range []byte(part) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
				return Platform{}, fault.New(fault.Invalid, "parse platform %q: want os/arch[/variant]", s)
			}
		}
	}
	if p.OS == "" || p.Arch == "" || strings.HasSuffix(s, "/") {
		return Platform{}, fault.New(fault.Invalid, "parse platform %q: want os/arch[/variant]", s)
	}
	return p, nil
}

func validID(id string) bool {
	h, ok := strings.CutPrefix(id, "sha256:")
	return ok && len(h) == 64 && isHex(h)
}

func validKey(key string) bool {
	if len(key) != keyLen {
		return false
	}
	for _, c := range []byte(key) {
		if (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}

func isHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return s != ""
}
