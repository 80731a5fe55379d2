package registry

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strconv"
	"strings"

	"github.com/tare-engine/tare/internal/image/reference"
	"github.com/tare-engine/tare/internal/image/store"
	"github.com/tare-engine/tare/internal/lib/fault"
)

// Where sigstore's tools leave signatures: cosign's simple signing (cosign,
// specs/SIGNATURE_SPEC.md) in a manifest with the tag sha256-HEX.sig or one
// that refers to the image, and bundles (sigstore, protobuf-specs), of which
// the envelope is in-toto's and DSSE's.
const (
	typeSimpleSigning  = "application/vnd.dev.cosign.simplesigning.v1+json"
	typeCosignArtifact = "application/vnd.dev.cosign.artifact.sig.v1+json"
	typeBundle         = "application/vnd.dev.sigstore.bundle"
	cosignSignature    = "dev.cosignproject.cosign/signature"
	typeInToto         = "application/vnd.in-toto+json"

	maxSignatures = 64 // that are looked at for one image
)

// publicKey reads a PEM public key: ECDSA on P-256, P-384 or P-521, Ed25519 or
// RSA of at least 2048 bits.
func publicKey(data []byte) (crypto.PublicKey, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, fault.New(fault.Invalid, "it is no PEM public key")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fault.New(fault.Invalid, "%w", err)
	}
	switch k := key.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return key, nil
	case *rsa.PublicKey:
		if k.N.BitLen() >= 2048 {
			return key, nil
		}
		return nil, fault.New(fault.Invalid, "an RSA key of %d bits is too short", k.N.BitLen())
	}
	return nil, fault.New(fault.Unsupported, "a key of this kind is not supported")
}

// validSignature checks sig over data by any of the keys.
func validSignature(keys []crypto.PublicKey, data, sig []byte) bool {
	for _, key := range keys {
		ok := false
		switch k := key.(type) {
		case *ecdsa.PublicKey:
			sum := sha256.Sum256(data)
			ok = ecdsa.VerifyASN1(k, sum[:], sig)
			if bits := k.Curve.Params().BitSize; !ok && bits > 256 { // newer tools match the hash to the curve
				if long := sha512.Sum384(data); bits == 384 {
					ok = ecdsa.VerifyASN1(k, long[:], sig)
				} else {
					longer := sha512.Sum512(data)
					ok = ecdsa.VerifyASN1(k, longer[:], sig)
				}
			}
		case ed25519.PublicKey:
			ok = ed25519.Verify(k, data, sig)
		case *rsa.PublicKey:
			sum := sha256.Sum256(data)
			ok = rsa.VerifyPKCS1v15(k, crypto.SHA256, sum[:], sig) == nil || rsa.VerifyPSS(k, crypto.SHA256, sum[:], sig, nil) == nil
		}
		if ok {
			return true
		}
	}
	return false
}

// verifySignatures looks for a signature of the manifest with that digest. The
// error is Denied when there is none that counts.
func verifySignatures(ctx context.Context, r *Repo, digest, identity string, keys []crypto.PublicKey) error {
	manifests, err := signatureManifests(ctx, r, digest)
	if err != nil {
		return err
	}
	why, left := "there is no signature", maxSignatures
	for _, m := range manifests {
		for _, l := range m.Layers {
			bundle := strings.HasPrefix(l.MediaType, typeBundle)
			if !bundle && l.MediaType != typeSimpleSigning || l.Size > maxManifest {
				continue
			}
			if left--; left < 0 {
				return fault.New(fault.Denied, "there are more than %d signatures", maxSignatures)
			}
			data, err := r.Small(ctx, l.Digest)
			if err != nil {
				return err
			}
			if bundle {
				err = checkBundle(data, digest, keys)
			} else {
				err = checkSimple(data, l.Annotations[cosignSignature], digest, identity, keys)
			}
			if err == nil {
				return nil
			}
			why = err.Error()
		}
	}
	return fault.New(fault.Denied, "%s", why)
}

// signatureManifests fetches the manifests that may hold signatures.
func signatureManifests(ctx context.Context, r *Repo, digest string) ([]store.Manifest, error) {
	var list []store.Manifest
	add := func(tagOrDigest string) error {
		raw, err := r.Manifest(ctx, tagOrDigest)
		if fault.KindOf(err) == fault.NotFound {
			return nil
		}
		if err != nil {
			return err
		}
		var m store.Manifest
		if err := json.Unmarshal(raw.Data, &m); err == nil {
			list = append(list, m)
		}
		return nil
	}
	if err := add(strings.Replace(digest, ":", "-", 1) + ".sig"); err != nil {
		return nil, err
	}
	refs, err := r.Referrers(ctx, digest, "")
	if err != nil {
		return nil, err
	}
	for i, ref := range refs {
		if i == maxSignatures {
			break
		}
		if ref.ArtifactType == typeCosignArtifact || strings.HasPrefix(ref.ArtifactType, typeBundle) {
			if err := add(ref.Digest); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// checkSimple checks a payload of simple signing.
func checkSimple(payload []byte, signature, digest, identity string, keys []crypto.PublicKey) error {
	sig, err := base64.StdEncoding.DecodeString(signature)
	if err != nil || !validSignature(keys, payload, sig) {
		return fault.New(fault.Denied, "no signature is by one of its keys")
	}
	var doc struct {
		Critical struct {
			Identity struct {
				Reference string `json:"docker-reference"`
			} `json:"identity"`
			Image struct {
				Digest string `json:"docker-manifest-digest"`
			} `json:"image"`
			Type string `json:"type"`
		} `json:"critical"`
	}
	if err := json.Unmarshal(payload, &doc); err != nil {
		return fault.New(fault.Denied, "the signature's payload is damaged")
	}
	if doc.Critical.Image.Digest != digest {
		return fault.New(fault.Denied, "the signature is for another image")
	}
	switch doc.Critical.Type {
	case "cosign container image signature", "atomic container signature", "https://sigstore.dev/cosign/sign/v1":
	default:
		return fault.New(fault.Denied, "the signature is of an unknown type %q", doc.Critical.Type)
	}
	signed, err := reference.Parse(doc.Critical.Identity.Reference)
	if err != nil || signed.Name() != identity {
		return fault.New(fault.Denied, "the signature is for the name %q", doc.Critical.Identity.Reference)
	}
	return nil
}

// checkBundle checks a bundle that was made with a key. It names the image by
// its digest alone.
func checkBundle(data []byte, digest string, keys []crypto.PublicKey) error {
	var bundle struct {
		Envelope struct {
			Payload    []byte `json:"payload"`
			Type       string `json:"payloadType"`
			Signatures []struct {
				Sig []byte `json:"sig"`
			} `json:"signatures"`
		} `json:"dsseEnvelope"`
	}
	if err := json.Unmarshal(data, &bundle); err != nil {
		return fault.New(fault.Denied, "the signature's bundle is damaged")
	}
	e := &bundle.Envelope
	if e.Type != typeInToto {
		return fault.New(fault.Denied, "the signature is of an unknown type %q", e.Type)
	}
	signed := false
	for _, s := range e.Signatures {
		signed = signed || validSignature(keys, preAuth(e.Type, e.Payload), s.Sig)
	}
	if !signed {
		return fault.New(fault.Denied, "no signature is by one of its keys")
	}
	var statement struct {
		Predicate string `json:"predicateType"`
		Subject   []struct {
			Digest map[string]string `json:"digest"`
		} `json:"subject"`
	}
	if err := json.Unmarshal(e.Payload, &statement); err != nil {
		return fault.New(fault.Denied, "the signature's payload is damaged")
	}
	if statement.Predicate != "https://sigstore.dev/cosign/sign/v1" {
		return fault.New(fault.Denied, "it is an attestation of %q and no signature", statement.Predicate)
	}
	alg, hex, _ := strings.Cut(digest, ":")
	for _, s := range statement.Subject {
		if s.Digest[alg] == hex {
			return nil
		}
	}
	return fault.New(fault.Denied, "the signature is for another image")
}

// preAuth is what a DSSE signature covers (dsse, protocol.md, PAE).
func preAuth(typ string, payload []byte) []byte {
	var b bytes.Buffer
	b.WriteString("DSSEv1 " + strconv.Itoa(len(typ)) + " " + typ + " " + strconv.Itoa(len(payload)) + " ")
	b.Write(payload)
	return b.Bytes()
}
