package wire

import "strconv"

// Keeper is what a keeper is told: its arguments, key=value each. The engine
// that starts one knows no more keys than this; a keeper ignores others.
type Keeper struct {
	ID   string
	Dir  string // RUN/live/ID
	Tare string // the program to hand over to
	Root string // --root and --run-root for it
	Run  string

	Pid   int    // of the container's first process, and when it started
	Start uint64 //
	Child bool   // it is the keeper's child, which gets its exit code

	// Descriptors; -1 is none. With a terminal, Pty is its master and the
	// other three are -1.
	Pidfd, In, Out, Err, Pty, Listen, Notify int
	// Client is attached from the beginning: the starter's caller.
	Client     int
	ClientWant int

	StdinOnce bool   // input ends with its first client
	NotifyTo  string // the service manager's socket
	NotifyNow bool   // ready as soon as it runs

	Timeout     int64 // ns until it is stopped; 0 is never
	StopSignal  int
	StopTimeout int64 // ns

	Probe int64 // ns between health checks; 0 is none

	LogDir string
	Log    Log
}

// Log is logs.Config.
type Log struct {
	Driver, File      string
	MaxSize, MaxFiles int64
	Attrs, Fields     []string // key=value
}

// Args returns the arguments, the program's name first.
func (k *Keeper) Args() []string {
	a := make([]string, 0, 32)
	a = append(a, "tare-monitor", "version="+strconv.Itoa(Version))
	text := func(key, v string) {
		if v != "" {
			a = append(a, key+"="+v)
		}
	}
	number := func(key string, v int64) { a = append(a, key+"="+strconv.FormatInt(v, 10)) }
	text("id", k.ID)
	text("dir", k.Dir)
	text("tare", k.Tare)
	text("root", k.Root)
	text("run", k.Run)
	number("pid", int64(k.Pid))
	text("start", strconv.FormatUint(k.Start, 10))
	for _, f := range k.numbers() {
		if *f.to != f.none {
			number(f.key, int64(*f.to))
		}
	}
	for _, f := range k.longs() {
		if *f.to != 0 {
			number(f.key, *f.to)
		}
	}
	for _, f := range k.flags() {
		if *f.to {
			a = append(a, f.key+"=1")
		}
	}
	text("notify-to", k.NotifyTo)
	text("log-dir", k.LogDir)
	text("log", k.Log.Driver)
	text("log-file", k.Log.File)
	for _, v := range k.Log.Attrs {
		text("log-attr", v)
	}
	for _, v := range k.Log.Fields {
		text("log-field", v)
	}
	return a
}

type number struct {
	key  string
	to   *int
	none int
}

func (k *Keeper) numbers() [10]number {
	return [...]number{
		{"pidfd", &k.Pidfd, -1},
		{"in", &k.In, -1},
		{"out", &k.Out, -1},
		{"err", &k.Err, -1},
		{"pty", &k.Pty, -1},
		{"listen", &k.Listen, -1},
		{"notify", &k.Notify, -1},
		{"client", &k.Client, -1},
		{"client-want", &k.ClientWant, 0},
		{"stop-signal", &k.StopSignal, 0},
	}
}

type long struct {
	key string
	to  *int64
}

func (k *Keeper) longs() [5]long {
	return [...]long{
		{"timeout", &k.Timeout},
		{"stop-timeout", &k.StopTimeout},
		{"probe", &k.Probe},
		{"log-size", &k.Log.MaxSize},
		{"log-files", &k.Log.MaxFiles},
	}
}

type flag struct {
	key string
	to  *bool
}

func (k *Keeper) flags() [3]flag {
	return [...]flag{{"child", &k.Child}, {"stdin-once", &k.StdinOnce}, {"notify-now", &k.NotifyNow}}
}

// NewKeeper returns one without descriptors.
func NewKeeper() Keeper {
	return Keeper{Pidfd: -1, In: -1, Out: -1, Err: -1, Pty: -1, Listen: -1, Notify: -1, Client: -1}
}

// Parse takes the arguments, without the program's name. ok is false when
// what is needed is missing or malformed.
func (k *Keeper) Parse(args []string) (ok bool) {
	for _, a := range args {
		key, v := cut(a, '=')
		if !k.set(key, v) {
			return false
		}
	}
	return k.ID != "" && k.Dir != "" && k.Pid > 0 && k.Pidfd >= 0
}

func (k *Keeper) set(key, v string) bool {
	var err error
	switch key {
	case "id":
		k.ID = v
	case "dir":
		k.Dir = v
	case "tare":
		k.Tare = v
	case "root":
		k.Root = v
	case "run":
		k.Run = v
	case "pid":
		k.Pid, err = strconv.Atoi(v)
	case "start":
		k.Start, err = strconv.ParseUint(v, 10, 64)
	case "notify-to":
		k.NotifyTo = v
	case "log-dir":
		k.LogDir = v
	case "log":
		k.Log.Driver = v
	case "log-file":
		k.Log.File = v
	case "log-attr":
		k.Log.Attrs = append(k.Log.Attrs, v)
	case "log-field":
		k.Log.Fields = append(k.Log.Fields, v)
	default:
		return k.setMore(key, v)
	}
	return err == nil
}

func (k *Keeper) setMore(key, v string) bool {
	for _, f := range k.numbers() {
		if f.key == key {
			n, err := strconv.Atoi(v)
			*f.to = n
			return err == nil
		}
	}
	for _, f := range k.longs() {
		if f.key == key {
			n, err := strconv.ParseInt(v, 10, 64)
			*f.to = n
			return err == nil
		}
	}
	for _, f := range k.flags() {
		if f.key == key {
			*f.to = v == "1"
		}
	}
	return true
}
