// Package criu is what CRIU can be asked for, as data. Package swrk executes
// it, and brings protobuf along: only tared links that.
package criu

import "os"

// Kind is what a request is for.
type Kind int

// The kinds of requests.
const (
	Dump    Kind = iota // write a container to disk, and end it unless LeaveRunning
	PreDump             // write only its memory
	Restore
)

func (k Kind) String() string { return [...]string{"dump", "pre-dump", "restore"}[k] }

// Request is one request.
type Request struct {
	Kind    Kind
	Program string      // of CRIU; "" is criu of $PATH
	Stdio   [3]*os.File // CRIU's, and what is restored has them unless told otherwise

	Images *os.File // directory of the checkpoint
	Work   *os.File // directory of CRIU's log and temporary files, by its path
	Log    string   // name in there

	Root string // path of the container's root; for Restore, of a mount of it
	Pid  int    // first process; not for Restore

	LeaveRunning, TrackMem          bool
	TCPEstablished, TCPSkipInFlight bool
	ExtUnixSk, ShellJob, FileLocks  bool
	AutoDedup, LazyPages, LinkRemap bool
	EmptyNet                        bool   // an empty network namespace
	CgroupMode                      string // one of CgroupModes, or "" for CRIU's own
	Parent                          string // directory of an earlier checkpoint, relative to Images
	PageServer                      *Address
	LSMProfile, LSMMountContext     string

	External     []string    // namespaces that are somebody else's
	Mounts       []Mount     // whose content is not the checkpoint's
	FreezeCgroup string      // path of the group to stop the processes by
	CgroupRoots  []Hierarchy // where the groups have been made; for Restore
	Inherit      []Inherit   // descriptors that replace what the checkpoint has
	StatusFD     int         // number in CRIU of a file of Files that gets a byte when lazy pages can be asked for; 0: none

	// Files are CRIU's descriptors from FirstFile on.
	Files []*os.File

	// Started is called with CRIU's process, before it is asked. May be nil.
	Started func(pid int) error
	// Notice is called with what CRIU tells on the way; an error ends the
	// request. A descriptor comes with OrphanTerminal, else fd is -1.
	Notice func(script string, pid, fd int) error
}

// FirstFile is the number in CRIU of the first of Request.Files.
const FirstFile = 4

// Scripts of a Notice.
const (
	PostRestore    = "post-restore"      // the processes are there and do not run yet
	OrphanTerminal = "orphan-pts-master" // the master of a terminal that the container has
)

// CgroupModes are what CRIU can do with cgroups.
var CgroupModes = []string{"soft", "full", "strict", "ignore"}

// Address is where a page server listens.
type Address struct {
	Host string
	Port uint16
}

// Mount is a mount by its name in the checkpoint: for a dump the name that it
// gets, for a restore its source.
type Mount struct{ Name, Value string }

// Hierarchy is a group in the cgroup hierarchy of some controllers; none for
// v2.
type Hierarchy struct{ Controllers, Path string }

// Inherit is a descriptor of CRIU's for what is called so in the checkpoint.
type Inherit struct {
	Name string
	FD   int
}
