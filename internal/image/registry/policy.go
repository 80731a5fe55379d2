package registry

import (
	"context"
	"crypto"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/tare-engine/tare/internal/image/reference"
	"github.com/tare-engine/tare/internal/lib/fault"
)

// Policy says which images may be pulled. The zero value lets every image
// pass.
type Policy struct {
	Rules []Rule
}

// Rule is what policy.toml wants of the images whose name starts with a
// prefix. Of several rules the one with the longest prefix counts.
type Rule struct {
	Prefix   string   `toml:"prefix"`   // domain[/path]; "" is every image
	Require  string   `toml:"require"`  // a Requirement
	Keys     []string `toml:"keys"`     // files with PEM public keys; a signature by one of them is enough
	Digests  []string `toml:"digests"`  // what a pin allows
	Identity string   `toml:"identity"` // the repository that signatures name; "": the one that is pulled

	file string
	keys []crypto.PublicKey
}

// The requirements of rules.
const (
	RequireNone     = "none"     // any image
	RequireSigstore = "sigstore" // a signature
	RequireDigest   = "digest"   // a name with a digest, or one of the digests listed
	RequireReject   = "reject"   // no image
)

// LoadPolicy reads policy.toml of the system and of the user: what the user
// says of a prefix replaces what the system says of it. TARE_POLICY names a
// file to be read instead.
func LoadPolicy() (Policy, error) {
	files := ConfigFiles("policy.toml")
	if f := os.Getenv("TARE_POLICY"); f != "" {
		files = []string{f}
	}
	var p Policy
	for _, f := range files {
		data, err := os.ReadFile(f)
		if errors.Is(err, fs.ErrNotExist) && len(files) > 1 {
			continue
		}
		if err != nil {
			return Policy{}, err
		}
		rules, err := parsePolicy(data, f, os.ReadFile)
		if err != nil {
			return Policy{}, fault.New(fault.Invalid, "read %s: %w", f, err)
		}
		for _, r := range rules {
			i := slices.IndexFunc(p.Rules, func(old Rule) bool { return old.Prefix == r.Prefix })
			if i >= 0 {
				p.Rules[i] = r
			} else {
				p.Rules = append(p.Rules, r)
			}
		}
	}
	return p, nil
}

// parsePolicy reads a policy. Whatever it does not understand is an error: a
// rule that is not enforced is worse than none.
func parsePolicy(data []byte, file string, read func(string) ([]byte, error)) ([]Rule, error) {
	var doc struct {
		Default string `toml:"default"` // a Requirement without parameters
		Rules   []Rule `toml:"rule"`
	}
	if err := DecodeTOML(data, &doc); err != nil {
		return nil, err
	}
	if doc.Default != "" {
		doc.Rules = append(doc.Rules, Rule{Require: doc.Default})
	}
	seen := map[string]bool{}
	for i := range doc.Rules {
		r := &doc.Rules[i]
		r.file = file
		if seen[r.Prefix] {
			return nil, fault.New(fault.Invalid, "two rules are for %s", r.prefix())
		}
		seen[r.Prefix] = true
		if err := r.check(read); err != nil {
			return nil, fault.New(fault.KindOf(err), "rule %s: %w", r.prefix(), err)
		}
	}
	return doc.Rules, nil
}

func (r *Rule) check(read func(string) ([]byte, error)) error {
	// One that starts no name, as "debian" or "registry.example/", would let
	// every image pass.
	if below := r.Prefix + "/x/y"; r.Prefix != "" {
		if ref, err := reference.Parse(below); err != nil || ref.Name() != below {
			return fault.New(fault.Invalid, "prefix is a domain, or the start of a whole name such as docker.io/library/debian")
		}
	}
	switch r.Require {
	case RequireNone, RequireReject:
	case RequireDigest:
		for _, d := range r.Digests {
			if !reference.ValidDigest(d) {
				return fault.New(fault.Invalid, "%q is no digest", d)
			}
		}
	case RequireSigstore:
		if len(r.Keys) == 0 {
			return fault.New(fault.Invalid, "it names no keys")
		}
		for _, f := range r.Keys {
			pem, err := read(f)
			if err != nil {
				return err
			}
			key, err := publicKey(pem)
			if err != nil {
				return fault.New(fault.Invalid, "key %s: %w", f, err)
			}
			r.keys = append(r.keys, key)
		}
	default:
		return fault.New(fault.Invalid, "require is none, sigstore, digest or reject, not %q", r.Require)
	}
	if r.Require != RequireSigstore && (len(r.Keys) > 0 || r.Identity != "") {
		return fault.New(fault.Invalid, "keys and identity belong to sigstore")
	}
	if r.Require != RequireDigest && len(r.Digests) > 0 {
		return fault.New(fault.Invalid, "digests belong to digest")
	}
	return nil
}

func (r *Rule) prefix() string {
	if r.Prefix == "" {
		return "default"
	}
	return r.Prefix
}

// Rule returns the rule for an image. The error is Denied when it says no
// before anything is asked of a registry.
func (p *Policy) Rule(ref reference.Ref) (Rule, error) {
	best := Rule{Require: RequireNone}
	found := false
	for _, r := range p.Rules {
		if (r.Prefix == "" || hasPrefix(ref.Name(), r.Prefix)) && (!found || len(r.Prefix) > len(best.Prefix)) {
			best, found = r, true
		}
	}
	if best.Require == RequireReject {
		return best, best.refuse(ref, "it lets no image pass")
	}
	if best.Require == RequireDigest && len(best.Digests) == 0 && ref.Digest == "" {
		return best, best.refuse(ref, "it wants a name with a digest")
	}
	return best, nil
}

// refuse names the rule.
func (r *Rule) refuse(ref reference.Ref, why string) error {
	return fault.New(fault.Denied, "%s: refused by rule %s (%s) of %s: %s", ref.Familiar(), r.prefix(), r.Require, r.file, why)
}

// verify checks an image, of which top is the digest that the name has and
// manifest that of the platform's manifest.
func (r *Rule) verify(ctx context.Context, repo *Repo, ref reference.Ref, top, manifest string) error {
	switch r.Require {
	case RequireDigest:
		if len(r.Digests) > 0 && !slices.Contains(r.Digests, top) && !slices.Contains(r.Digests, manifest) {
			return r.refuse(ref, top+" is none of its digests")
		}
	case RequireSigstore:
		identity := r.Identity
		if identity == "" {
			identity = ref.Name()
		}
		var seen []string
		for _, digest := range slices.Compact([]string{top, manifest}) {
			err := verifySignatures(ctx, repo, digest, identity, r.keys)
			if err == nil {
				return nil
			}
			if fault.KindOf(err) != fault.Denied {
				return err // the registry did not answer
			}
			if !slices.Contains(seen, err.Error()) {
				seen = append(seen, err.Error())
			}
		}
		return r.refuse(ref, strings.Join(seen, "; "))
	}
	return nil
}
