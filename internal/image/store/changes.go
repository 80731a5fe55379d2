package store

import (
	"encoding/json"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// applyChanges applies Dockerfile instructions to c, as docker commit and import
// do with --change and a build does: variables are those of the image so far.
func applyChanges(c *api.ImageDefaults, changes []string) error {
	ch := changer{c: c}
	for _, change := range changes {
		if err := ch.apply(change); err != nil {
			return fault.New(fault.Invalid, "apply change %q: %w", change, err)
		}
	}
	return nil
}

type changer struct {
	c   *api.ImageDefaults
	cmd bool // one of the changes was CMD
}

func (ch *changer) apply(change string) (err error) {
	c := ch.c
	name, rest, _ := strings.Cut(strings.TrimSpace(change), " ")
	rest = strings.TrimSpace(rest)
	if rest == "" {
		return fault.New(fault.Invalid, "it has no value")
	}
	switch strings.ToUpper(name) {
	case "CMD":
		c.Cmd, ch.cmd = command(c, rest), true
	case "ENTRYPOINT":
		c.Entrypoint = command(c, rest)
		if !ch.cmd {
			c.Cmd = nil // it was meant for another program
		}
	case "SHELL":
		list, ok := jsonList(rest)
		if !ok {
			return fault.New(fault.Invalid, "want a JSON array")
		}
		c.Shell = list
	case "ENV":
		pairs, err := keyValues(rest, c.Env)
		if err != nil {
			return err
		}
		for _, p := range pairs {
			c.Env = setEnv(c.Env, p[0], p[1])
		}
	case "LABEL":
		pairs, err := keyValues(rest, c.Env)
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
		list, err := words(rest, c.Env)
		if err != nil {
			return err
		}
		for _, w := range list {
			ports, err := exposed(w)
			if err != nil {
				return err
			}
			for _, p := range ports {
				c.ExposedPorts = insert(c.ExposedPorts, p)
			}
		}
	case "VOLUME":
		list, ok := jsonList(rest)
		if !ok {
			list = strings.Fields(rest)
		}
		for _, v := range list {
			if v, err = expand(v, c.Env); err != nil {
				return err
			}
			if v == "" {
				return fault.New(fault.Invalid, "a path is empty")
			}
			c.Volumes = insert(c.Volumes, v)
		}
	case "USER":
		c.User, err = expand(rest, c.Env)
	case "WORKDIR":
		if rest, err = expand(rest, c.Env); err != nil {
			return err
		}
		if !path.IsAbs(rest) {
			rest = path.Join("/", c.WorkingDir, rest)
		}
		c.WorkingDir = path.Clean(rest)
	case "STOPSIGNAL":
		c.StopSignal, err = expand(rest, c.Env)
	case "ONBUILD":
		c.OnBuild = append(c.OnBuild, rest)
	case "HEALTHCHECK":
		c.Healthcheck, err = healthcheck(rest)
	default:
		return fault.New(fault.Invalid, "unknown instruction %s", name)
	}
	return err
}

// exposed are the ports of a word such as 80, 53/udp or 8000-8002.
func exposed(word string) ([]string, error) {
	ports, proto, given := strings.Cut(word, "/")
	if !given {
		proto = "tcp"
	}
	first, last, isRange := strings.Cut(ports, "-")
	if !isRange {
		last = first
	}
	from, err1 := strconv.ParseUint(first, 10, 16)
	to, err2 := strconv.ParseUint(last, 10, 16)
	proto = strings.ToLower(proto)
	if err1 != nil || err2 != nil || from == 0 || to < from || !slices.Contains([]string{"tcp", "udp", "sctp"}, proto) {
		return nil, fault.New(fault.Invalid, "invalid containerPort: %s", word)
	}
	var list []string
	for n := from; n <= to; n++ {
		list = append(list, strconv.FormatUint(n, 10)+"/"+proto)
	}
	return list, nil
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
func keyValues(s string, env []string) ([][2]string, error) {
	list, err := splitWords(s)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(list[0], "=") {
		key, value, ok := strings.Cut(s, " ")
		if !ok {
			return nil, fault.New(fault.Invalid, "want key=value")
		}
		if value, err = expand(strings.TrimSpace(value), env); err != nil {
			return nil, err
		}
		return [][2]string{{key, value}}, nil
	}
	var out [][2]string
	for _, w := range list {
		key, value, ok := strings.Cut(w, "=")
		if key, err = expand(key, env); err != nil {
			return nil, err
		}
		if value, err = expand(value, env); err != nil {
			return nil, err
		}
		if !ok || key == "" {
			return nil, fault.New(fault.Invalid, "want key=value")
		}
		out = append(out, [2]string{key, value})
	}
	return out, nil
}

// words are those of a list, with their variables. A value with blanks is several.
func words(s string, env []string) ([]string, error) {
	list, err := splitWords(s)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, w := range list {
		if w, err = expand(w, env); err != nil {
			return nil, err
		}
		out = append(out, strings.Fields(w)...)
	}
	return out, nil
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
