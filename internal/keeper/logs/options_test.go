package logs

import (
	"reflect"
	"strings"
	"testing"

	"github.com/tare-engine/tare/internal/lib/fault"
)

var container = Container{
	ID: strings.Repeat("ab", 32), Name: "web", Image: "debian:12", ImageID: "sha256:" + strings.Repeat("cd", 32),
	Labels: map[string]string{"app": "shop", "tier": "front"}, Env: []string{"A=1", "B=x=y"},
}

func TestResolve(t *testing.T) {
	type options = map[string]string
	tests := []struct {
		driver  string
		options options
		want    Config
		err     string // part of it
	}{
		{driver: "", want: Config{Driver: Local, MaxSize: 10_000_000, MaxFile: 3}},
		{driver: "none", want: Config{Driver: None}},
		{driver: "json-file", want: Config{Driver: JSONFile, MaxSize: 10_000_000, MaxFile: 3, File: container.ID + "-json.log"}},
		{driver: "local", options: options{"max-size": "2m", "max-file": "1"}, want: Config{Driver: Local, MaxSize: 2_000_000, MaxFile: 1}},
		{driver: "local", options: options{"max-size": "1.5kb"}, want: Config{Driver: Local, MaxSize: 1500, MaxFile: 3}},
		{driver: "local", options: options{"max-size": "-1"}, want: Config{Driver: Local, MaxFile: 3}},
		{driver: "local", options: options{"max-size": "5"}, err: "too small"},
		{driver: "local", options: options{"max-size": "m"}, err: "not a size"},
		{driver: "local", options: options{"max-size": ""}, err: "not a size"},
		{driver: "local", options: options{"max-file": "0"}, err: "1 or more"},
		{driver: "k8s-file", options: options{"path": "/var/log//x.log"}, want: Config{Driver: K8sFile, MaxSize: 10_000_000, MaxFile: 3, File: "/var/log/x.log"}},
		{driver: "k8s-file", options: options{"path": "x.log"}, err: "not an absolute path"},
		{driver: "json-file", options: options{"path": "/x"}, err: "unknown log opt 'path' for json-file log driver"},
		{
			driver:  "local",
			options: options{"tag": "{{.Name}}/{{ .ID }}", "labels": "tier,none,app", "env": "B,A"},
			want: Config{Driver: Local, MaxSize: 10_000_000, MaxFile: 3, Attrs: []Attr{
				{"A", "1"}, {"B", "x=y"}, {"app", "shop"}, {"tag", "web/abababababab"}, {"tier", "front"},
			}},
		},
		{driver: "local", options: options{"tag": "{{.Nope}}"}, err: "{{.Nope}} is none of"},
		{driver: "local", options: options{"tag": "{{.Name"}, err: "is none of"},
		{driver: "local", options: options{"mode": "blocking", "compress": "false"}, want: Config{Driver: Local, MaxSize: 10_000_000, MaxFile: 3}},
		{driver: "local", options: options{"mode": "non-blocking"}, err: "mode=non-blocking: not supported"},
		{driver: "local", options: options{"mode": "x"}, err: "blocking is the one mode"},
		{driver: "local", options: options{"compress": "true"}, err: "compress=true: not supported"},
		{driver: "json-file", options: options{"labels-regex": "^a"}, err: "labels-regex=^a: not supported"},
		{driver: "none", options: options{"max-size": "1m"}, err: "unknown log opt 'max-size' for none log driver"},
		{driver: "syslog", err: "log driver syslog: not supported"},
		{driver: "nope", err: `unknown log driver "nope"`},
		{
			driver: "journald", options: options{"tag": "{{.ImageName}}"},
			want: Config{Driver: Journald, Fields: []Attr{
				{"CONTAINER_ID", "abababababab"},
				{"CONTAINER_ID_FULL", container.ID},
				{"CONTAINER_NAME", "web"},
				{"CONTAINER_TAG", "debian:12"},
				{"IMAGE_NAME", "debian:12"},
				{"SYSLOG_IDENTIFIER", "debian:12"},
			}},
		},
	}
	for _, tt := range tests {
		got, err := Resolve(tt.driver, tt.options, &container)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) || fault.KindOf(err) == fault.Internal {
				t.Errorf("%s %v: error %v, want %q", tt.driver, tt.options, err, tt.err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s %v: %+v (%v), want %+v", tt.driver, tt.options, got, err, tt.want)
		}
	}
}
