package cli

// The commands that look after the image store. Their actions are in tared,
// which reads images.toml and knows zstd.

func imageGCCommand() Command {
	return Command{
		Name: "image gc", Short: "Remove images by policy",
		Long: "Without flags the policy of images.toml counts (docs/images.md). An image that a container uses stays, " +
			"whatever the policy says. With --dry-run nothing is removed.",
		Example: "tare image gc --dry-run --unused 30d\ntare image gc --max-size 20GB --keep 'debian:*'",
		Flags:   imageGCFlags, Complete: CompleteNothing, Cold: true,
	}
}

var imageGCFlags = []Flag{
	{Name: "age", Value: "duration", Usage: "Images that have been here for so long (30d, 12h)"},
	{Name: "dangling", Value: "duration", Usage: "Images without a name that were not used for so long"},
	{Name: "dry-run", Usage: "Only show what would be removed"},
	{Name: "keep", Value: "list", Usage: "Name, or pattern of names, that stays"},
	{Name: "low-size", Value: "bytes", Usage: "Where --max-size stops to remove", Default: "80 % of it"},
	{Name: "max-size", Value: "bytes", Usage: "Above this size of the store the images not used for longest (20GB)"},
	{Name: "quiet", Short: 'q', Usage: "Show IDs only"},
	{Name: "unused", Value: "duration", Usage: "Images that were not used for so long"},
}

func systemCheckCommand() Command {
	return Command{
		Name: "system check", Short: "Verify the image store",
		Long: "Every blob is hashed, and every unpacked layer compared with its blob, file by file. The exit code is 1 when there is damage that is " +
			"left. With --repair damaged layers are unpacked again, and images that cannot be helped are removed, so that they can be pulled again.",
		Example: "tare system check\ntare system check --repair",
		Flags:   systemCheckFlags, Complete: CompleteNothing, Cold: true,
	}
}

var systemCheckFlags = []Flag{
	{Name: "quiet", Short: 'q', Usage: "Print problems only"},
	{Name: "repair", Usage: "Repair what can be repaired"},
}
