package api

import "github.com/tare-engine/tare/internal/lib/jsonread"

// SandboxConfig is what a sandbox without a container is to be: the namespaces of
// a pod, which its containers join with the mode "sandbox:ID".
type SandboxConfig struct {
	Hostname    string            `json:"hostname,omitempty"`
	NetworkMode string            `json:"networkMode,omitempty"` // as in [HostConfig]
	Labels      map[string]string `json:"labels,omitempty"`
	// SharePID gives it a pid namespace, whose first process is the sandbox's. It is
	// not supported yet.
	SharePID bool `json:"sharePID,omitempty"`
}

// SandboxInfo is a sandbox without a container.
type SandboxInfo struct {
	ID     string
	Ready  bool // its namespaces are there
	Config SandboxConfig
	// Containers are the ids of those in it that run.
	Containers []string
}

// Append appends the JSON text of c: that of encoding/json, without reflection.
func (c *SandboxConfig) Append(b []byte) []byte { return appendSandboxConfig(b, c) }

// ReadSandboxConfig reads a JSON text into c, as package jsonread does.
func ReadSandboxConfig(text []byte, c *SandboxConfig) error {
	return jsonread.Decode(text, c, readSandboxConfig)
}
