package logs

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// Container is what options of a log may refer to.
type Container struct {
	ID, Name       string
	Image, ImageID string
	Labels         map[string]string
	Env            []string // NAME=VALUE, as the container has it
}

// The defaults of the options.
const (
	DefaultMaxSize = 10_000_000
	DefaultMaxFile = 3
)

// minSize is the smallest max-size that makes sense.
const minSize = 1024

// Resolve computes the settings of a container's log from the driver's name
// (empty is local) and the options asked for, which are Docker's. What cannot
// be honoured is an error that names it. It looks at nothing of the machine.
func Resolve(driver string, options map[string]string, ct *Container) (Config, error) {
	c := Config{Driver: driver, MaxSize: DefaultMaxSize, MaxFile: DefaultMaxFile}
	switch driver {
	case "", "default":
		c.Driver = Local
	case Local, None, Journald:
	case JSONFile:
		c.File = ct.ID + "-json.log"
	case K8sFile:
		c.File = "ctr.log"
	case "syslog", "gelf", "fluentd", "awslogs", "splunk", "gcplogs", "etwlogs", "logentries", "passthrough", "passthrough-tty":
		return c, fault.New(fault.Unsupported, "log driver %s: not supported; there are local, json-file, k8s-file, journald and none", driver)
	default:
		return c, fault.New(fault.Invalid, "unknown log driver %q; there are local, json-file, k8s-file, journald and none", driver)
	}
	for _, k := range sortedKeys(options) {
		if err := c.option(k, options[k], ct); err != nil {
			return c, err
		}
	}
	if c.Driver == Journald {
		c.journalFields(options["tag"], ct)
	}
	if c.Driver == None || c.Driver == Journald {
		c.MaxSize, c.MaxFile = 0, 0
	}
	// A label may be called tag too: it stays the first of the two.
	slices.SortStableFunc(c.Attrs, func(a, b Attr) int { return strings.Compare(a.Key, b.Key) })
	return c, nil
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (c *Config) option(key, value string, ct *Container) (err error) {
	refused := func(why string) error {
		return fault.New(fault.Unsupported, "log option %s=%s: %s", key, value, why)
	}
	invalid := func(want string) error {
		return fault.New(fault.Invalid, "log option %s=%s: %s", key, value, want)
	}
	files := c.Driver == Local || c.Driver == JSONFile || c.Driver == K8sFile
	switch key {
	case "max-size":
		if !files {
			break
		}
		n, ok := parseSize(value)
		switch {
		case value == "-1" || value == "unlimited":
			n = 0
		case !ok:
			return invalid("not a size (10m, 1g, or -1 for no limit)")
		case n < minSize:
			return invalid("too small: a file has at least 1k")
		}
		c.MaxSize = n
		return nil
	case "max-file":
		if !files {
			break
		}
		if c.MaxFile, err = strconv.Atoi(value); err != nil || c.MaxFile < 1 {
			return invalid("not a number of files, 1 or more")
		}
		return nil
	case "path":
		if c.Driver != K8sFile {
			break
		}
		if !path.IsAbs(value) {
			return invalid("not an absolute path")
		}
		c.File = path.Clean(value)
		return nil
	case "mode":
		switch value {
		case "", "blocking":
			return nil
		case "non-blocking":
			return refused("not supported: what is written goes straight to the driver, and nothing is kept in memory")
		}
		return invalid("blocking is the one mode")
	case "max-buffer-size":
		return refused("not supported: it belongs to mode=non-blocking, which is not")
	case "compress":
		switch on, perr := strconv.ParseBool(value); {
		case perr != nil:
			return invalid("not a boolean")
		case on:
			return refused("not supported: a log that is rotated is kept as it is")
		}
		return nil
	case "labels-regex", "env-regex":
		return refused("not supported: name them with " + strings.TrimSuffix(key, "-regex"))
	case "tag":
		if c.Driver == None {
			break
		}
		tag, terr := expandTag(value, ct)
		if terr != nil {
			return terr
		}
		if c.Driver != Journald && value != "" {
			c.Attrs = append(c.Attrs, Attr{"tag", tag})
		}
		return nil
	case "labels":
		if c.Driver == None {
			break
		}
		for name := range strings.SplitSeq(value, ",") {
			if v, ok := ct.Labels[name]; ok {
				c.attr(name, v)
			}
		}
		return nil
	case "env":
		if c.Driver == None {
			break
		}
		for name := range strings.SplitSeq(value, ",") {
			for _, e := range ct.Env {
				if n, v, _ := strings.Cut(e, "="); n == name {
					c.attr(name, v)
				}
			}
		}
		return nil
	}
	return fault.New(fault.Invalid, "unknown log opt '%s' for %s log driver", key, c.Driver)
}

// attr adds an attribute, or replaces one of the same name.
func (c *Config) attr(key, value string) {
	for i := range c.Attrs {
		if c.Attrs[i].Key == key {
			c.Attrs[i].Value = value
			return
		}
	}
	c.Attrs = append(c.Attrs, Attr{key, value})
}

// parseSize reads a size in Docker's form for logs: powers of 1000.
func parseSize(s string) (int64, bool) {
	digits := strings.TrimRight(s, "kmgtKMGTbB")
	unit := strings.TrimSuffix(strings.ToLower(s[len(digits):]), "b")
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || n < 0 || len(unit) > 1 || n > 1<<50 {
		return 0, false
	}
	if unit != "" {
		for range strings.IndexByte("kmgt", unit[0]) + 1 {
			n *= 1000
		}
	}
	return int64(n), n < 1<<62
}

// journalFields are those of Docker's journald driver.
func (c *Config) journalFields(tag string, ct *Container) {
	if tag == "" {
		tag = "{{.ID}}"
	}
	tag, err := expandTag(tag, ct)
	if err != nil {
		return // reported by the option
	}
	c.Fields = []Attr{
		{"CONTAINER_ID", short(ct.ID)},
		{"CONTAINER_ID_FULL", ct.ID},
		{"CONTAINER_NAME", ct.Name},
		{"CONTAINER_TAG", tag},
		{"IMAGE_NAME", ct.Image},
		{"SYSLOG_IDENTIFIER", tag},
	}
}

func short(id string) string { return id[:min(12, len(id))] }

// expandTag fills in the fields of a tag: {{.Name}} and the like.
func expandTag(tag string, ct *Container) (string, error) {
	var out strings.Builder
	for rest := tag; ; {
		text, after, found := strings.Cut(rest, "{{")
		out.WriteString(text)
		if !found {
			return out.String(), nil
		}
		expr, more, closed := strings.Cut(after, "}}")
		v, ok := tagField(strings.TrimSpace(expr), ct)
		if !closed || !ok {
			return "", fault.New(fault.Invalid, "log option tag=%s: {{%s}} is none of .ID .FullID .Name .ImageID .ImageFullID .ImageName .DaemonName", tag, expr)
		}
		out.WriteString(v)
		rest = more
	}
}

func tagField(expr string, ct *Container) (string, bool) {
	switch expr {
	case ".ID":
		return short(ct.ID), true
	case ".FullID":
		return ct.ID, true
	case ".Name", ".FullName":
		return ct.Name, true
	case ".ImageID":
		return short(strings.TrimPrefix(ct.ImageID, "sha256:")), true
	case ".ImageFullID":
		return ct.ImageID, true
	case ".ImageName":
		return ct.Image, true
	case ".DaemonName":
		return "tare", true
	}
	return "", false
}
