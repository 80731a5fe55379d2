package cli

import (
	"bytes"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
)

// maxFile bounds the files that flags name: variables, labels, profiles.
const maxFile = 4 << 20

// readSmall reads a regular file, or what a pipe gives, of at most maxFile.
func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fault.New(fault.Invalid, "larger than %d bytes", maxFile)
	}
	return b, err
}

// addEnv takes NAME=value, or NAME for the caller's own variable. A NAME that
// the caller does not have stays as it is, and removes an image's.
func addEnv(to *[]string, v string, getenv func(string) (string, bool)) error {
	name, _, given := strings.Cut(v, "=")
	if name == "" {
		return fault.New(fault.Invalid, "invalid environment variable: %q", v)
	}
	if !given {
		if value, ok := getenv(name); ok {
			v = name + "=" + value
		}
	}
	*to = append(*to, v)
	return nil
}

// readEnvFile reads the lines NAME=value and NAME of a file. Blank lines and
// those that start with # are skipped; there is no quoting, as in Docker.
func readEnvFile(to *[]string, path string, getenv func(string) (string, bool)) error {
	text, err := readSmall(path)
	if err != nil {
		return fault.New(fault.KindOf(err), "open %s: %w", path, Cause(err))
	}
	return parseEnvFile(to, text, getenv)
}

func parseEnvFile(to *[]string, text []byte, getenv func(string) (string, bool)) error {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) // a byte order mark
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimRight(line, "\r\n")
		if !utf8.ValidString(line) || strings.IndexByte(line, 0) >= 0 {
			return fault.New(fault.Invalid, "line %d: invalid utf8 bytes: %q", number, line)
		}
		line = strings.TrimLeft(line, " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, given := strings.Cut(line, "=")
		switch {
		case name == "":
			return fault.New(fault.Invalid, "line %d: no variable name on line '%s'", number, line)
		case strings.ContainsAny(name, " \t\r\f\v"):
			return fault.New(fault.Invalid, "line %d: variable '%s' contains whitespaces", number, name)
		case given:
			*to = append(*to, name+"="+value)
		default:
			if value, ok := getenv(name); ok {
				*to = append(*to, name+"="+value)
			}
		}
	}
	return nil
}

// readLabelFile reads the lines name=value of a file.
func readLabelFile(to *map[string]string, path string) error {
	text, err := readSmall(path)
	if err != nil {
		return fault.New(fault.KindOf(err), "open %s: %w", path, Cause(err))
	}
	var lines []string
	if err := parseEnvFile(&lines, text, func(string) (string, bool) { return "", true }); err != nil {
		return err
	}
	for _, l := range lines {
		if err := flags.Pair(to, l); err != nil {
			return err
		}
	}
	return nil
}
