package cli

import (
	"encoding/csv"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/tare-engine/tare/internal/api"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
)

// parseMount reads --mount: comma-separated key=value pairs, quoted as CSV.
func parseMount(v string) (api.Mount, error) {
	m := api.Mount{Type: api.MountVolume}
	fields, err := csv.NewReader(strings.NewReader(v)).Read()
	if err != nil {
		return m, fault.New(fault.Invalid, "invalid mount: %w", err)
	}
	recursive := ""
	for _, field := range fields {
		key, value, given := strings.Cut(field, "=")
		key = strings.ToLower(key)
		if !given {
			switch key {
			case "readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-src", "idmap":
				value = "true"
			default:
				return m, fault.New(fault.Invalid, "invalid field '%s' must be a key=value pair", field)
			}
		}
		if key == "bind-recursive" {
			recursive = value
			continue
		}
		if err := setMount(&m, key, value); err != nil {
			return m, err
		}
	}
	switch {
	case m.Type == "":
		return m, fault.New(fault.Invalid, "type is required")
	case m.Target == "":
		return m, fault.New(fault.Invalid, "target is required")
	case m.VolumeOptions != nil && m.Type != api.MountVolume:
		return m, fault.New(fault.Invalid, "cannot mix 'volume-*' options with mount type '%s'", m.Type)
	case (m.BindOptions != nil || recursive != "") && m.Type != api.MountBind:
		return m, fault.New(fault.Invalid, "cannot mix 'bind-*' options with mount type '%s'", m.Type)
	case m.TmpfsOptions != nil && m.Type != api.MountTmpfs:
		return m, fault.New(fault.Invalid, "cannot mix 'tmpfs-*' options with mount type '%s'", m.Type)
	}
	return m, bindRecursive(&m, recursive)
}

func setMount(m *api.Mount, key, value string) (err error) {
	switch key {
	case "type":
		m.Type = strings.ToLower(value)
	case "source", "src":
		m.Source = value
		if value == "." || value == ".." || strings.HasPrefix(value, "./") || strings.HasPrefix(value, "../") {
			m.Source, err = filepath.Abs(value)
		}
	case "target", "dst", "destination":
		m.Target = value
	case "readonly", "ro":
		err = mountBool(&m.ReadOnly, key, value)
	case "consistency":
		m.Consistency = strings.ToLower(value)
	case "bind-propagation":
		bindOptions(m).Propagation = strings.ToLower(value)
	case "bind-nonrecursive":
		err = mountBool(&bindOptions(m).NonRecursive, key, value)
	case "bind-create-src":
		err = mountBool(&bindOptions(m).CreateMountpoint, key, value)
	case "idmap":
		if value == "true" {
			value = "auto"
		}
		bindOptions(m).IDMap = value
	case "volume-nocopy":
		err = mountBool(&volumeOptions(m).NoCopy, key, value)
	case "volume-label":
		err = flags.Pair(&volumeOptions(m).Labels, value)
	case "volume-subpath":
		volumeOptions(m).Subpath = value
	case "volume-driver", "volume-opt":
		return fault.New(fault.Unsupported, "%s: volume drivers are not supported yet", key)
	case "tmpfs-size":
		tmpfsOptions(m).SizeBytes, err = api.ParseSize(value)
	case "tmpfs-mode":
		var mode uint64
		mode, err = strconv.ParseUint(value, 8, 12)
		tmpfsOptions(m).Mode = uint32(mode)
	default:
		return fault.New(fault.Invalid, "unexpected key '%s' in '%s=%s'", key, key, value)
	}
	if err != nil {
		return fault.New(fault.Invalid, "invalid value for %s: %s", key, value)
	}
	return nil
}

func mountBool(to *bool, key, value string) error {
	if flags.Bool(to, value) != nil {
		return fault.New(fault.Invalid, "invalid value for %s: %s", key, value)
	}
	return nil
}

// bindRecursive reads Docker's one word for how far a bind mount and its
// read-only flag go.
func bindRecursive(m *api.Mount, word string) error {
	switch word {
	case "", "enabled":
		return nil
	case "disabled":
		bindOptions(m).NonRecursive = true
		return nil
	case "writable":
		if !m.ReadOnly {
			return fault.New(fault.Invalid, "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction")
		}
		bindOptions(m).ReadOnlyNonRecursive = true
		return nil
	case "readonly":
		if !m.ReadOnly {
			return fault.New(fault.Invalid, "option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction")
		}
		if p := bindOptions(m).Propagation; p != "rprivate" {
			return fault.New(fault.Invalid, "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction")
		}
		bindOptions(m).ReadOnlyForceRecursive = true
		return nil
	default:
		return fault.New(fault.Invalid, "invalid value for bind-recursive: %s (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")", word)
	}
}

func bindOptions(m *api.Mount) *api.BindOptions {
	if m.BindOptions == nil {
		m.BindOptions = &api.BindOptions{}
	}
	return m.BindOptions
}

func volumeOptions(m *api.Mount) *api.VolumeOptions {
	if m.VolumeOptions == nil {
		m.VolumeOptions = &api.VolumeOptions{}
	}
	return m.VolumeOptions
}

func tmpfsOptions(m *api.Mount) *api.TmpfsOptions {
	if m.TmpfsOptions == nil {
		m.TmpfsOptions = &api.TmpfsOptions{}
	}
	return m.TmpfsOptions
}
