package store

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// A record is text of one "key value" pair a line, so that it is decoded in
// microseconds without reflection and read by eye. It starts with recordHead
// and ends with recordEnd. Values escape backslash, newline and tab; lists
// repeat their key.
const (
	recordHead = "tare-image 1"
	recordEnd  = "end"
)

// recordSep parts the key and the value of a label.
const recordSep = "\t"

func encodeRecord(m *Image) []byte {
	var b []byte
	line := func(key, value string) {
		b = append(b, key...)
		b = append(b, ' ')
		b = appendEscaped(b, value)
		b = append(b, '\n')
	}
	optional := func(key, value string) {
		if value != "" {
			line(key, value)
		}
	}
	list := func(key string, values []string) {
		for _, v := range values {
			line(key, v)
		}
	}
	b = append(b, recordHead+"\n"...)
	optional("name", m.Name)
	line("id", m.ID)
	optional("manifest", m.Manifest)
	optional("index", m.Index)
	line("platform", m.Platform.String())
	line("created", strconv.FormatInt(m.Created.Unix(), 10)+"."+strconv.Itoa(m.Created.Nanosecond()))
	line("size", strconv.FormatInt(m.Size, 10))
	optional("build", m.Build)
	line("root", strconv.FormatUint(uint64(m.Root.Mode), 8)+" "+strconv.FormatUint(uint64(m.Root.UID), 10)+" "+strconv.FormatUint(uint64(m.Root.GID), 10))
	list("layer", m.Layers)
	list("blob", m.blobs)
	c := &m.Config
	optional("user", c.User)
	list("env", c.Env)
	list("entrypoint", c.Entrypoint)
	list("cmd", c.Cmd)
	optional("workdir", c.WorkingDir)
	list("volume", c.Volumes)
	list("expose", c.ExposedPorts)
	for _, k := range sortedKeys(c.Labels) {
		b = append(b, "label "...)
		b = appendEscaped(b, k)
		b = append(b, recordSep...)
		b = appendEscaped(b, c.Labels[k])
		b = append(b, '\n')
	}
	optional("stop", c.StopSignal)
	optional("health", string(c.Healthcheck))
	list("shell", c.Shell)
	list("onbuild", c.OnBuild)
	return append(b, recordEnd+"\n"...)
}

func decodeRecord(text string) (Image, error) {
	var m Image
	head, rest, _ := strings.Cut(text, "\n")
	if head != recordHead {
		if strings.HasPrefix(head, "tare-image ") {
			return m, fault.New(fault.Unsupported, "a newer tare wrote it (%q)", head)
		}
		return m, errDamaged
	}
	c := &m.Config
	for rest != recordEnd+"\n" {
		line, next, ok := strings.Cut(rest, "\n")
		if !ok {
			return m, errDamaged
		}
		rest = next
		key, value, _ := strings.Cut(line, " ")
		if key == "label" {
			k, v, _ := strings.Cut(value, recordSep)
			if c.Labels == nil {
				c.Labels = make(map[string]string)
			}
			c.Labels[unescape(k)] = unescape(v)
			continue
		}
		value = unescape(value)
		var err error
		switch key {
		case "name":
			m.Name = value
		case "id":
			m.ID = value
		case "manifest":
			m.Manifest = value
		case "index":
			m.Index = value
		case "platform":
			m.Platform = parsePlatform(value)
		case "created":
			m.Created, err = decodeTime(value)
		case "size":
			m.Size, err = strconv.ParseInt(value, 10, 64)
		case "build":
			m.Build = value
		case "root":
			m.Root, err = decodeRoot(value)
		case "layer":
			m.Layers = append(m.Layers, value)
		case "blob":
			m.blobs = append(m.blobs, value)
		case "user":
			c.User = value
		case "env":
			c.Env = append(c.Env, value)
		case "entrypoint":
			c.Entrypoint = append(c.Entrypoint, value)
		case "cmd":
			c.Cmd = append(c.Cmd, value)
		case "workdir":
			c.WorkingDir = value
		case "volume":
			c.Volumes = append(c.Volumes, value)
		case "expose":
			c.ExposedPorts = append(c.ExposedPorts, value)
		case "stop":
			c.StopSignal = value
		case "health":
			c.Healthcheck = []byte(value)
		case "shell":
			c.Shell = append(c.Shell, value)
		case "onbuild":
			c.OnBuild = append(c.OnBuild, value)
		default:
			err = errDamaged
		}
		if err != nil {
			return m, errDamaged
		}
	}
	if !validID(m.ID) {
		return m, errDamaged
	}
	for _, key := range m.Layers {
		if !validKey(key) {
			return m, errDamaged
		}
	}
	return m, nil
}

var errDamaged = errors.New("the record is damaged")

func decodeTime(s string) (time.Time, error) {
	sec, nsec, _ := strings.Cut(s, ".")
	a, err := strconv.ParseInt(sec, 10, 64)
	b, err2 := strconv.ParseInt(nsec, 10, 64)
	return time.Unix(a, b).UTC(), errors.Join(err, err2)
}

func decodeRoot(s string) (RootAttr, error) {
	mode, rest, _ := strings.Cut(s, " ")
	uid, gid, _ := strings.Cut(rest, " ")
	a, err := strconv.ParseUint(mode, 8, 12)
	b, err2 := strconv.ParseUint(uid, 10, 32)
	c, err3 := strconv.ParseUint(gid, 10, 32)
	return RootAttr{Mode: uint32(a), UID: uint32(b), GID: uint32(c)}, errors.Join(err, err2, err3)
}

func appendEscaped(b []byte, s string) []byte {
	for i := range len(s) {
		switch s[i] {
		case '\\':
			b = append(b, `\\`...)
		case '\n':
			b = append(b, `\n`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			b = append(b, s[i])
		}
	}
	return b
}

func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b = append(b, s[i])
			continue
		}
		i++
		switch s[i] {
		case 'n':
			b = append(b, '\n')
		case 't':
			b = append(b, '\t')
		default:
			b = append(b, s[i])
		}
	}
	return string(b)
}

// maxRecord bounds what is read; Docker's own limit for a config is 4 MiB.
const maxRecord = 16 << 20

// readRecord reads and decodes the record at path.
func (s *Store) readRecord(path string) (Image, error) {
	text, err := readSmall(path)
	if err != nil {
		return Image{}, err
	}
	m, err := decodeRecord(text)
	if err != nil {
		return Image{}, fault.New(fault.KindOf(err), "read image record %s: %w", path, err)
	}
	s.setLower(&m)
	return m, nil
}

func (s *Store) setLower(m *Image) { m.Lower = s.Lower(m.Layers) }

// Lower returns the directories of layers, as [Image].Lower has them.
func (s *Store) Lower(layers []string) []string {
	dirs := make([]string, len(layers))
	for i, key := range layers {
		dirs[len(layers)-1-i] = s.layerDir(key) + "/fs"
	}
	return dirs
}

// readSmall reads a file in three system calls if it is below 4 KiB. The
// buffer is on the stack, which grows for a larger one by a dozen page faults.
func readSmall(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	for errors.Is(err, unix.EINTR) {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return "", err
	}
	defer func() { _ = unix.Close(fd) }() // read only
	buf := make([]byte, 4<<10)
	n := 0
	for {
		k, err := unix.Read(fd, buf[n:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return "", err
		}
		n += k
		if n < len(buf) {
			return string(buf[:n]), nil // a short read of a file is its end
		}
		if len(buf) >= maxRecord {
			return "", fault.New(fault.Invalid, "read %s: larger than %d bytes", path, maxRecord)
		}
		buf = append(buf, make([]byte, len(buf))...)
	}
}
