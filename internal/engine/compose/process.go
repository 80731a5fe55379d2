package compose

import (
	"path"
	"slices"
	"strings"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// defaultPath is the PATH of a container whose image sets none.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// maxEnv bounds the variables of an image, whose merge takes a time that
// grows with their square.
const maxEnv = 1 << 14

// Command returns the arguments of the first process: the configuration's
// entrypoint and command before the image's. An entrypoint of the
// configuration drops the image's command, and [""] the image's entrypoint.
func Command(c *api.Config, img *api.ImageDefaults) []string {
	entrypoint, cmd := c.Entrypoint, c.Cmd
	if img != nil && len(entrypoint) == 0 {
		if len(cmd) == 0 {
			cmd = img.Cmd
		}
		if entrypoint == nil {
			entrypoint = img.Entrypoint
		}
	}
	if len(entrypoint) == 1 && entrypoint[0] == "" {
		entrypoint = nil
	}
	return slices.Concat(entrypoint, cmd)
}

// environment merges what every container gets, the image's variables and
// the configuration's, in this order; the last of a name wins and keeps the
// place of the first. A name without a value removes the variable.
func environment(c *api.Config, img *api.ImageDefaults, hostname, home string) ([]string, error) {
	n := 3 + len(c.Env)
	if img != nil {
		n += len(img.Env)
	}
	if n > maxEnv {
		return nil, fault.New(fault.Invalid, "more than %d environment variables", maxEnv)
	}
	env := make([]string, 0, n)
	env = append(env, "PATH="+defaultPath, "HOSTNAME="+hostname)
	if c.Tty {
		env = append(env, "TERM=xterm")
	}
	if img != nil {
		env = SetEnv(env, img.Env)
	}
	env = SetEnv(env, c.Env)
	for _, e := range env {
		if strings.IndexByte(e, 0) >= 0 || e[0] == '=' {
			return nil, fault.New(fault.Invalid, "invalid environment variable: %q", e)
		}
	}
	// An empty HOME is none: what runc and crun do.
	if i := IndexEnv(env, "HOME"); i < 0 {
		env = append(env, "HOME="+home)
	} else if env[i] == "HOME=" {
		env[i] = "HOME=" + home
	}
	return env, nil
}

// SetEnv adds variables to env: the last of a name wins, in the place of the
// first, and a name without a value removes the variable.
func SetEnv(env, more []string) []string {
	for _, e := range more {
		name, _, set := strings.Cut(e, "=")
		i := IndexEnv(env, name)
		switch {
		case e == "":
		case !set && i >= 0:
			env = slices.Delete(env, i, i+1)
		case !set:
		case i >= 0:
			env[i] = e
		default:
			env = append(env, e)
		}
	}
	return env
}

// IndexEnv returns the place of a variable in env, or -1.
func IndexEnv(env []string, name string) int {
	return slices.IndexFunc(env, func(e string) bool {
		return len(e) > len(name) && e[len(name)] == '=' && e[:len(name)] == name
	})
}

// workingDir is the configuration's or else the image's.
func workingDir(c *api.Config, img *api.ImageDefaults) (string, error) {
	dir := c.WorkingDir
	if dir == "" && img != nil {
		dir = img.WorkingDir
		if dir != "" && dir[0] != '/' {
			dir = "/" + dir // written by old builders
		}
	}
	if dir == "" {
		dir = "/"
	}
	if dir[0] != '/' {
		return "", fault.New(fault.Invalid, "the working directory %q is invalid: it needs to be an absolute path", dir)
	}
	return path.Clean(dir), nil
}

// UserString is the configuration's or else the image's user.
func UserString(c *api.Config, img *api.ImageDefaults) string {
	if c.User == "" && img != nil {
		return img.User
	}
	return c.User
}

// checkHostname follows RFC 1123, relaxed as in Docker: letters, digits,
// hyphens and dots, at most 64 bytes in all, the kernel's limit.
func checkHostname(what, name string) error {
	if len(name) > 64 {
		return fault.New(fault.Invalid, "invalid %s %q: longer than 64 bytes", what, name)
	}
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_':
		case (c == '-' || c == '.') && i > 0:
		default:
			return fault.New(fault.Invalid, "invalid %s %q: it has letters, digits, hyphens and dots", what, name)
		}
	}
	return nil
}
