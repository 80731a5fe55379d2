// Package logs keeps what containers write, and gives it back.
//
// A log is a directory with the files of one driver (the table below), of
// bounded size. The keeper of a container has a [Writer]; anybody may have
// readers ([Read]), also while it is written, rotated or removed. Neither
// knows of the other: a reader follows by inotify.
//
// The default driver, local, keeps the bytes as they came (SEQ.raw) and beside
// them an index (SEQ.idx) of fixed entries: when, which stream, up to where. To
// capture and to replay is to copy, not to parse; any bytes survive, and lines
// have no length. See index.go for the format and for what a crash may leave.
//
// When the disk is full, or fails, the container goes on: what cannot be kept
// is dropped, counted, and marked as a gap as soon as there is room again. It
// is what Docker does, which says so in its daemon's log only.
package logs

import (
	"time"
)

// The streams of a container. A terminal has one: Stdout.
const (
	Stdout byte = 1
	Stderr byte = 2
)

// pipeSize is the capacity in bytes that a pipe gets which was found full: the
// chunks are larger and the switches between container and keeper fewer.
const pipeSize = 256 << 10

// Config is a log's settings with nothing left to look up: what the keeper
// needs to write, and a reader to find it. [Resolve] computes it.
type Config struct {
	Driver  string `json:"driver"`
	MaxSize int64  `json:"maxSize,omitempty"` // bytes of one file; 0 is no limit
	MaxFile int    `json:"maxFile,omitempty"` // files kept, the current one included
	// File is the name of the file in the log's directory, or its absolute
	// path; of the drivers that write lines.
	File string `json:"file,omitempty"`
	// Attrs go into each record of json-file, into the fields of journald, and
	// to readers that ask for details; sorted by key.
	Attrs []Attr `json:"attrs,omitempty"`
	// Fields are what journald is told of the container.
	Fields []Attr `json:"fields,omitempty"`
}

// Attr is one pair of a record's attributes.
type Attr struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// The names of the drivers.
const (
	Local    = "local"
	JSONFile = "json-file"
	K8sFile  = "k8s-file"
	Journald = "journald"
	None     = "none"
)

// sink is a driver's end of a [Writer].
type sink interface {
	// write returns how many bytes, of p or held back before, could not be
	// kept, and why.
	write(stream byte, p []byte, t time.Time) (lost int, err error)
	// gap marks that lost bytes are missing from here on.
	gap(lost uint64, t time.Time) error
	// end finishes the output of one run of the container: what is held back
	// of unfinished lines is written.
	end(t time.Time) (lost int, err error)
	// limit changes the limits; 0 bytes is none.
	limit(size int64, files int)
	close() error
}

// splicer is a sink that takes bytes from a pipe without seeing them.
type splicer interface {
	// splice takes n bytes that are in the pipe. What it returns has left the
	// pipe and has been kept.
	splice(stream byte, fd, n int, t time.Time) (int, error)
}
