package registry

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// maxManifest bounds manifests, indexes and configs: 4 MiB is what registries
// have to take (distribution-spec, "pushing manifests"), some take more.
const maxManifest = 8 << 20

// Media types that are asked for. Schema 1 is not, so that a registry that
// has nothing else says so.
var manifestTypes = []string{
	"application/vnd.oci.image.index.v1+json",
	"application/vnd.oci.image.manifest.v1+json",
	"application/vnd.docker.distribution.manifest.list.v2+json",
	"application/vnd.docker.distribution.manifest.v2+json",
}

// RawManifest is a manifest or an index, bit for bit.
type RawManifest struct {
	MediaType string // as the server, or else the document, says
	Digest    string // of Data; "sha256:HEX" unless it was asked for by another
	Data      []byte // nil after Head
}

// Head asks which digest a tag has; one round trip. The digest is "" when the
// registry does not say.
func (r *Repo) Head(ctx context.Context, tag string) (RawManifest, error) {
	resp, _, err := r.pull(ctx, call{method: http.MethodHead, path: "/manifests/" + tag, header: accept()})
	if err != nil {
		return RawManifest{}, err
	}
	defer drain(resp)
	if resp.StatusCode != http.StatusOK {
		return RawManifest{}, statusError(resp)
	}
	return RawManifest{MediaType: mediaType(resp), Digest: resp.Header.Get("Docker-Content-Digest")}, nil
}

// Manifest fetches a manifest or an index by tag or digest; one round trip. A
// digest is verified.
func (r *Repo) Manifest(ctx context.Context, tagOrDigest string) (RawManifest, error) {
	resp, _, err := r.pull(ctx, call{method: http.MethodGet, path: "/manifests/" + tagOrDigest, header: accept()})
	if err != nil {
		return RawManifest{}, err
	}
	defer drain(resp)
	if resp.StatusCode != http.StatusOK {
		return RawManifest{}, statusError(resp)
	}
	data, err := readLimited(resp.Body, maxManifest)
	if err != nil {
		return RawManifest{}, fault.New(fault.KindOf(err), "read manifest %s: %w", tagOrDigest, err)
	}
	m := RawManifest{MediaType: mediaType(resp), Digest: digestOf(data), Data: data}
	if strings.Contains(tagOrDigest, ":") {
		if err := checkDigest(tagOrDigest, data); err != nil {
			return RawManifest{}, fault.New(fault.Invalid, "read manifest %s: %w", tagOrDigest, err)
		}
		m.Digest = tagOrDigest
	}
	return m, refuseSchema1(&m)
}

// refuseSchema1 knows it by its media type, or by what it says of itself.
func refuseSchema1(m *RawManifest) error {
	var head struct {
		Version   int    `json:"schemaVersion"`
		MediaType string `json:"mediaType"`
	}
	if err := json.Unmarshal(m.Data, &head); err != nil {
		return fault.New(fault.Invalid, "read manifest %s: %w", m.Digest, err)
	}
	if head.Version == 1 || strings.Contains(m.MediaType, "manifest.v1+") && strings.Contains(m.MediaType, "docker.distribution") {
		return fault.WithHint(fault.New(fault.Unsupported, "the image has a manifest of schema version 1, which is not supported"), "push it again with a newer tool")
	}
	if head.MediaType != "" {
		m.MediaType = head.MediaType
	}
	return nil
}

func accept() http.Header { return http.Header{"Accept": {strings.Join(manifestTypes, ", ")}} }

func mediaType(resp *http.Response) string {
	t, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	return strings.TrimSpace(t)
}

// Small fetches a blob that must be small, such as a config, and verifies it.
func (r *Repo) Small(ctx context.Context, digest string) ([]byte, error) {
	var last error
	for range 2 { // what was damaged on its way may come whole
		resp, k, err := r.pull(ctx, call{method: http.MethodGet, path: "/blobs/" + digest})
		if err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusOK {
			err := statusError(resp)
			drain(resp)
			return nil, err
		}
		data, err := readLimited(resp.Body, maxManifest)
		drain(resp)
		if err == nil {
			err = checkDigest(digest, data)
		}
		if err == nil {
			return data, nil
		}
		last = fault.New(fault.KindOf(err), "read %s: %w", digest, err)
		r.distrust(k)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, last
}

// Tags lists the tags of the repository, page by page.
func (r *Repo) Tags(ctx context.Context) ([]string, error) {
	var all []string
	q := call{method: http.MethodGet, path: "/tags/list", query: url.Values{"n": {"1000"}}}
	for range 10_000 {
		resp, _, err := r.pull(ctx, q)
		if err != nil {
			return nil, err
		}
		data, err := bodyOf(resp)
		if err != nil {
			return nil, err
		}
		var page struct {
			Tags []string `json:"tags"`
		}
		if err := json.Unmarshal(data, &page); err != nil {
			return nil, fault.New(fault.Invalid, "list tags of %s/%s: %w", r.Domain, r.Path, err)
		}
		all = append(all, page.Tags...)
		more := nextPage(resp)
		if more == nil {
			return all, nil
		}
		q.query = more
	}
	return nil, fault.New(fault.Invalid, "list tags of %s/%s: the list has no end", r.Domain, r.Path)
}

// nextPage reads Link: <URL>; rel="next" (distribution-spec). Only its query
// counts, so that it can lead nowhere else.
func nextPage(resp *http.Response) url.Values {
	for _, l := range resp.Header.Values("Link") {
		target, params, _ := strings.Cut(l, ">")
		if !strings.Contains(params, "next") {
			continue
		}
		if u, err := url.Parse(strings.TrimPrefix(strings.TrimSpace(target), "<")); err == nil && u.RawQuery != "" {
			return u.Query()
		}
	}
	return nil
}

// Referrers lists the manifests that refer to one by its digest, by the API or
// by the tag schema that stands in for it (distribution-spec, "referrers").
func (r *Repo) Referrers(ctx context.Context, digest, artifactType string) ([]Referrer, error) {
	resp, _, err := r.pull(ctx, call{method: http.MethodGet, path: "/referrers/" + digest})
	if err != nil && !isStatus(err, http.StatusNotFound) {
		return nil, err
	}
	var data []byte
	if err == nil && resp.StatusCode == http.StatusOK {
		data, err = readLimited(resp.Body, maxManifest)
		drain(resp)
		if err != nil {
			return nil, err
		}
	} else {
		if err == nil {
			drain(resp)
		}
		m, err := r.Manifest(ctx, strings.Replace(digest, ":", "-", 1))
		if fault.KindOf(err) == fault.NotFound {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		data = m.Data
	}
	var index struct {
		Manifests []Referrer `json:"manifests"`
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fault.New(fault.Invalid, "list what refers to %s: %w", digest, err)
	}
	var list []Referrer
	for _, m := range index.Manifests {
		if artifactType == "" || m.ArtifactType == artifactType {
			list = append(list, m)
		}
	}
	return list, nil
}

// Referrer is a manifest that refers to another.
type Referrer struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	ArtifactType string            `json:"artifactType"`
	Annotations  map[string]string `json:"annotations"`
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// errDigest is what a wrong digest is.
var errDigest = errors.New("the content does not have its digest")

// checkDigest verifies data by any digest that a reference may have.
func checkDigest(digest string, data []byte) error {
	alg, want, _ := strings.Cut(digest, ":")
	var sum []byte
	switch alg {
	case "sha256":
		s := sha256.Sum256(data)
		sum = s[:]
	case "sha384":
		s := sha512.Sum384(data)
		sum = s[:]
	case "sha512":
		s := sha512.Sum512(data)
		sum = s[:]
	default:
		return fault.New(fault.Unsupported, "digest %s is not supported", alg)
	}
	if got := hex.EncodeToString(sum); got != want {
		return &fault.Error{Kind: fault.Invalid, Text: fmt.Sprintf("%s: it is %s:%s", errDigest, alg, got), Err: errDigest}
	}
	return nil
}
