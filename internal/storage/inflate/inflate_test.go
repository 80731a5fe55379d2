package inflate

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	kgzip "github.com/klauspost/compress/gzip"
)

// all decompresses in chunks of size.
func all(r *Reader, size int) ([]byte, error) {
	buf := make([]byte, Window+size+Slack)
	var out []byte
	for {
		n, err := r.Next(buf, Window)
		out = append(out, buf[Window:n]...)
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		copy(buf, buf[n-Window:n])
	}
}

func compress(t testing.TB, level int, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func samples() map[string][]byte {
	src := rand.NewChaCha8([32]byte{7})
	noise := make([]byte, 300_000)
	_, _ = src.Read(noise)
	skewed := make([]byte, 500_000)
	rnd := rand.New(src)
	for i := range skewed {
		skewed[i] = byte(rnd.ExpFloat64() * 9)
	}
	far := append(bytes.Clone(noise[:32768]), noise[:32768]...)
	return map[string][]byte{
		"empty": nil, "one": {1}, "noise": noise, "zeroes": make([]byte, 1_000_000), "skewed": skewed, "far": far,
		"text":   []byte(strings.Repeat("the quick brown fox jumps over the lazy dog. ", 5000)),
		"period": bytes.Repeat([]byte{1, 2, 3, 4, 5, 6, 7}, 50_000),
	}
}

func TestAgainstFlate(t *testing.T) {
	for name, data := range samples() {
		for _, level := range []int{gzip.NoCompression, gzip.BestSpeed, gzip.DefaultCompression, gzip.BestCompression, gzip.HuffmanOnly} {
			z := compress(t, level, data)
			for _, size := range []int{1, 100, 1000, 65536, 1 << 20} {
				if size == 1 && len(data) > 400_000 {
					continue
				}
				for _, src := range []io.Reader{bytes.NewReader(z), iotest.DataErrReader(bytes.NewReader(z)), iotest.HalfReader(bytes.NewReader(z))} {
					got, err := all(NewReader(src), size)
					if err != nil || !bytes.Equal(got, data) {
						t.Fatalf("%s, level %d, size %d: %d bytes, want %d: %v", name, level, size, len(got), len(data), err)
					}
				}
			}
		}
	}
}

func TestMembers(t *testing.T) {
	a, b := []byte("first "), []byte("second")
	z := append(compress(t, 6, a), compress(t, 6, b)...)
	for _, tail := range []string{"", "\x00", "\x00\x00\x00\x00\x00"} {
		got, err := all(NewReader(strings.NewReader(string(z)+tail)), 100)
		if err != nil || string(got) != "first second" {
			t.Errorf("%q, %v", got, err)
		}
	}
	if _, err := all(NewReader(strings.NewReader(string(z)+"tail")), 100); !errors.Is(err, ErrHeader) {
		t.Errorf("garbage behind: %v", err)
	}
	// A member cannot refer to the one before it.
	var raw bytes.Buffer
	w, err := flate.NewWriterDict(&raw, 9, []byte("first first first first"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("first first first")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	bad := append(compress(t, 6, []byte("first first first first")), []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff")...)
	bad = append(bad, raw.Bytes()...)
	if _, err := all(NewReader(bytes.NewReader(bad)), 1000); !errors.Is(err, ErrData) {
		t.Errorf("reference into another member: %v", err)
	}
}

func TestDamaged(t *testing.T) {
	data := samples()["skewed"][:20_000]
	z := compress(t, 6, data)
	for n := range z {
		if _, err := all(NewReader(bytes.NewReader(z[:n])), 1000); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut at %d of %d: %v", n, len(z), err)
		}
	}
	for i := range z {
		bad := bytes.Clone(z)
		bad[i] ^= 1 << (i % 8)
		got, err := all(NewReader(bytes.NewReader(bad)), 1000)
		if err == nil && !bytes.Equal(got, data) {
			t.Fatalf("byte %d changed: not found", i)
		}
	}
	cut := errors.New("cut")
	if _, err := all(NewReader(io.MultiReader(bytes.NewReader(z[:100]), iotest.ErrReader(cut))), 1000); !errors.Is(err, cut) {
		t.Errorf("got %v", err)
	}
}

func FuzzInflate(f *testing.F) {
	for _, data := range samples() {
		f.Add(compress(f, 6, data[:min(len(data), 2000)]), 100)
		f.Add(compress(f, 1, data[:min(len(data), 2000)]), 777)
	}
	f.Fuzz(func(t *testing.T, z []byte, size int) {
		if size < 100 || size > 1<<16 || len(z) > 1<<12 {
			return
		}
		got, err := all(NewReader(bytes.NewReader(z)), size)
		std, stdErr := gzip.NewReader(bytes.NewReader(z))
		var want []byte
		if stdErr == nil {
			want, stdErr = io.ReadAll(std)
		}
		if (err == nil) != (stdErr == nil) {
			// Of headers, Go takes reserved flags, against RFC 1952, and no
			// names of more than 512 bytes, and checks their checksum. Zeroes
			// behind the last member are gzip's.
			if errors.Is(err, ErrHeader) || errors.Is(stdErr, gzip.ErrHeader) || errors.Is(stdErr, io.ErrUnexpectedEOF) && bytes.HasSuffix(z, []byte{0}) {
				return
			}
			t.Fatalf("got %d bytes, %v; compress/gzip: %d bytes, %v", len(got), err, len(want), stdErr)
		}
		if err == nil && !bytes.Equal(got, want) {
			t.Fatalf("differs: %d and %d bytes", len(got), len(want))
		}
	})
}

func benchData(b *testing.B) []byte {
	if p := os.Getenv("TARE_BENCH_GZIP"); p != "" {
		z, err := os.ReadFile(p)
		if err != nil {
			b.Fatal(err)
		}
		return z
	}
	return compress(b, 6, bytes.Repeat(samples()["skewed"], 8))
}

func BenchmarkInflate(b *testing.B) {
	z := benchData(b)
	buf := make([]byte, Window+1<<18+Slack)
	for b.Loop() {
		r := NewReader(bytes.NewReader(z))
		total := 0
		for {
			n, err := r.Next(buf, Window)
			total += n - Window
			if err != nil {
				break
			}
			copy(buf, buf[n-Window:n])
		}
		b.SetBytes(int64(total))
	}
}

func BenchmarkKlauspost(b *testing.B) {
	z := benchData(b)
	for b.Loop() {
		r, err := kgzip.NewReader(bytes.NewReader(z))
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(n)
	}
}
