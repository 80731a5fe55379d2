package containers

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/api"
	"github.com/tare-engine/tare/internal/engine/images"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/testkit"
)

// TestCommit makes an image of a container's changes and runs it.
func TestCommit(t *testing.T) {
	e := testEngine(t)
	ctx := context.Background()
	c := testContainer("sh", "-c", "echo hi >/new; rm /etc/passwd; rm -r /root; mkdir -p /deep/er; chmod 4711 /bin/busybox")
	c.Name, c.Env = "c1", []string{"A=1"}
	if out, code, err := runContainer(t, e, c); err != nil || code != 0 {
		t.Fatal(out, code, err)
	}
	id, err := e.Commit(ctx, "c1", &CommitOptions{
		Name: "made:1", Author: "me", Message: "why", Pause: true, Changes: []string{`CMD ["cat","/new"]`, "LABEL x=y"},
	})
	if err != nil {
		t.Fatal(err)
	}
	info, err := e.Images.Inspect("made:1")
	if err != nil || info.ID != id || info.Author != "me" || info.Comment != "why" || fmt.Sprint(info.Config.Labels, info.Config.Cmd) != "map[x:y] [cat /new]" {
		t.Errorf("%v: %+v %+v", err, info, info.Config)
	}
	run := testContainer()
	run.Image, run.HostConfig.AutoRemove = "made:1", true
	if out, code, err := runContainer(t, e, run); out != "hi\n" || code != 0 || err != nil {
		t.Errorf("%q, %d, %v", out, code, err)
	}
	run.Cmd = []string{"sh", "-c", "echo $A; ls -d /root /deep/er 2>&1; stat -c %a /bin/busybox"}
	if out, _, err := runContainer(t, e, run); !strings.HasPrefix(out, "1\n") || !strings.Contains(out, "/deep/er\n") || strings.Contains(out, "\n/root\n") || !strings.HasSuffix(out, "4711\n") || err != nil {
		t.Errorf("%q, %v", out, err)
	}

	list, err := e.Images.Diff("made:1", "")
	if got := changes(list, "/new", "/root", "/deep", "/bin/busybox"); err != nil || got != "A/deep A/deep/er A/new C/bin/busybox D/root" {
		t.Errorf("last layer: %s, %v", got, err)
	}
	list, err = e.Images.Diff("made:1", "bb")
	if got := changes(list, "/new", "/root", "/deep", "/bin/busybox"); err != nil || got != "A/root C/bin/busybox D/deep D/new" {
		t.Errorf("the other way: %s, %v", got, err)
	}
	steps, err := e.Images.History("made:1")
	if err != nil || len(steps) != 2 || steps[0].Comment != "why" || steps[0].ID != id || steps[1].ID != images.MissingID || steps[1].Size < 1e5 {
		t.Errorf("history %+v, %v", steps, err)
	}

	// In use by a container only while it is there.
	if _, err := e.Images.Remove("bb", false); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "container c1 uses it") {
		t.Errorf("remove the container's image: %v", err)
	}
	if _, err := e.Remove(ctx, "c1", false, false); err != nil {
		t.Error(err)
	}
	assertEmpty(t, e)
}

// changes writes a list, of which what is or is below one of the paths counts.
func changes(list []api.Change, paths ...string) string {
	var out []string
	for _, kind := range []string{"A", "C", "D"} {
		for _, c := range list {
			for _, p := range paths {
				if c.Kind == kind && (c.Path == p || strings.HasPrefix(c.Path, p+"/")) {
					out = append(out, c.Kind+c.Path)
				}
			}
		}
	}
	return strings.Join(out, " ")
}

func TestImageMount(t *testing.T) {
	e := testEngine(t)
	ctx := context.Background()
	path, err := e.Images.Mount("bb")
	if err != nil {
		t.Fatal(err)
	}
	again, err := e.Images.Mount("bb")
	if err != nil || again != path {
		t.Errorf("again: %s, %v", again, err)
	}
	if _, err := os.Stat(filepath.Join(path, "bin/busybox")); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(path, "x"), nil, 0o600); err == nil {
		t.Error("it can be written to")
	}
	if _, err := e.Images.Remove("bb", false); fault.KindOf(err) != fault.Conflict {
		t.Errorf("remove a mounted image: %v", err)
	}
	if done, err := e.Images.Prune(ctx, api.ImagePruneOptions{All: true}); err != nil || len(done.Removed) > 0 {
		t.Errorf("prune a mounted image: %+v, %v", done, err)
	}
	if list, err := e.Images.Mounted(); err != nil || len(list) != 1 || list[0].Path != path {
		t.Errorf("mounted: %v, %v", list, err)
	}
	if _, err := e.Images.Unmount("bb", false); err != nil {
		t.Error(err)
	}
	if _, err := e.Images.Unmount("bb", false); fault.KindOf(err) != fault.NotFound {
		t.Errorf("unmount again: %v", err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("left: %s: %v", path, err)
	}
}

// imported makes small images without running anything.
func imported(t *testing.T, e *house, name string, changes ...string) string {
	t.Helper()
	tree := t.TempDir()
	if err := os.WriteFile(tree+"/"+strings.NewReplacer("/", "_", ":", "_").Replace(name), []byte(name), fs.FileMode(0o644)); err != nil {
		t.Fatal(err)
	}
	id, err := e.Images.Import(context.Background(), api.Place{Path: tree, Import: &api.ImportOptions{Name: name, Changes: changes}})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func names(t *testing.T, e *house, filters ...string) string {
	t.Helper()
	o := api.ImageListOptions{Until: func(s string) (time.Time, error) {
		d, err := time.ParseDuration(s)
		return time.Now().Add(-d), err
	}}
	for _, f := range filters {
		if err := o.Add(f); err != nil {
			t.Fatal(err)
		}
	}
	list, err := e.Images.List(o)
	if err != nil {
		return err.Error()
	}
	var out []string
	for _, m := range list {
		out = append(out, m.Name+":"+m.Tag)
	}
	return strings.Join(out, " ")
}

func TestImageFiltersAndPrune(t *testing.T) {
	testkit.Root(t, "imports an image")
	dir := t.TempDir()
	e, err := open(options{Root: dir + "/root", RunRoot: dir + "/run"})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	imported(t, e, "team/a:1", "LABEL k=v")
	imported(t, e, "team/b:1", "LABEL k=w")
	imported(t, e, "c:latest")
	imported(t, e, "c:latest") // the first one loses its name
	for filter, want := range map[string]string{
		"":                    "c:latest : team/b:1 team/a:1",
		"dangling=true":       ":",
		"dangling=false":      "c:latest team/b:1 team/a:1",
		"reference=team/*":    "team/b:1 team/a:1",
		"reference=team/*:2":  "",
		"reference=c":         "c:latest",
		"label=k":             "team/b:1 team/a:1",
		"label=k=w":           "team/b:1",
		"before=team/b:1":     "team/a:1",
		"since=team/a:1":      "c:latest : team/b:1",
		"until=1h":            "",
		"before=none":         "find image none: no such image",
		"dangling=maybe":      "invalid filter 'dangling=maybe'",
		"size=3":              "invalid filter 'size'",
		"reference=[":         "invalid filter 'reference=['",
		"reference=docker.io": "",
	} {
		var got string
		if filter == "" {
			got = names(t, e)
		} else {
			got = names(t, e, filter)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", filter, got, want)
		}
	}
	prune := func(all bool, filters ...string) string {
		o := api.ImagePruneOptions{All: all}
		for _, f := range filters {
			if err := o.Add(f); err != nil {
				t.Fatal(err)
			}
		}
		done, err := e.Images.Prune(ctx, o)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprint(len(done.Removed))
	}
	if got := prune(false); got != "1" || names(t, e) != "c:latest team/b:1 team/a:1" {
		t.Errorf("pruned %s, left %q", got, names(t, e))
	}
	if got := prune(true, "label=k=v"); got != "2" || names(t, e) != "c:latest team/b:1" {
		t.Errorf("pruned %s, left %q", got, names(t, e))
	}
	if err := e.Images.Tag("c", "again:2"); err != nil {
		t.Fatal(err)
	}
	if got := prune(true, "label!=k"); got != "3" || names(t, e) != "team/b:1" {
		t.Errorf("pruned %s, left %q", got, names(t, e))
	}
	if got := prune(true, "before=x"); got != "invalid filter 'before'" {
		t.Errorf("pruned %s", got)
	}
}
