package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"strings"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// Compare compares two trees in all that [Pack] keeps of them, and returns an
// Invalid error that names the first difference of got from want.
func Compare(ctx context.Context, want, got int, o PackOptions) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	a, waitA := packPipe(ctx, want, o)
	b, waitB := packPipe(ctx, got, o)
	err := compareTars(tar.NewReader(a), tar.NewReader(b))
	// Ends a packer that still writes.
	a.CloseWithError(io.ErrClosedPipe)
	b.CloseWithError(io.ErrClosedPipe)
	waitA()
	waitB()
	return err
}

func packPipe(ctx context.Context, root int, o PackOptions) (*io.PipeReader, func()) {
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.CloseWithError(Pack(ctx, root, w, o))
	}()
	return r, func() { <-done }
}

func compareTars(a, b *tar.Reader) error {
	bufA, bufB := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		want, errA := a.Next()
		got, errB := b.Next()
		switch {
		case errors.Is(errA, io.EOF) && errors.Is(errB, io.EOF):
			return nil
		case errA != nil && !errors.Is(errA, io.EOF):
			return errA
		case errB != nil && !errors.Is(errB, io.EOF):
			return errB
		case errors.Is(errA, io.EOF):
			return differs(got.Name, "it is not in the layer")
		case errors.Is(errB, io.EOF):
			return differs(want.Name, "it is missing")
		}
		if want.Name != got.Name {
			if packedBefore(want.Name, got.Name) {
				return differs(want.Name, "it is missing")
			}
			return differs(got.Name, "it is not in the layer")
		}
		if why := compareHeaders(want, got); why != "" {
			return differs(want.Name, why)
		}
		for {
			n, errA := io.ReadFull(a, bufA)
			m, errB := io.ReadFull(b, bufB)
			if n != m || !bytes.Equal(bufA[:n], bufB[:m]) {
				return differs(want.Name, "its content is another")
			}
			if errA != nil || errB != nil {
				if end(errA) && end(errB) {
					break
				}
				return errors.Join(errA, errB)
			}
		}
	}
}

func end(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

func differs(name, why string) error {
	return fault.New(fault.Invalid, "%s: %s", strings.TrimSuffix(name, "/"), why)
}

// packedBefore reports whether Pack writes a before b: what is in a directory
// comes right after it.
func packedBefore(a, b string) bool {
	return strings.ReplaceAll(a, "/", "\x00") < strings.ReplaceAll(b, "/", "\x00")
}

// compareHeaders returns what differs.
func compareHeaders(a, b *tar.Header) string {
	switch {
	case a.Typeflag != b.Typeflag:
		return "it is another kind of file"
	case a.Linkname != b.Linkname:
		return "it links to " + b.Linkname + ", not " + a.Linkname
	case a.Size != b.Size:
		return "it has another size"
	case a.Mode != b.Mode:
		return "it has another mode"
	case a.Uid != b.Uid || a.Gid != b.Gid:
		return "it has another owner"
	case !a.ModTime.Equal(b.ModTime):
		return "it has another time"
	case a.Devmajor != b.Devmajor || a.Devminor != b.Devminor:
		return "it is another device"
	case !maps.Equal(xattrsOf(a), xattrsOf(b)):
		return "it has other extended attributes"
	}
	return ""
}

func xattrsOf(h *tar.Header) map[string]string {
	out := map[string]string{}
	for k, v := range h.PAXRecords {
		if strings.HasPrefix(k, paxXattr) {
			out[k] = v
		}
	}
	return out
}
