package runc

import (
	"os"
	"time"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/jsonappend"
	"golang.org/x/sys/unix"
)

// logger writes messages. In a log they have the two forms that runc's have,
// which engines read: conmon and containerd show the last JSON line of level
// error. On standard error they are for people, and for Podman, which shows
// what a runtime that it does not know says there.
type logger struct {
	stderr *os.File
	path   string
	json   bool
	file   *os.File
}

func (l *logger) open(stderr *os.File, path, format string) error {
	l.stderr, l.path = stderr, path
	switch format {
	case "", "text":
	case "json":
		l.json = true
	default:
		return fault.New(fault.Invalid, "invalid value %q for --log-format: not text or json", format)
	}
	return nil
}

func (l *logger) warn(text string) { l.write("warning", text) }

// fatal reports what ends this process: in the log, and as it stands on
// standard error.
func (l *logger) fatal(text string) {
	if l.path != "" || l.json {
		l.write("error", text)
	}
	if l.path != "" || !l.json {
		_, _ = l.stderr.WriteString(text + "\n")
	}
}

// write adds one line. The log is opened when there is something to say.
func (l *logger) write(level, text string) {
	if l.file == nil {
		l.file = l.stderr
		if l.path != "" {
			// A FIFO without a reader must not hold us up.
			f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NONBLOCK, 0o644)
			if err == nil {
				l.file = f
			}
		}
	}
	if l.file == l.stderr && !l.json {
		_, _ = l.stderr.WriteString(level + ": " + text + "\n") // there is nowhere to report a failure
		return
	}
	b := make([]byte, 0, 256)
	now := time.Now().UTC().Format(time.RFC3339)
	if l.json {
		b = jsonappend.String(append(b, `{"level":`...), level)
		b = jsonappend.String(append(b, `,"msg":`...), text)
		b = jsonappend.String(append(b, `,"time":`...), now)
		b = append(b, "}\n"...)
	} else {
		b = append(append(b, `time="`...), now...)
		b = append(append(append(b, `" level=`...), level...), " msg="...)
		b = append(jsonappend.String(b, text), '\n')
	}
	_, _ = l.file.Write(b)
}
