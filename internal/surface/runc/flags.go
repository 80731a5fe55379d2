package runc

import (
	"strings"

	"github.com/tare-engine/tare/internal/lib/flags"
)

// The rows of a command's flags stand beside it. Their setters are given its
// options: what the command makes of a line, and then runs with.

// globalRows are the flags that come before the command; they set an App.
var globalRows = []flags.Flag{
	{Name: "debug", Usage: "log what is done, too", Set: func(a any, v string) error { return flags.Bool(&a.(*App).debug, v) }},
	{
		Name: "log", Value: "file", Usage: "write messages to this file as well as to standard error",
		Set: func(a any, v string) error { return flags.String(&a.(*App).logFile, v) },
	},
	{
		Name: "log-format", Value: "format", Usage: "format of messages: text or json", Default: "text",
		Set: func(a any, v string) error { return flags.String(&a.(*App).logFormat, v) },
	},
	{
		Name: "root", Value: "dir", Usage: "directory of the containers' state, on a tmpfs",
		Set: func(a any, v string) error { return flags.String(&a.(*App).root, v) },
	},
	{
		Name: "criu", Value: "file", Usage: "program to checkpoint and restore with (default criu, of $PATH)",
		Set: func(a any, v string) error { return flags.String(&a.(*App).criu, v) },
	},
	{
		Name: "systemd-cgroup", Usage: "let systemd make the cgroups; cgroupsPath is slice:prefix:name then",
		Set: func(a any, v string) error { return flags.Bool(&a.(*App).systemd, v) },
	},
	{
		Name: "rootless", Value: "bool", Usage: "do without cgroups that the caller may not use: true, false or auto", Default: "auto",
		Set: func(a any, v string) error { return flags.String(&a.(*App).rootless, v) },
	},
	{Name: "help", Short: 'h', Usage: "show this help", Set: func(a any, v string) error { return flags.Bool(&a.(*App).showHelp, v) }},
	{Name: "version", Short: 'v', Usage: "print the version", Set: func(a any, v string) error { return flags.Bool(&a.(*App).showVers, v) }},
}

// ignoreBool is the setter of a flag that asks for what is so anyway.
func ignoreBool(_ any, v string) error {
	_, err := flags.ParseBool(v)
	return err
}

// names are all names of a flag.
func names(f *flags.Flag) []string {
	list := []string{f.Name}
	if f.Also != "" {
		list = append(list, f.Also)
	}
	if f.Short != 0 {
		list = append(list, string(f.Short))
	}
	return list
}

// left is how a flag is written: "--bundle, -b DIR".
func left(f *flags.Flag) string {
	var b strings.Builder
	for _, n := range names(f) {
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		if b.WriteByte('-'); len(n) > 1 {
			b.WriteByte('-')
		}
		b.WriteString(n)
	}
	if f.Value != "" {
		b.WriteString(" " + strings.ToUpper(f.Value))
	}
	return b.String()
}

// right is what it is for.
func right(f *flags.Flag) string {
	if f.Default == "" {
		return f.Usage
	}
	return f.Usage + " (default " + f.Default + ")"
}
