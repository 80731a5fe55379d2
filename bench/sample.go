package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// sample is one run.
type sample struct {
	wall, cpu time.Duration
	rss       int64 // KiB, of the largest process
	faults    int64 // of pages, of all processes
}

// once runs an engine by the launcher of launch.c.txt.
func (w *world) once(e *engine, round int) (sample, error) {
	r, pw, err := os.Pipe()
	if err != nil {
		return sample{}, err
	}
	defer r.Close()
	var log bytes.Buffer
	logFile, err := os.OpenFile(filepath.Join(w.dir, "log"), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return sample{}, err
	}
	defer logFile.Close()
	c := exec.Command(filepath.Join(w.dir, "launch"), strings.Fields(w.expand(e.command, round))...)
	c.Stdout, c.Stderr, c.ExtraFiles = logFile, logFile, []*os.File{pw}
	err = c.Run()
	_ = pw.Close()
	if err != nil {
		return sample{}, err
	}
	line, err := io.ReadAll(r)
	if err != nil {
		return sample{}, err
	}
	var s sample
	var wall, cpu int64
	var code int
	if _, err := fmt.Sscan(string(line), &wall, &cpu, &s.rss, &s.faults, &code); err != nil {
		return s, fmt.Errorf("the launcher said %q", line)
	}
	s.wall, s.cpu = time.Duration(wall), time.Duration(cpu)*time.Microsecond
	if code != 0 {
		if _, err := logFile.Seek(0, io.SeekStart); err == nil {
			_, _ = log.ReadFrom(logFile)
		}
		l := bytes.Split(bytes.TrimSpace(log.Bytes()), []byte("\n"))
		return s, fmt.Errorf("exit %d: %s", code, l[len(l)-1])
	}
	return s, nil
}
