package store

import (
	"encoding/json"
	"path"
	"slices"
	"strings"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// applyChanges applies Dockerfile instructions to c, as docker import --change
// does.
func applyChanges(c *api.ImageDefaults, changes []string) error {
	for _, change := range changes {
		if err := applyChange(c, change); err != nil {
			return fault.New(fault.Invalid, "apply change %q: %w", change, err)
		}
	}
	return nil
}

func applyChange(c *api.ImageDefaults, change string) error {
	name, rest, _ := strings.Cut(strings.TrimSpace(change), " ")
	rest = strings.TrimSpace(rest)
	if rest == "" {
		return fault.New(fault.Invalid, "it has no value")
	}
	switch strings.ToUpper(name) {
	case "CMD":
		c.Cmd = command(c, rest)
	case "ENTRYPOINT":
		c.Entrypoint = command(c, rest)
	case "SHELL":
		list, ok := jsonList(rest)
		if !ok {
			return fault.New(fault.Invalid, "want a JSON array")
		}
		c.Shell = list
	case "ENV":
		pairs, err := keyValues(rest)
		if err != nil {
			return err
		}
		for _, p := range pairs {
			c.Env = setEnv(c.Env, p[0], p[1])
		}
	case "LABEL":
		pairs, err := keyValues(rest)
		if err != nil {
			return err
		}
		if c.Labels == nil {
			c.Labels = make(map[string]string)
		}
		for _, p := range pairs {
			c.Labels[p[0]] = p[1]
		}
	case "EXPOSE":
		for _, p := range strings.Fields(rest) {
			if !strings.Contains(p, "/") {
				p += "/tcp"
			}
			c.ExposedPorts = insert(c.ExposedPorts, strings.ToLower(p))
		}
	case "VOLUME":
		list, ok := jsonList(rest)
		if !ok {
			list = strings.Fields(rest)
		}
		for _, v := range list {
			c.Volumes = insert(c.Volumes, v)
		}
	case "USER":
		c.User = rest
	case "WORKDIR":
		if !path.IsAbs(rest) {
			rest = path.Join("/", c.WorkingDir, rest)
		}
		c.WorkingDir = path.Clean(rest)
	case "STOPSIGNAL":
		c.StopSignal = rest
	case "ONBUILD":
		c.OnBuild = append(c.OnBuild, rest)
	case "HEALTHCHECK":
		h, err := healthcheck(rest)
		if err != nil {
			return err
		}
		c.Healthcheck = h
	default:
		return fault.New(fault.Invalid, "unknown instruction %s", name)
	}
	return nil
}

// command is the exec form, or the shell form run by the image's shell.
func command(c *api.ImageDefaults, s string) []string {
	if list, ok := jsonList(s); ok {
		return list
	}
	shell := c.Shell
	if len(shell) == 0 {
		shell = []string{"/bin/sh", "-c"}
	}
	return append(slices.Clone(shell), s)
}

func jsonList(s string) ([]string, bool) {
	var list []string
	return list, strings.HasPrefix(s, "[") && json.Unmarshal([]byte(s), &list) == nil
}

// keyValues parses `key=value "k"="v w"` and the old form `key value`.
func keyValues(s string) ([][2]string, error) {
	words, err := splitWords(s)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(words[0], "=") {
		key, value, ok := strings.Cut(s, " ")
		if !ok {
			return nil, fault.New(fault.Invalid, "want key=value")
		}
		return [][2]string{{key, strings.TrimSpace(value)}}, nil
	}
	var out [][2]string
	for _, w := range words {
		key, value, ok := strings.Cut(w, "=")
		if !ok || key == "" {
			return nil, fault.New(fault.Invalid, "want key=value")
		}
		out = append(out, [2]string{key, value})
	}
	return out, nil
}

// splitWords splits at blanks that are not quoted, and takes the quotes away.
func splitWords(s string) ([]string, error) {
	var words []string
	var word []byte
	inWord := false
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && quote != '\'' && i+1 < len(s):
			i++
			word, inWord = append(word, s[i]), true
		case quote != 0:
			if c == quote {
				quote = 0
			} else {
				word = append(word, c)
			}
		case c == '"' || c == '\'':
			quote, inWord = c, true
		case c == ' ' || c == '\t':
			if inWord {
				words, word, inWord = append(words, string(word)), nil, false
			}
		default:
			word, inWord = append(word, c), true
		}
	}
	if quote != 0 {
		return nil, fault.New(fault.Invalid, "a quote is not closed")
	}
	if inWord {
		words = append(words, string(word))
	}
	return words, nil
}

// setEnv replaces the variable where it stands, or appends it.
func setEnv(env []string, key, value string) []string {
	for i, kv := range env {
		if strings.HasPrefix(kv, key+"=") {
			env[i] = key + "=" + value
			return env
		}
	}
	return append(env, key+"="+value)
}

// insert keeps the list sorted and without duplicates.
func insert(list []string, v string) []string {
	i, found := slices.BinarySearch(list, v)
	if found {
		return list
	}
	return slices.Insert(list, i, v)
}
