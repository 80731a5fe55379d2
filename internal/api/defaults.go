package api

// ImageDefaults are the part of the image's configuration that sets defaults for a run.
type ImageDefaults struct {
	User         string
	Env          []string // KEY=value
	Entrypoint   []string
	Cmd          []string
	WorkingDir   string
	Volumes      []string // absolute paths, sorted
	ExposedPorts []string // "80/tcp", sorted
	Labels       map[string]string
	StopSignal   string
	Healthcheck  []byte // raw JSON as in the config, nil when absent
	Shell        []string
	OnBuild      []string
}
