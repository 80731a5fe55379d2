package engine

import (
	"os"
	"time"
)

// Options say where an engine keeps its things.
type Options struct {
	Root    string // data root: images, containers; survives a reboot
	RunRoot string // state of running containers, on a tmpfs
	Debug   bool   // log what is done to stderr

	// Warn is called with one line for what [Open] could not clean up after
	// another start, which must not keep this one from working. With nil it
	// is an error.
	Warn func(msg string) `json:"-"`
}

// The defaults of Options.
const (
	DefaultRoot    = "/var/lib/tare"
	DefaultRunRoot = "/run/tare"
)

// Stdio is what a foreground run connects the container to. With
// ContainerConfig.Tty, In and Out are copied from and to a pseudo-terminal of
// the container; In may be a terminal itself, which is then put into raw mode
// and followed in size. Without it the container's process inherits the files.
type Stdio struct {
	In  *os.File // nil: /dev/null
	Out *os.File
	Err *os.File
}

// RunOptions are the parts of a foreground run that are not the container's:
// they end with the calling process and are not persisted.
type RunOptions struct {
	Stdio
	SigProxy bool // forward the signals that the caller gets
	// Created is called with the full ID once the container exists and before
	// it starts; an error stops the run and removes the container. May be nil.
	Created func(id string) error
	// Warn is called with one line for each thing that was asked for as a
	// default and cannot be given. May be nil.
	Warn func(msg string)
}

// Exit codes of a run that did not get to an exit code of its own.
const (
	ExitEngine        = 125 // the engine failed
	ExitNotExecutable = 126 // the command is there but cannot be executed
	ExitNotFound      = 127 // the command is not there
)

// Status is the state of a container's life.
type Status string

// The states, with Docker's names.
const (
	StatusCreated Status = "created"
	StatusRunning Status = "running"
	// StatusRestarting has ended and will be started again.
	StatusRestarting Status = "restarting"
	StatusPaused     Status = "paused"
	StatusExited     Status = "exited"
	StatusRemoving   Status = "removing"
	StatusDead       Status = "dead" // to be removed, and could not be
)

// ContainerSummary is one line of a list of containers.
type ContainerSummary struct {
	ID       string // 64 hex digits
	Name     string
	Image    string // as the user named it, or the path of RootFS
	ImageID  string
	Command  []string // resolved entrypoint and arguments
	Created  time.Time
	Status   Status
	Started  time.Time // zero when never started
	Finished time.Time // zero when not finished
	ExitCode int       // when Status is exited
	Pid      int       // host pid when running
	Labels   map[string]string
	Health   string // starting, healthy, unhealthy or empty

	Ports      []Port       // when running
	Mounts     []MountPoint // sorted by destination
	Networks   []string     // names
	SizeRw     int64        // bytes in the writable layer; ListOptions.Size
	SizeRootFs int64        // and in the image

	place int // in the list of all
}

// HealthOrNone is Health in a filter's words.
func (c *ContainerSummary) HealthOrNone() string {
	if c.Health == "" {
		return "none"
	}
	return c.Health
}

// ImageSummary is one line of a list of images: one per tag, or one without
// a tag for an image that has none.
type ImageSummary struct {
	ID       string // sha256:… of the configuration
	Name     string // as the user named it, without the tag; may be empty
	Tag      string
	Digest   string // of the manifest or index that the name means in a registry, may be empty
	Created  time.Time
	Size     int64 // bytes, unpacked
	Platform string
	Labels   map[string]string

	Containers int // that use it, running or not
}

// ImportOptions describe an image made from a file tree.
type ImportOptions struct {
	Source   string    // file, directory or "-" for the reader
	Stdin    *os.File  // read when Source is "-"
	Name     string    // name[:tag]
	Message  string    // history comment
	Changes  []string  // Dockerfile instructions: CMD, ENTRYPOINT, ENV, USER, WORKDIR, LABEL, …
	Platform string    // os/arch[/variant]; empty is the host's
	Created  time.Time // zero is now
}

// RemovedImage says what removing an image did: exactly one field is set.
type RemovedImage struct {
	Untagged string `json:",omitempty"`
	Deleted  string `json:",omitempty"`
}

// Info says what tare and this machine can do.
type Info struct {
	Root          string
	RunRoot       string
	Containers    int
	Running       int
	Images        int
	Kernel        string // uname -r
	Arch          string // GOARCH
	OS            string // PRETTY_NAME of os-release
	NCPU          int
	MemTotal      int64    // bytes
	Cgroup        string   // "v1", "v2" or "hybrid"
	Controllers   []string // controller names, with the version where mixed: "hugetlb(v2)"
	StorageDriver string
	Security      []string // "seccomp", "apparmor", "selinux", "cgroupns"
	Missing       []string // one line per feature that this kernel or caller lacks
	Warnings      []string

	// The same, and more, under Docker's names.
	ContainersRunning int
	ContainersPaused  int
	ContainersStopped int
	Name              string // of the machine
	Driver            string // StorageDriver
	DockerRootDir     string // Root
	KernelVersion     string
	OperatingSystem   string
	OSType            string
	Architecture      string // uname -m
	CgroupDriver      string
	CgroupVersion     string // "1" or "2": of the memory controller
	LoggingDriver     string
	DefaultRuntime    string
	SecurityOptions   []string
}
