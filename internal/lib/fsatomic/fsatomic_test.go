package fsatomic

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func names(t *testing.T, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var s []string
	for _, e := range list {
		s = append(s, e.Name())
	}
	return strings.Join(s, " ")
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []Durability{Volatile, Durable} {
		for _, data := range []string{"one", "", "three"} {
			path := filepath.Join(dir, "f")
			if err := WriteFile(path, []byte(data), 0o600, d); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(path)
			if err != nil || string(got) != data {
				t.Fatalf("read %q, %v, want %q", got, err, data)
			}
		}
	}
	if got := names(t, dir); got != "f" {
		t.Errorf("directory holds %q, want f", got)
	}
}

func TestWriteFileFails(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "d", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(filepath.Join(dir, "d"), nil, 0o600, Volatile); err == nil {
		t.Error("replaced a directory by a file")
	}
	if got := names(t, dir); got != "d" {
		t.Errorf("directory holds %q, want d", got)
	}
	err := WriteFile(filepath.Join(dir, "none", "f"), nil, 0o600, Volatile)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want ENOENT", err)
	}
}

func TestStage(t *testing.T) {
	dir := t.TempDir()
	s, err := Stage(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.Path, "f"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Sweep(dir); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit("", filepath.Join(dir, "x")); err != nil {
		t.Fatalf("after a sweep beside a living maker: %v", err)
	}
	if err := s.Discard(); err != nil {
		t.Error(err)
	}
	if got := names(t, dir); got != "x" {
		t.Errorf("directory holds %q, want x", got)
	}

	other, err := Stage(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Commit("", filepath.Join(dir, "x")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second commit: %v, want EEXIST", err)
	}
	if err := other.Discard(); err != nil {
		t.Error(err)
	}
	if got := names(t, dir); got != "x" {
		t.Errorf("directory holds %q, want x", got)
	}
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	for _, p := range []string{Prefix + "1/a/b", Prefix + "2", "keep"} {
		if err := os.MkdirAll(filepath.Join(dir, p), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, Prefix+"file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("keep", filepath.Join(dir, Prefix+"link")); err != nil {
		t.Fatal(err)
	}
	if err := Sweep(dir); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); got != "keep" {
		t.Errorf("directory holds %q, want keep", got)
	}
	if err := Sweep(filepath.Join(dir, "none")); err != nil {
		t.Errorf("sweep of a missing directory: %v", err)
	}
}

func TestRemoveTree(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "f"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		make func(path string) error
	}{
		{"nothing", func(string) error { return nil }},
		{"file", func(p string) error { return os.WriteFile(p, nil, 0o600) }},
		{"link", func(p string) error { return os.Symlink(outside, p) }},
		{"empty", func(p string) error { return os.Mkdir(p, 0o700) }},
		{"links inside", func(p string) error {
			return errors.Join(os.MkdirAll(p+"/a/b", 0o700), os.Symlink(outside, p+"/a/l"), os.Symlink("..", p+"/a/b/l"))
		}},
		{"many", func(p string) error {
			err := os.Mkdir(p, 0o700)
			for i := range 3000 {
				err = errors.Join(err, os.WriteFile(filepath.Join(p, strings.Repeat("x", 20)+string(rune('a'+i%26))+TempName()), nil, 0o600))
			}
			return err
		}},
		{"deep", func(p string) error { return deepTree(p, 2000) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := tt.make(filepath.Join(dir, "x")); err != nil {
				t.Fatal(err)
			}
			if err := RemoveTree(unix.AT_FDCWD, filepath.Join(dir, "x")); err != nil {
				t.Fatal(err)
			}
			if got := names(t, dir); got != "" {
				t.Errorf("left %q", got)
			}
		})
	}
	if got := names(t, outside); got != "f" {
		t.Errorf("outside holds %q, want f", got)
	}
}

// deepTree makes a chain of directories that is too long for a path.
func deepTree(path string, depth int) error {
	if err := unix.Mkdir(path, 0o700); err != nil {
		return err
	}
	fd, err := openDir(unix.AT_FDCWD, path)
	for i := 0; i < depth && err == nil; i++ {
		if err = unix.Mkdirat(fd, "directory", 0o700); err != nil {
			break
		}
		var next int
		next, err = openDir(fd, "directory")
		_ = unix.Close(fd)
		fd = next
	}
	return errors.Join(err, unix.Close(fd))
}

func BenchmarkRemoveEmptyUpper(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		b.StopTimer()
		if err := os.MkdirAll(dir+"/x/work", 0o700); err != nil {
			b.Fatal(err)
		}
		if err := os.Mkdir(dir+"/x/upper", 0o700); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := RemoveTree(unix.AT_FDCWD, dir+"/x"); err != nil {
			b.Fatal(err)
		}
	}
}
