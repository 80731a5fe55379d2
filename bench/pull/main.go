// Command pull measures how long engines take to bring an image from a
// registry on loopback, or from an archive of docker save, into an empty store,
// next to what curl, a decompressor and tar do with the same blobs.
//
//	go run ./bench/pull -bin bin -n 5 LAYER.tar...
//
// The first archive is the image of one layer, all together are the other. It
// runs as root, in mount and network namespaces of its own, on a tmpfs or in
// -dir; the daemons that it starts end with it. Needs docker-registry, pigz and
// zstd; engines that are not installed are left out.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/bench/apart"
)

const host = "127.0.0.1:5000"

// engine is one way to get an image. Each command is for sh; $REF is the
// image, $W the engine's own directory, $BLOBS the digests of its layers.
type engine struct {
	name, needs string
	daemon      string // is running meanwhile
	ready       string // succeeds when the daemon is up
	pull        string
	load        string // $ARCHIVE is one of docker save, $TARS its layers
	clean       string // makes the store empty again

	dir     string
	running *exec.Cmd
	unready string               // why it is left out
	times   map[string][]float64 // by tag
	failed  map[string]string    // by tag: why
	rss     int64                // KiB, the largest of all processes of the command
}

func engines(bin string) []*engine {
	return []*engine{
		{
			name: "tare", needs: bin + "/tare",
			pull:  bin + "/tare --root $W/root --run-root $W/run pull -q $REF",
			load:  bin + "/tare --root $W/root --run-root $W/run load -q -i $ARCHIVE",
			clean: "rm -rf $W/root $W/run",
		},
		{
			name: "curl, decompressor and tar, layers in parallel", needs: "curl",
			pull:  "for b in $BLOBS; do mkdir -p $W/t/$b; (curl -s http://" + host + "/v2/bench/blobs/$b | $UNZIP -dc | tar -x -p --numeric-owner -C $W/t/$b) & done; wait",
			load:  "for t in $TARS; do d=$W/t/${t##*/}; mkdir -p $d; tar -x -p --numeric-owner -C $d -f $t & done; wait",
			clean: "rm -rf $W/t",
		},
		{
			name: "podman", needs: "podman",
			pull:  "podman --root $W/root --runroot $W/run pull -q --tls-verify=false $REF",
			load:  "podman --root $W/root --runroot $W/run load -q -i $ARCHIVE",
			clean: "podman --root $W/root --runroot $W/run rmi -af; rm -rf $W/root $W/run",
		},
		{
			name: "ctr (containerd)", needs: "containerd",
			daemon: "exec containerd --root $W/root --state $W/run --address $W/sock --config /dev/null",
			ready:  "ctr -a $W/sock version",
			pull:   "ctr -a $W/sock images pull --plain-http $REF",
			load:   "ctr -a $W/sock images import $ARCHIVE",
			clean:  "ctr -a $W/sock images rm --sync $REF; ctr -a $W/sock content prune references",
		},
		{
			name: "docker", needs: "dockerd",
			daemon: "exec dockerd --data-root $W/root --exec-root $W/run --pidfile $W/pid -H unix://$W/sock --bridge none --iptables=false --ip6tables=false",
			ready:  "docker -H unix://$W/sock info",
			pull:   "docker -H unix://$W/sock pull -q $REF",
			load:   "docker -H unix://$W/sock load -q -i $ARCHIVE",
			clean:  "docker -H unix://$W/sock rmi -f $REF",
		},
	}
}

func main() {
	n := flag.Int("n", 5, "measured pulls of each engine and image")
	dir := flag.String("dir", "", "work there, not on a tmpfs")
	bin := flag.String("bin", "bin", "directory of tare's programs")
	only := flag.String("engines", "", "only those whose names have one of these words, with commas between")
	which := flag.String("images", "", "only images whose names have this word: gzip, zstd, load, one, ...")
	flag.Parse()
	if err := run(*n, *dir, *bin, *only, *which, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "bench/pull:", err)
		os.Exit(1)
	}
}

func run(n int, dir, bin, only, which string, tars []string) (err error) {
	if !apart.Inside() {
		return apart.Enter()
	}
	if len(tars) == 0 {
		return errors.New("want archives of layers")
	}
	if bin, err = filepath.Abs(bin); err != nil {
		return err
	}
	work, err := workDir(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	stop, err := startRegistry(work)
	if err != nil {
		return err
	}
	defer stop()
	var images []*bimage
	for _, kind := range []string{"gzip", "zstd"} {
		var layers []blob
		for i, t := range tars {
			l, err := compress(work, t, kind, i)
			if err != nil {
				return err
			}
			layers = append(layers, l)
		}
		one := &bimage{tag: "one-" + kind, layers: layers[:1], unzip: map[string]string{"gzip": "pigz", "zstd": "zstd"}[kind]}
		images = append(images, one)
		if len(layers) > 1 {
			images = append(images, &bimage{tag: fmt.Sprintf("%d-%s", len(layers), kind), layers: layers, unzip: one.unzip})
		}
	}
	for _, m := range images {
		if err := m.push(); err != nil {
			return err
		}
	}
	loaded, err := archives(work, tars)
	if err != nil {
		return err
	}
	images = append(images, loaded...)
	images = slices.DeleteFunc(images, func(m *bimage) bool { return !strings.Contains(m.tag, which) })
	list := engines(bin)
	if only != "" {
		list = slices.DeleteFunc(list, func(e *engine) bool {
			return !slices.ContainsFunc(strings.Split(only, ","), func(w string) bool { return strings.Contains(e.name, w) })
		})
	}
	defer func() {
		for _, e := range list {
			e.end()
		}
	}()
	for i, e := range list {
		e.times, e.failed = map[string][]float64{}, map[string]string{}
		e.begin(fmt.Sprintf("%s/engine%d", work, i))
	}
	for round := range n + 1 { // the first does not count
		for _, m := range images {
			for _, i := range rand.Perm(len(list)) {
				if e := list[i]; e.unready == "" && e.failed[m.tag] == "" {
					e.measure(m, round > 0)
				}
			}
		}
	}
	report(images, list, n, dir)
	return nil
}

func workDir(dir string) (string, error) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return "", err
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return "", err
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return "", fmt.Errorf("bring loopback up: %s", out)
	}
	if dir != "" {
		return os.MkdirTemp(dir, "tare-bench-pull-")
	}
	work, err := os.MkdirTemp("", "tare-bench-pull-")
	if err == nil {
		err = unix.Mount("tmpfs", work, "tmpfs", 0, "size=80%")
	}
	if err == nil {
		work += "/w"
		err = os.Mkdir(work, 0o755)
	}
	return work, err
}

func startRegistry(work string) (stop func(), err error) {
	conf := "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: " + work + "/registry}}\nhttp: {addr: " + host + "}\n"
	file := work + "/registry.yml"
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command("docker-registry", "serve", file)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	for range 500 {
		if resp, err := http.Get("http://" + host + "/v2/"); err == nil {
			return stop, resp.Body.Close()
		}
		time.Sleep(10 * time.Millisecond)
	}
	stop()
	return nil, errors.New("docker-registry does not come up")
}

// blob is a layer, compressed.
type blob struct {
	file, digest, diff, media string
	size                      int64
}

func compress(work, tar, kind string, i int) (blob, error) {
	b := blob{file: fmt.Sprintf("%s/layer%d.%s", work, i, kind), media: "application/vnd.oci.image.layer.v1.tar+" + kind}
	program := map[string]string{"gzip": "pigz -6", "zstd": "zstd -q -3"}[kind]
	cmd := exec.Command("sh", "-c", program+` <"$1" >"$2"`, "sh", tar, b.file)
	if out, err := cmd.CombinedOutput(); err != nil {
		return b, fmt.Errorf("compress %s: %w: %s", tar, err, out)
	}
	var err error
	if b.diff, _, err = digestFile(tar); err != nil {
		return b, err
	}
	b.digest, b.size, err = digestFile(b.file)
	return b, err
}

// digestFile reads piece by piece: a child's peak RSS counts from that of the
// process that makes it.
func digestFile(path string) (string, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = f.Close() }() // read only
	h := sha256.New()
	n, err := io.Copy(h, f)
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), n, err
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// bimage is an image of the registry.
type bimage struct {
	tag, unzip string
	layers     []blob
	archive    string // to be loaded, not pulled
}

func (m *bimage) ref() string {
	if m.archive != "" {
		return "docker.io/library/bench:" + m.tag
	}
	return host + "/bench:" + m.tag
}

func (m *bimage) push() error {
	var diffs []string
	var descs []map[string]any
	for _, l := range m.layers {
		f, err := os.Open(l.file)
		if err != nil {
			return err
		}
		if err := errors.Join(upload(f, l.digest, l.size), f.Close()); err != nil {
			return err
		}
		diffs = append(diffs, l.diff)
		descs = append(descs, map[string]any{"mediaType": l.media, "digest": l.digest, "size": l.size})
	}
	config, err := json.Marshal(map[string]any{"architecture": runtime.GOARCH, "os": "linux", "config": map[string]any{}, "rootfs": map[string]any{"type": "layers", "diff_ids": diffs}})
	if err != nil {
		return err
	}
	if err := upload(bytes.NewReader(config), digest(config), int64(len(config))); err != nil {
		return err
	}
	const media = "application/vnd.oci.image.manifest.v1+json"
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": media, "layers": descs,
		"config": map[string]any{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(config), "size": len(config)},
	})
	if err != nil {
		return err
	}
	return put("http://"+host+"/v2/bench/manifests/"+m.tag, media, bytes.NewReader(manifest), int64(len(manifest)))
}

func upload(data io.Reader, digest string, size int64) error {
	resp, err := http.Post("http://"+host+"/v2/bench/blobs/uploads/", "", nil)
	if err != nil {
		return err
	}
	_ = resp.Body.Close() // empty
	to, err := resp.Location()
	if err != nil {
		return err
	}
	q := to.Query()
	q.Set("digest", digest)
	to.RawQuery = q.Encode()
	return put(to.String(), "application/octet-stream", data, size)
}

func put(url, media string, data io.Reader, size int64) error {
	req, err := http.NewRequest(http.MethodPut, url, io.NopCloser(data))
	if err != nil {
		return err
	}
	req.ContentLength = size
	req.Header.Set("Content-Type", media)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close() // only the status counts
	if resp.StatusCode != http.StatusCreated {
		return fmt.Errorf("put %s: %s", url, resp.Status)
	}
	return nil
}
