package logs

import (
	"strconv"
	"strings"

	"github.com/tare-engine/tare/fault"
)

// Args returns the settings besides the driver as texts of the form key=value,
// for the arguments of a process. [Parse] reads them.
func (c *Config) Args() []string {
	var a []string
	if c.MaxSize != 0 {
		a = append(a, "max-size="+strconv.FormatInt(c.MaxSize, 10))
	}
	if c.MaxFile != 0 {
		a = append(a, "max-file="+strconv.Itoa(c.MaxFile))
	}
	if c.File != "" {
		a = append(a, "file="+c.File)
	}
	for _, t := range c.Attrs {
		a = append(a, "attr="+t.Key+"="+t.Value)
	}
	for _, t := range c.Fields {
		a = append(a, "field="+t.Key+"="+t.Value)
	}
	return a
}

// Parse reads the settings that [Config.Args] has written. Keys of a later
// version are skipped.
func Parse(driver string, args []string) (Config, error) {
	c := Config{Driver: driver}
	for _, a := range args {
		key, value, _ := strings.Cut(a, "=")
		var err error
		switch key {
		case "max-size":
			c.MaxSize, err = strconv.ParseInt(value, 10, 64)
		case "max-file":
			c.MaxFile, err = strconv.Atoi(value)
		case "file":
			c.File = value
		case "attr":
			k, v, _ := strings.Cut(value, "=")
			c.Attrs = append(c.Attrs, Attr{k, v})
		case "field":
			k, v, _ := strings.Cut(value, "=")
			c.Fields = append(c.Fields, Attr{k, v})
		}
		if err != nil {
			return c, fault.New(fault.Invalid, "log setting %s: %w", a, err)
		}
	}
	return c, nil
}
