package cli

import (
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/flags"
)

// The commands that read and write archives of images. Their actions are in
// tared, which knows zstd.

func saveCommand() Command {
	return Command{
		Name: "save", Aliases: []string{"image save"}, Args: "IMAGE [IMAGE...]", Short: "Write images as an archive",
		Long:    "The archive is an OCI image layout that docker load and podman load read as well. An IMAGE without a tag stands for all of its tags.",
		Example: "tare save -o debian.tar debian:bookworm\ntare save web db | ssh host tare load\ntare save --format oci-dir -o layout debian",
		Flags:   saveFlags, MinArgs: 1, MaxArgs: -1, Complete: CompleteImages, Cold: true,
		Options: func() any { return &SaveOptions{} },
	}
}

// SaveOptions are the flags of save.
type SaveOptions struct{ Format, Output, Platform string }

func saveFormat(v string) (string, error) {
	switch v {
	case "docker-archive", "oci-archive", "oci-dir":
		return v, nil
	}
	return "", fault.New(fault.Invalid, "%q is none of docker-archive, oci-archive and oci-dir", v)
}

var saveFlags = []flags.Flag{
	{
		Name: "format", Value: "string", Usage: "docker-archive, oci-archive or oci-dir", Default: "docker-archive",
		Set: func(a any, v string) error { return flags.Set(&a.(*SaveOptions).Format, v, saveFormat) },
	},
	{
		Name: "output", Short: 'o', Value: "file", Usage: "Write to a file, or a directory for oci-dir, instead of standard output",
		Set: func(a any, v string) error { return flags.String(&a.(*SaveOptions).Output, v) },
	},
	{
		Name: "platform", Value: "string", Usage: "Platform of the images (os/arch)",
		Set: func(a any, v string) error { return flags.String(&a.(*SaveOptions).Platform, v) },
	},
}

func loadCommand() Command {
	return Command{
		Name: "load", Aliases: []string{"image load"}, Short: "Read images from an archive",
		Long:    "Archives of docker save, podman save, skopeo and tare save, and OCI image layouts, compressed or not.",
		Example: "tare load -i debian.tar\nssh host tare save web | tare load",
		Flags:   loadFlags, Complete: CompleteNothing, Cold: true,
		Options: func() any { return &LoadOptions{} },
	}
}

// LoadOptions are the flags of load.
type LoadOptions struct {
	Input, Platform string
	Quiet           bool
}

var loadFlags = []flags.Flag{
	{
		Name: "input", Short: 'i', Value: "file", Usage: "Read a file or a directory instead of standard input",
		Set: func(a any, v string) error { return flags.String(&a.(*LoadOptions).Input, v) },
	},
	{
		Name: "platform", Value: "string", Usage: "Load only the images of this platform (os/arch)",
		Set: func(a any, v string) error { return flags.String(&a.(*LoadOptions).Platform, v) },
	},
	{Name: "quiet", Short: 'q', Usage: "Print the names of the images only", Set: func(a any, v string) error { return flags.Bool(&a.(*LoadOptions).Quiet, v) }},
}
