package store

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// healthcheck reads the Dockerfile instruction: NONE, or
// [--interval=30s --timeout=30s --start-period=0s --start-interval=5s
// --retries=3] CMD command. The result is the configuration's JSON.
func healthcheck(text string) ([]byte, error) {
	h := struct {
		Test          []string
		Interval      time.Duration `json:",omitempty"`
		Timeout       time.Duration `json:",omitempty"`
		StartPeriod   time.Duration `json:",omitempty"`
		StartInterval time.Duration `json:",omitempty"`
		Retries       int           `json:",omitempty"`
	}{}
	for strings.HasPrefix(text, "--") {
		var option string
		option, text, _ = strings.Cut(text, " ")
		text = strings.TrimSpace(text)
		name, value, _ := strings.Cut(option[2:], "=")
		to, known := map[string]*time.Duration{
			"interval": &h.Interval, "timeout": &h.Timeout, "start-period": &h.StartPeriod, "start-interval": &h.StartInterval,
		}[name]
		var err error
		switch {
		case known:
			*to, err = time.ParseDuration(value)
		case name == "retries":
			h.Retries, err = strconv.Atoi(value)
		default:
			return nil, fault.New(fault.Invalid, "unknown flag %s", option)
		}
		if err != nil || h.Retries < 0 || known && *to < 0 {
			return nil, fault.New(fault.Invalid, "flag %s makes no sense", option)
		}
	}
	kind, command, _ := strings.Cut(text, " ")
	command = strings.TrimSpace(command)
	list, exec := jsonList(command)
	switch kind = strings.ToUpper(kind); {
	case kind == "NONE" && command == "":
		h.Test = []string{"NONE"}
	case kind != "CMD":
		return nil, fault.New(fault.Invalid, "neither CMD nor NONE")
	case command == "" || exec && len(list) == 0:
		return nil, fault.New(fault.Invalid, "CMD has no command")
	case exec:
		h.Test = append([]string{"CMD"}, list...)
	default:
		h.Test = []string{"CMD-SHELL", command}
	}
	return json.Marshal(h)
}
