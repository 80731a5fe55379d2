package wire

import "strconv"

// Settings is what a keeper is told, in the file of that name in its
// directory. The file is replaced by rename, so that whoever reads it has all
// of one; its keeper reads it when it begins, and again when it is asked to.
//
// Each part is one thing to look after, and there is one part at most.
type Settings struct {
	Keeper int    // pid of the keeper that it is for: descriptors are numbers of that process; 0: a sandbox's
	Tare   string // the program to hand over to
	Root   string // --root and --run-root for it
	Run    string

	Delay int64 // ns after which the container is started again; only where there is no part

	Container *ContainerPart // nil: none runs
	Exec      *ExecPart
	Sandbox   *SandboxPart
}

// Process is a process that runs, and its streams.
type Process struct {
	Pid   int    // and when it started
	Start uint64 // in clock ticks since boot
	Child bool   // it is the keeper's child, which gets its exit code

	// Descriptors; -1 is none. With a terminal, Pty is its master and In, Out
	// and Err are -1.
	Pidfd, In, Out, Err, Pty, Listen int
	// Client is attached from the beginning: the starter's caller.
	Client     int
	ClientWant int

	StdinOnce bool // input ends with its first client
}

// ContainerPart is a container that runs, by its first process.
type ContainerPart struct {
	Process

	Notify    int    // a descriptor, or -1
	NotifyTo  string // the service manager's socket
	NotifyNow bool   // ready as soon as it runs

	LogDir string
	Log    Log

	Tunable
}

// ExecPart is a command that runs in a container beside its first process. It
// has no log.
type ExecPart struct{ Process }

// SandboxPart are namespaces that are there before and after containers in them:
// the keeper is in them, and so they are. Of a pid namespace it is the first
// process.
type SandboxPart struct {
	Gate int // a pipe with a byte in it once the sandbox is on disk
}

// Tunable is what may change while the container runs, with [Log].MaxSize and
// MaxFiles: a keeper that reads its settings again takes these.
type Tunable struct {
	Timeout     int64 // ns from the container's start until it is stopped; 0 is never
	StopSignal  int
	StopTimeout int64 // ns
	Probe       int64 // ns between health checks; 0 is none
}

// Log is logs.Config.
type Log struct {
	Driver, File      string
	MaxSize, MaxFiles int64
	Attrs, Fields     []string // key=value
}

var none = ContainerPart{Process: Process{Pidfd: -1, In: -1, Out: -1, Err: -1, Pty: -1, Listen: -1, Client: -1}, Notify: -1}

// NewContainer returns the part of a container without descriptors.
func NewContainer() *ContainerPart {
	c := none
	return &c
}

// NewExec returns the part of a command without descriptors.
func NewExec() *ExecPart { return &ExecPart{none.Process} }

// field is one line of the file, "key value"; of a list there is one for each
// element.
type field struct {
	key string
	to  any // *int, *int64, *uint64, *bool, *string or *[]string
}

// Parts are what the first part of a key says.
const (
	ofAny       = ""
	ofContainer = "container"
	ofExec      = "exec"
	ofSandbox   = "sandbox"
)

// Where the fields of a part are in the table: those of a process are the first
// of a container's.
const (
	atPart    = 5
	atLater   = atPart + 12
	endOfPart = atLater + 14
)

// fields is the table that both writing and reading go by.
func (s *Settings) fields(c *ContainerPart) [endOfPart]field {
	return [...]field{
		{"keeper", &s.Keeper},
		{"tare", &s.Tare},
		{"root", &s.Root},
		{"run-root", &s.Run},
		{"delay", &s.Delay},

		{"pid", &c.Pid},
		{"start", &c.Start},
		{"child", &c.Child},
		{"pidfd", &c.Pidfd},
		{"in", &c.In},
		{"out", &c.Out},
		{"err", &c.Err},
		{"pty", &c.Pty},
		{"listen", &c.Listen},
		{"client", &c.Client},
		{"client-want", &c.ClientWant},
		{"stdin-once", &c.StdinOnce},

		{"notify", &c.Notify},
		{"notify-to", &c.NotifyTo},
		{"notify-now", &c.NotifyNow},
		{"timeout", &c.Timeout},
		{"stop-signal", &c.StopSignal},
		{"stop-timeout", &c.StopTimeout},
		{"probe", &c.Probe},
		{"log-dir", &c.LogDir},
		{"log-driver", &c.Log.Driver},
		{"log-file", &c.Log.File},
		{"log-max-size", &c.Log.MaxSize},
		{"log-max-files", &c.Log.MaxFiles},
		{"log-attr", &c.Log.Attrs},
		{"log-field", &c.Log.Fields},
	}
}

// SettingsVersion is that of the file: it changes when a reader that does not
// know a field must not go on without it.
const SettingsVersion = 1

const (
	firstLine = "version "
	lastLine  = "end" // there is no half of a file
)

// Append appends the text of the file.
func (s *Settings) Append(b []byte) []byte {
	b = append(strconv.AppendInt(append(b, firstLine...), SettingsVersion, 10), '\n')
	c, part, n := &ContainerPart{}, ofAny, atPart
	switch {
	case s.Container != nil:
		c, part, n = s.Container, ofContainer, endOfPart
	case s.Exec != nil:
		c.Process, part, n = s.Exec.Process, ofExec, atLater
	case s.Sandbox != nil:
		b = line(b, ofSandbox, "gate", strconv.Itoa(s.Sandbox.Gate))
	}
	fields := s.fields(c)
	for i, f := range fields[:n] {
		of := part
		if i < atPart {
			of = ofAny
		}
		switch v := f.to.(type) {
		case *int:
			b = line(b, of, f.key, strconv.Itoa(*v))
		case *int64:
			b = line(b, of, f.key, strconv.FormatInt(*v, 10))
		case *uint64:
			b = line(b, of, f.key, strconv.FormatUint(*v, 10))
		case *bool:
			b = line(b, of, f.key, strconv.FormatBool(*v))
		case *string:
			b = line(b, of, f.key, *v)
		case *[]string:
			for _, s := range *v {
				b = line(b, of, f.key, s)
			}
		}
	}
	return append(b, lastLine+"\n"...)
}

// line appends one. A value may have any bytes: its backslashes and line feeds
// are written as \\ and \n.
func line(b []byte, part, key, value string) []byte {
	if part != ofAny {
		b = append(append(b, part...), '.')
	}
	b = append(append(b, key...), ' ')
	for i := range len(value) {
		switch c := value[i]; c {
		case '\n':
			b = append(b, '\\', 'n')
		case '\\':
			b = append(b, '\\', '\\')
		default:
			b = append(b, c)
		}
	}
	return append(b, '\n')
}

// Parse reads the text of the file. ok is false for half of one, one that is
// malformed or of a later version, and one that has nothing to do, or two things.
// What it does not know it leaves out: a keeper outlives the engine that started it.
func (s *Settings) Parse(text []byte) (ok bool) { return s.ParseInto(&ContainerPart{}, string(text)) }

// ParseInto is Parse for who has the room already: values are parts of the
// text, and c is the container's part, or has the process that is another's.
func (s *Settings) ParseInto(c *ContainerPart, text string) (ok bool) {
	*s, *c = Settings{}, none
	fields := s.fields(c)
	part := ofAny
	rest := text
	at, n := 0, 0 // in the table, and lines
	for ; ; n++ {
		var l string
		if l, rest, ok = next(rest); !ok {
			return false
		}
		if l == lastLine {
			break
		}
		key, value := cut(l, ' ')
		if n == 0 {
			if v, err := strconv.Atoi(value); key+" " != firstLine || err != nil || v < 1 || v > SettingsVersion {
				return false
			}
			continue
		}
		of, name := ofAny, key
		if p, k := cut(key, '.'); k != "" {
			of, name = p, k
		}
		from, to := 0, atPart
		switch of {
		case ofAny:
		case ofContainer:
			from, to = atPart, endOfPart
		case ofExec:
			from, to = atPart, atLater
		case ofSandbox:
			if name != "gate" {
				continue
			}
			gate, err := strconv.Atoi(value)
			if err != nil || gate < 0 || part != ofAny {
				return false
			}
			s.Sandbox, part = &SandboxPart{gate}, of
			continue
		default:
			continue
		}
		// The lines are in the table's order, but for those of other versions.
		at = max(from, min(at, to-1))
		for range to - from {
			if fields[at].key == name {
				if !fields[at].set(value) || of != ofAny && part != ofAny && part != of {
					return false
				}
				if of != ofAny {
					part = of
				}
				break
			}
			if at++; at == to {
				at = from
			}
		}
	}
	if n == 0 || rest != "" || s.Tare == "" {
		return false
	}
	switch part {
	case ofContainer:
		s.Container = c
	case ofExec:
		s.Exec = &ExecPart{c.Process}
	case ofSandbox:
		return true
	default:
		return s.Delay >= 0
	}
	return c.Pid > 0 && c.Pidfd >= 0
}

// next takes a line off a text.
func next(text string) (line, rest string, ok bool) {
	for i := range len(text) {
		if text[i] == '\n' {
			return text[:i], text[i+1:], true
		}
	}
	return "", "", false
}

func (f *field) set(value string) bool {
	var err error
	switch v := f.to.(type) {
	case *int:
		*v, err = strconv.Atoi(value)
	case *int64:
		*v, err = strconv.ParseInt(value, 10, 64)
	case *uint64:
		*v, err = strconv.ParseUint(value, 10, 64)
	case *bool:
		*v = value == "true"
		return *v || value == "false"
	case *string:
		var ok bool
		*v, ok = plain(value)
		return ok
	case *[]string:
		text, ok := plain(value)
		*v = append(*v, text)
		return ok
	}
	return err == nil
}

// plain is the inverse of what line does to a value.
func plain(s string) (string, bool) {
	escaped := false
	for i := range len(s) {
		escaped = escaped || s[i] == '\\'
	}
	if !escaped {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\\' {
			if i++; i == len(s) {
				return "", false
			}
			switch s[i] {
			case 'n':
				c = '\n'
			case '\\':
			default:
				return "", false
			}
		}
		b = append(b, c)
	}
	return string(b), true
}
