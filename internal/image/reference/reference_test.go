package reference

import (
	"crypto/sha512"
	"strings"
	"testing"

	oracle "github.com/distribution/reference"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// The oracle accepts only the digests whose hash is linked in.
var _ = sha512.New

const hex64 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestParse(t *testing.T) {
	for _, tt := range []struct{ in, canonical, familiar string }{
		{"debian", "docker.io/library/debian", "debian"},
		{"debian:12", "docker.io/library/debian:12", "debian:12"},
		{"tare/base", "docker.io/tare/base", "tare/base"},
		{"docker.io/debian", "docker.io/library/debian", "debian"},
		{"index.docker.io/debian", "docker.io/library/debian", "debian"},
		{"docker.io/library/a/b", "docker.io/library/a/b", "library/a/b"},
		{"localhost/x", "localhost/x", "localhost/x"},
		{"localhost:5000/x:t", "localhost:5000/x:t", "localhost:5000/x:t"},
		{"localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"},
		{"[::1]:5000/x", "[::1]:5000/x", "[::1]:5000/x"},
		{"UPPER/x", "UPPER/x", "UPPER/x"},
		{"a@sha256:" + hex64, "docker.io/library/a@sha256:" + hex64, "a@sha256:" + hex64},
		{"q.io/a__b/c---d:T.1@sha256:" + hex64, "q.io/a__b/c---d:T.1@sha256:" + hex64, "q.io/a__b/c---d:T.1@sha256:" + hex64},
	} {
		r, err := Parse(tt.in)
		if err != nil {
			t.Errorf("Parse(%q): %v", tt.in, err)
			continue
		}
		if r.String() != tt.canonical || r.Familiar() != tt.familiar {
			t.Errorf("Parse(%q) = %q, %q, want %q, %q", tt.in, r.String(), r.Familiar(), tt.canonical, tt.familiar)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", "parse image name: it is empty"},
		{"Debian", `parse image name "Debian": repository name must be lower case`},
		{hex64, `parse image name "` + hex64 + `": 64 hex digits are an id, not a name`},
		{"a//b", `parse image name "a//b": invalid reference format`},
		{"a:", `parse image name "a:": invalid tag`},
		{"a@sha256:12", `parse image name "a@sha256:12": invalid digest`},
		{"foo_bar.com/x", `parse image name "foo_bar.com/x": invalid reference format`},
		{"../etc", `parse image name "../etc": invalid reference format`},
	} {
		_, err := Parse(tt.in)
		if err == nil || err.Error() != tt.want || fault.KindOf(err) != fault.Invalid {
			t.Errorf("Parse(%q) = %v, want %s", tt.in, err, tt.want)
		}
	}
}

func TestTagged(t *testing.T) {
	for in, want := range map[string]string{
		"a": "a:latest", "a:1": "a:1", "a@sha256:" + hex64: "a@sha256:" + hex64,
	} {
		r, err := Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Tagged().Familiar(); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"debian", "debian:12", "a/b/c", "localhost:5000/x:t", "[fe80::1]:5/x", "A/b", "a.b-/c", "a..b/c", "a_b.c/d",
		"x@sha256:" + hex64, "x:t@sha512:" + hex64 + hex64, "x@sha384:" + hex64 + hex64[:32], "x@md5:" + hex64[:32],
		"index.docker.io/x", "docker.io/x/y", "a---b", "a___b", "a:-t", "é/x", "x:" + strings.Repeat("t", 129),
		strings.Repeat("a", 256), "docker.io/" + strings.Repeat("a", 248), "localhost/", "/a", "a/", ".", "a.:5/b", "K/x", "x.y/aİ",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := Parse(s)
		want, werr := oracle.ParseNormalizedNamed(s)
		if werr == nil && oracle.Domain(want) == "" {
			// The oracle takes a malformed domain for a path component of
			// an image without a domain, which no registry can serve.
			werr = oracle.ErrReferenceInvalidFormat
		}
		if (err == nil) != (werr == nil) {
			t.Fatalf("Parse(%q): %v, oracle: %v", s, err, werr)
		}
		if err != nil {
			return
		}
		if got.String() != want.String() {
			t.Fatalf("Parse(%q) = %s, oracle: %s", s, got, want)
		}
		if fam := oracle.FamiliarString(want); got.Familiar() != fam {
			t.Fatalf("Familiar(%q) = %s, oracle: %s", s, got.Familiar(), fam)
		}
		if tagged := oracle.TagNameOnly(want).String(); got.Tagged().String() != tagged {
			t.Fatalf("Tagged(%q) = %s, oracle: %s", s, got.Tagged(), tagged)
		}
		again, err := Parse(got.Familiar())
		if err != nil || again != got {
			t.Fatalf("Parse(Familiar(%q)) = %+v, %v, want %+v", s, again, err, got)
		}
	})
}
