package store

import (
	"crypto/sha256"
	"encoding/base32"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tare-engine/tare/internal/api"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/testkit"
)

func sample() Image {
	return Image{
		ID: "sha256:" + strings.Repeat("0a", 32), Name: "docker.io/library/x:latest", Manifest: "sha256:" + strings.Repeat("0b", 32),
		Platform: Platform{"linux", "arm", "v7"}, Created: time.Unix(1_700_000_000, 7).UTC(), Size: 12, Build: "1-2",
		Root: RootAttr{0o1755, 4_000_000_000, 5}, Layers: []string{strings.Repeat("a", keyLen), strings.Repeat("b", keyLen)},
		blobs: []string{"sha256:" + strings.Repeat("0c", 32)},
		Config: api.ImageDefaults{
			User: "u:g", Env: []string{"A=b", "C=d\ne\\n"}, Entrypoint: []string{"/bin/sh", "-c"}, Cmd: []string{"", " x\t"},
			WorkingDir: "/w", Volumes: []string{"/v"}, ExposedPorts: []string{"80/tcp"}, Labels: map[string]string{"k": "v", "a\tb": "c\td", "e": ""},
			StopSignal: "SIGINT", Healthcheck: []byte(`{"a":1}`), Shell: []string{"/sh"}, OnBuild: []string{"RUN x"},
		},
	}
}

func TestRecordGolden(t *testing.T) {
	m := sample()
	got := string(encodeRecord(&m))
	if *testkit.Update {
		if err := os.WriteFile("testdata/record.golden", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/record.golden")
	if err != nil || got != string(want) {
		t.Errorf("%v, got:\n%s", err, got)
	}
	back, err := decodeRecord(got)
	if diff := cmp.Diff(m, back, cmp.AllowUnexported(Image{})); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestRecordDamaged(t *testing.T) {
	m := sample()
	good := string(encodeRecord(&m))
	for _, bad := range []string{
		"", "x", good[:len(good)-1], good[:len(good)/2], good + "x", strings.Replace(good, "layer aaa", "layer ../", 1),
		strings.Replace(good, "sha256:0a", "sha256:xx", 1), strings.Replace(good, "user ", "unknown ", 1), strings.Replace(good, "size 12", "size x", 1),
	} {
		if _, err := decodeRecord(bad); err == nil {
			t.Errorf("decoded %q", bad)
		}
	}
	_, err := decodeRecord(strings.Replace(good, recordHead, "tare-image 2", 1))
	if fault.KindOf(err) != fault.Unsupported {
		t.Errorf("newer schema: %v", err)
	}
}

func FuzzRecord(f *testing.F) {
	m := sample()
	f.Add(string(encodeRecord(&m)))
	f.Fuzz(func(t *testing.T, text string) {
		m, err := decodeRecord(text)
		if err != nil {
			return
		}
		again, err := decodeRecord(string(encodeRecord(&m)))
		if diff := cmp.Diff(m, again, cmp.AllowUnexported(Image{}), cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
	})
}

func TestChanges(t *testing.T) {
	for _, tt := range []struct {
		changes string
		want    api.ImageDefaults
		err     string
	}{
		{`CMD ["/bin/x", "y z"]`, api.ImageDefaults{Cmd: []string{"/bin/x", "y z"}}, ""},
		{`cmd echo "$A"`, api.ImageDefaults{Cmd: []string{"/bin/sh", "-c", `echo "$A"`}}, ""},
		{"SHELL [\"/bin/bash\"]\nENTRYPOINT x y", api.ImageDefaults{Shell: []string{"/bin/bash"}, Entrypoint: []string{"/bin/bash", "x y"}}, ""},
		{"ENV A=1 B=\"2 3\" C=4\\ 5\nENV A=6\nENV D 7 8", api.ImageDefaults{Env: []string{"A=6", "B=2 3", "C=4 5", "D=7 8"}}, ""},
		{`LABEL a=1 "b c"='d "e'`, api.ImageDefaults{Labels: map[string]string{"a": "1", "b c": `d "e`}}, ""},
		{"EXPOSE 80 53/UDP\nEXPOSE 80", api.ImageDefaults{ExposedPorts: []string{"53/udp", "80/tcp"}}, ""},
		{"VOLUME /b /a\nVOLUME [\"/c\"]", api.ImageDefaults{Volumes: []string{"/a", "/b", "/c"}}, ""},
		{"USER u:g\nSTOPSIGNAL SIGINT\nONBUILD RUN x", api.ImageDefaults{User: "u:g", StopSignal: "SIGINT", OnBuild: []string{"RUN x"}}, ""},
		{"WORKDIR /a\nWORKDIR b/../c", api.ImageDefaults{WorkingDir: "/a/c"}, ""},
		{"ENV A=1\nENV B=$A:2 C=${A}x D=\\$A E='$A' F=\"$A b\" G=${N:-n} H=${A:+yes} I=$\nENV A=2 J=$A\nENV K $A $B", api.ImageDefaults{Env: []string{
			"A=2", "B=1:2", "C=1x", "D=$A", "E=$A", "F=1 b", "G=n", "H=yes", "I=$", "J=1", "K=2 1:2",
		}}, ""},
		{"ENV P=90 D=/d\nEXPOSE $P 8000-8002 7/sctp\nWORKDIR $D/x\nUSER ${N-u}\nVOLUME [\"$D\"]\nLABEL l=$D", api.ImageDefaults{
			Env: []string{"P=90", "D=/d"}, ExposedPorts: []string{"7/sctp", "8000/tcp", "8001/tcp", "8002/tcp", "90/tcp"},
			WorkingDir: "/d/x", User: "u", Volumes: []string{"/d"}, Labels: map[string]string{"l": "/d"},
		}, ""},
		{"CMD [\"a\"]\nENTRYPOINT [\"b\"]", api.ImageDefaults{Cmd: []string{"a"}, Entrypoint: []string{"b"}}, ""},
		{"EXPOSE 8002-8000", api.ImageDefaults{}, `apply change "EXPOSE 8002-8000": invalid containerPort: 8002-8000`},
		{"ENV A=${B:?gone}", api.ImageDefaults{}, `apply change "ENV A=${B:?gone}": B: gone`},
		{"ENV A=${B%x}", api.ImageDefaults{}, `apply change "ENV A=${B%x}": "${B%x}": this expansion is not supported`},
		{"ENV A=${B", api.ImageDefaults{}, `apply change "ENV A=${B": ${ is not closed`},
		{"HEALTHCHECK NONE", api.ImageDefaults{Healthcheck: []byte(`{"Test":["NONE"]}`)}, ""},
		{"HEALTHCHECK CMD curl -f http://localhost/", api.ImageDefaults{Healthcheck: []byte(`{"Test":["CMD-SHELL","curl -f http://localhost/"]}`)}, ""},
		{`HEALTHCHECK --interval=5s --retries=2 CMD ["a","b"]`, api.ImageDefaults{Healthcheck: []byte(`{"Test":["CMD","a","b"],"Interval":5000000000,"Retries":2}`)}, ""},
		{"HEALTHCHECK --interval=soon CMD x", api.ImageDefaults{}, `apply change "HEALTHCHECK --interval=soon CMD x": flag --interval=soon makes no sense`},
		{"HEALTHCHECK --color CMD x", api.ImageDefaults{}, `apply change "HEALTHCHECK --color CMD x": unknown flag --color`},
		{"HEALTHCHECK CMD", api.ImageDefaults{}, `apply change "HEALTHCHECK CMD": CMD has no command`},
		{"HEALTHCHECK curl", api.ImageDefaults{}, `apply change "HEALTHCHECK curl": neither CMD nor NONE`},
		{"ENV A", api.ImageDefaults{}, `apply change "ENV A": want key=value`},
		{`LABEL a="b`, api.ImageDefaults{}, `apply change "LABEL a=\"b": a quote is not closed`},
		{"CMD", api.ImageDefaults{}, `apply change "CMD": it has no value`},
		{"SHELL x", api.ImageDefaults{}, `apply change "SHELL x": want a JSON array`},
		{`ENV ""`, api.ImageDefaults{}, `apply change "ENV \"\"": want key=value`},
		{"FROM x", api.ImageDefaults{}, `apply change "FROM x": unknown instruction FROM`},
	} {
		var c api.ImageDefaults
		err := applyChanges(&c, strings.Split(tt.changes, "\n"))
		if tt.err != "" {
			if err == nil || err.Error() != tt.err || fault.KindOf(err) != fault.Invalid {
				t.Errorf("%q: %v, want %s", tt.changes, err, tt.err)
			}
			continue
		}
		if diff := cmp.Diff(tt.want, c); err != nil || diff != "" {
			t.Errorf("%q: %v\n%s", tt.changes, err, diff)
		}
	}
}

// TestChangesEntrypoint: the command of the image was meant for another program.
func TestChangesEntrypoint(t *testing.T) {
	c := api.ImageDefaults{Cmd: []string{"old"}}
	if err := applyChanges(&c, []string{`ENTRYPOINT ["new"]`}); err != nil || c.Cmd != nil {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestLayerKey(t *testing.T) {
	sum := sha256.Sum256([]byte("layer"))
	want := strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:keyLen]
	if got := layerKey(digestOf([]byte("layer"))); got != want || !validKey(got) {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestParsePlatform(t *testing.T) {
	for in, want := range map[string]Platform{"linux/amd64": {"linux", "amd64", ""}, "linux/arm/v7": {"linux", "arm", "v7"}} {
		if got, err := ParsePlatform(in); err != nil || got != want || got.String() != in {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "linux", "linux/", "/amd64", "linux/arm/", "linux/arm/v7/x", "Linux/arm", "linux/a m"} {
		if got, err := ParsePlatform(in); err == nil {
			t.Errorf("%q: %+v", in, got)
		}
	}
}
