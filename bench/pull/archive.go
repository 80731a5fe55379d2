package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// archives writes what docker save makes of the same layers, uncompressed: one
// of the first, one of all.
func archives(work string, tars []string) ([]*bimage, error) {
	var layers []blob
	for _, t := range tars {
		path, err := filepath.Abs(t)
		if err != nil {
			return nil, err
		}
		b := blob{file: path}
		if b.diff, b.size, err = digestFile(path); err != nil {
			return nil, err
		}
		layers = append(layers, b)
	}
	images := []*bimage{{tag: "load-one", layers: layers[:1]}}
	if len(layers) > 1 {
		images = append(images, &bimage{tag: fmt.Sprintf("load-%d", len(layers)), layers: layers})
	}
	for _, m := range images {
		m.archive = work + "/" + m.tag + ".tar"
		if err := m.save(); err != nil {
			return nil, err
		}
	}
	return images, nil
}

// save writes the archive of an image.
func (m *bimage) save() (err error) {
	f, err := os.Create(m.archive)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	tw := tar.NewWriter(f)
	add := func(name string, size int64, r io.Reader) error {
		if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size}); err != nil {
			return err
		}
		_, err := io.Copy(tw, r)
		return err
	}
	var diffs, names []string
	for i, l := range m.layers {
		in, err := os.Open(l.file)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("%d/layer.tar", i)
		if err := errors.Join(add(name, l.size, in), in.Close()); err != nil {
			return err
		}
		diffs, names = append(diffs, l.diff), append(names, name)
	}
	config, err := json.Marshal(map[string]any{"architecture": runtime.GOARCH, "os": "linux", "config": map[string]any{}, "rootfs": map[string]any{"type": "layers", "diff_ids": diffs}})
	if err != nil {
		return err
	}
	list, err := json.Marshal([]map[string]any{{"Config": "config.json", "RepoTags": []string{"bench:" + m.tag}, "Layers": names}})
	if err != nil {
		return err
	}
	for name, data := range map[string]string{"config.json": string(config), "manifest.json": string(list)} {
		if err := add(name, int64(len(data)), strings.NewReader(data)); err != nil {
			return err
		}
	}
	return tw.Close()
}
