// Tared does what would make tare slow to start: completion and man pages.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/tare-engine/tare/cli/complete"
	"github.com/tare-engine/tare/engine"
	"github.com/tare-engine/tare/fault"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "tared: "+err.Error())
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 2 && args[0] == "man" {
		return complete.Man(args[1], sourceDate())
	}
	if len(args) == 0 || args[0] != "completion" && args[0] != "__complete" && args[0] != "__completeNoDesc" {
		return fault.New(fault.Invalid, "usage: tared completion SHELL | man DIR")
	}
	root := complete.Root(complete.Names{Images: images, Containers: containers})
	root.SetArgs(args)
	return root.Execute()
}

// sourceDate is SOURCE_DATE_EPOCH, or the beginning of time.
func sourceDate() time.Time {
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		seconds = 0
	}
	return time.Unix(seconds, 0).UTC()
}

func open() (*engine.Engine, error) {
	o := engine.Options{Root: engine.DefaultRoot, RunRoot: engine.DefaultRunRoot, Warn: func(string) {}}
	if v := os.Getenv("TARE_ROOT"); v != "" {
		o.Root = v
	}
	if v := os.Getenv("TARE_RUN_ROOT"); v != "" {
		o.RunRoot = v
	}
	return engine.Open(o)
}

func images() []string {
	e, err := open()
	if err != nil {
		return nil
	}
	list, err := e.Images.List(context.Background())
	if err != nil {
		return nil
	}
	var names []string
	for _, i := range list {
		if i.Name != "" {
			names = append(names, i.Name+":"+i.Tag)
		}
	}
	return names
}

func containers() []string {
	e, err := open()
	if err != nil {
		return nil
	}
	list, err := e.Containers.List(context.Background(), engine.ListOptions{All: true})
	if err != nil {
		return nil
	}
	var names []string
	for _, c := range list {
		names = append(names, c.Name)
	}
	return names
}
