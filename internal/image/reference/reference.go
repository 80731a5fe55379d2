// Package reference parses the names of images as Docker writes them.
//
// The grammar is that of github.com/distribution/reference, which is not
// imported because its regular expressions cost every start 0.7 ms; a fuzz
// test holds the two equal.
//
//	reference = [domain "/"] path [":" tag] ["@" digest]
//
// A first component is a domain when it is "localhost", has a dot, a colon or
// an upper-case letter; otherwise the domain is docker.io, where a path of one
// component lies below library/.
package reference

import (
	"strings"

	"github.com/tare-engine/tare/internal/lib/fault"
)

const (
	defaultDomain = "docker.io"
	legacyDomain  = "index.docker.io"
	official      = "library/"
	defaultTag    = "latest"

	maxPath = 255 // characters, without the domain
	maxTag  = 128
)

// Ref is a parsed, fully qualified reference. Domain and Path are never empty.
type Ref struct {
	Domain string // "docker.io", "localhost:5000", "[::1]:5000"
	Path   string // "library/debian"
	Tag    string // "" when not given
	Digest string // "sha256:HEX", "" when not given
}

// Parse parses s and fills in the default domain, but no tag. The error is
// Invalid.
func Parse(s string) (Ref, error) {
	if s == "" {
		return Ref{}, fault.New(fault.Invalid, "parse image name: it is empty")
	}
	if len(s) == 64 && isHex(s) {
		return Ref{}, invalid(s, "64 hex digits are an id, not a name")
	}
	r := Ref{}
	var rest string
	r.Domain, rest = splitDomain(s)
	end := strings.IndexAny(rest, ":@")
	if end < 0 {
		end = len(rest)
	}
	r.Path, rest = rest[:end], rest[end:]

	// The order of the checks gives the most useful complaint.
	if strings.ToLower(r.Path) != r.Path {
		return Ref{}, invalid(s, "repository name must be lower case")
	}
	if !validDomain(r.Domain) || !validPath(r.Path) {
		return Ref{}, invalid(s, "invalid reference format")
	}
	if len(r.Path) > maxPath {
		return Ref{}, invalid(s, "repository name is longer than 255 characters")
	}
	if strings.HasPrefix(rest, ":") {
		r.Tag, rest, _ = cutKeep(rest[1:], '@')
		if !validTag(r.Tag) {
			return Ref{}, invalid(s, "invalid tag")
		}
	}
	if strings.HasPrefix(rest, "@") {
		r.Digest = rest[1:]
		if !ValidDigest(r.Digest) {
			return Ref{}, invalid(s, "invalid digest")
		}
	}
	return r, nil
}

func invalid(s, why string) error {
	return fault.New(fault.Invalid, "parse image name %q: %s", s, why)
}

// Name returns domain/path.
func (r Ref) Name() string { return r.Domain + "/" + r.Path }

// String returns the canonical form, domain/path[:tag][@digest].
func (r Ref) String() string { return r.Name() + r.suffix() }

// Familiar returns the shortest form that parses to the same reference; it is
// what a user types and expects to see.
func (r Ref) Familiar() string { return r.FamiliarName() + r.suffix() }

// FamiliarName is Familiar without tag and digest.
func (r Ref) FamiliarName() string {
	if r.Domain != defaultDomain {
		return r.Name()
	}
	if p, ok := strings.CutPrefix(r.Path, official); ok && !strings.Contains(p, "/") {
		return p
	}
	return r.Path
}

// Tagged returns r with the tag "latest" if it has neither tag nor digest.
func (r Ref) Tagged() Ref {
	if r.Tag == "" && r.Digest == "" {
		r.Tag = defaultTag
	}
	return r
}

func (r Ref) suffix() string {
	s := ""
	if r.Tag != "" {
		s = ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest
	}
	return s
}

func splitDomain(s string) (domain, rest string) {
	first, rest, ok := strings.Cut(s, "/")
	if !ok {
		return defaultDomain, official + s
	}
	switch {
	case first == legacyDomain:
		domain = defaultDomain
	case first == "localhost", strings.ContainsAny(first, ".:"), strings.ToLower(first) != first:
		domain = first
	default:
		domain, rest = defaultDomain, s
	}
	if domain == defaultDomain && !strings.Contains(rest, "/") {
		rest = official + rest
	}
	return domain, rest
}

// cutKeep cuts s before the first sep, which stays with the second part.
func cutKeep(s string, sep byte) (before, after string, found bool) {
	if i := strings.IndexByte(s, sep); i >= 0 {
		return s[:i], s[i:], true
	}
	return s, "", false
}

// validDomain reports whether s is host[:port], where host is a name or an
// IPv6 address in brackets.
func validDomain(s string) bool {
	host := s
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 2 {
			return false
		}
		for _, c := range []byte(s[1:end]) {
			if !isDigit(c) && c != ':' && (c|0x20 < 'a' || c|0x20 > 'f') {
				return false
			}
		}
		return end+1 == len(s) || validPort(s[end+1:])
	}
	if i := strings.IndexByte(s, ':'); i >= 0 {
		if !validPort(s[i:]) {
			return false
		}
		host = s[:i]
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if !isLetter(c) && !isDigit(c) && c != '-' {
				return false
			}
		}
	}
	return true
}

// validPort reports whether s is a colon and digits.
func validPort(s string) bool {
	if len(s) < 2 || s[0] != ':' {
		return false
	}
	for _, c := range []byte(s[1:]) {
		if !isDigit(c) {
			return false
		}
	}
	return true
}

func validPath(s string) bool {
	for part := range strings.SplitSeq(s, "/") {
		if !validComponent(part) {
			return false
		}
	}
	return true
}

// validComponent reports whether s is runs of lower-case letters and digits,
// joined by ".", "_", "__" or any number of "-".
func validComponent(s string) bool {
	i := 0
	run := func() bool {
		start := i
		for i < len(s) && (s[i] >= 'a' && s[i] <= 'z' || isDigit(s[i])) {
			i++
		}
		return i > start
	}
	if !run() {
		return false
	}
	for i < len(s) {
		switch s[i] {
		case '.':
			i++
		case '_':
			i++
			if i < len(s) && s[i] == '_' {
				i++
			}
		case '-':
			for i < len(s) && s[i] == '-' {
				i++
			}
		default:
			return false
		}
		if !run() {
			return false
		}
	}
	return true
}

func validTag(s string) bool {
	if s == "" || len(s) > maxTag || s[0] == '.' || s[0] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if !isLetter(c) && !isDigit(c) && c != '_' && c != '.' && c != '-' {
			return false
		}
	}
	return true
}

// ValidDigest reports whether s is a sha256, sha384 or sha512 digest with
// lower-case hex.
func ValidDigest(s string) bool {
	alg, hex, _ := strings.Cut(s, ":")
	n := 0
	switch alg {
	case "sha256":
		n = 64
	case "sha384":
		n = 96
	case "sha512":
		n = 128
	}
	return n > 0 && len(hex) == n && isHex(hex)
}

func isHex(s string) bool {
	for _, c := range []byte(s) {
		if !isDigit(c) && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
