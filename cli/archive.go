package cli

// The commands that read and write archives of images. Their actions are in
// tared, which knows zstd.

func saveCommand() Command {
	return Command{
		Name: "save", Aliases: []string{"image save"}, Args: "IMAGE [IMAGE...]", Short: "Write images as an archive",
		Long:    "The archive is an OCI image layout that docker load and podman load read as well. An IMAGE without a tag stands for all of its tags.",
		Example: "tare save -o debian.tar debian:bookworm\ntare save web db | ssh host tare load\ntare save --format oci-dir -o layout debian",
		Flags:   saveFlags, MinArgs: 1, MaxArgs: -1, Complete: CompleteImages, Cold: true,
	}
}

var saveFlags = []Flag{
	{Name: "format", Value: "string", Usage: "docker-archive, oci-archive or oci-dir", Default: "docker-archive"},
	{Name: "output", Short: 'o', Value: "file", Usage: "Write to a file, or a directory for oci-dir, instead of standard output"},
	{Name: "platform", Value: "string", Usage: "Platform of the images (os/arch)"},
}

func loadCommand() Command {
	return Command{
		Name: "load", Aliases: []string{"image load"}, Short: "Read images from an archive",
		Long:    "Archives of docker save, podman save, skopeo and tare save, and OCI image layouts, compressed or not.",
		Example: "tare load -i debian.tar\nssh host tare save web | tare load",
		Flags:   loadFlags, Complete: CompleteNothing, Cold: true,
	}
}

var loadFlags = []Flag{
	{Name: "input", Short: 'i', Value: "file", Usage: "Read a file or a directory instead of standard input"},
	{Name: "platform", Value: "string", Usage: "Load only the images of this platform (os/arch)"},
	{Name: "quiet", Short: 'q', Usage: "Print the names of the images only"},
}
