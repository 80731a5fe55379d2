package container

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/tare-engine/tare/internal/lib/testkit"
	"golang.org/x/sys/unix"
)

// TestMakeRecords: the container is recorded while its program waits, and what
// could not be recorded is gone.
func TestMakeRecords(t *testing.T) {
	testkit.Containers(t)
	cfg := newConfig(t, shell("exit 7"))
	pid := 0
	c, err := Make(cfg, func(c *Container) error {
		pid = c.Process.Pid
		comm, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
		if strings.TrimSpace(string(comm)) == "sh" {
			t.Error("the program runs before it is recorded")
		}
		return err
	})
	must(t, err)
	if pid != c.Process.Pid {
		t.Errorf("recorded %d, made %d", pid, c.Process.Pid)
	}
	must(t, c.Start())
	if code := finish(t, c); code != 7 {
		t.Errorf("exit code %d", code)
	}
	full := errors.New("disk full")
	cfg = newConfig(t, shell("true"))
	noTraces(t, func() {
		if c, err := Make(cfg, func(*Container) error { return full }); !errors.Is(err, full) || c != nil {
			t.Errorf("%v, %v", c, err)
		}
	})
}

// TestMakeHardens: a rootful caller is unreadable before it clones.
func TestMakeHardens(t *testing.T) {
	testkit.Containers(t)
	before, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	must(t, err)
	t.Cleanup(func() { must(t, unix.Prctl(unix.PR_SET_DUMPABLE, uintptr(before), 0, 0, 0)) })
	must(t, unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0))
	for _, rootful := range []bool{false, true} {
		cfg := newConfig(t, shell("true"))
		cfg.Facts.Root, cfg.Facts.UserNS = rootful, false
		c, err := Make(cfg, nil)
		must(t, err)
		c.Abandon()
		dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
		must(t, err)
		if (dumpable == 0) != rootful {
			t.Errorf("rootful %v: dumpable is %d", rootful, dumpable)
		}
	}
}

// TestGive: whose the standard descriptors are afterwards.
func TestGive(t *testing.T) {
	testkit.Containers(t)
	for _, tt := range []struct {
		give       Give
		pipe, file uint32
	}{{GiveNone, 0, 0}, {GivePipes, 1000, 0}, {GiveAll, 1000, 1000}} {
		r, w, err := os.Pipe()
		must(t, err)
		file, err := os.Create(t.TempDir() + "/out")
		must(t, err)
		null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
		must(t, err)
		cfg := newConfig(t, shell("true"), user(1000, 1000))
		cfg.Give, cfg.Stdin, cfg.Stdout, cfg.Stderr = tt.give, int(null.Fd()), int(w.Fd()), int(file.Fd())
		c, err := Make(cfg, nil)
		must(t, err)
		c.Abandon()
		for _, of := range []struct {
			f    *os.File
			want uint32
		}{{w, tt.pipe}, {file, tt.file}, {null, 0}} {
			fi, err := of.f.Stat()
			must(t, err)
			if got := ownerOf(fi); got != of.want {
				t.Errorf("give %d: %s is %d's, want %d's", tt.give, of.f.Name(), got, of.want)
			}
		}
		_, _, _, _ = r.Close(), w.Close(), file.Close(), null.Close()
	}
	cfg := newConfig(t, shell("true"), withUserNS, user(1000, 1000))
	cfg.Give = GivePipes
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	defer w.Close()
	cfg.Stdout = int(w.Fd())
	c, err := Make(cfg, nil)
	must(t, err)
	c.Abandon()
	fi, err := w.Stat()
	must(t, err)
	if ownerOf(fi) != 101000 {
		t.Errorf("mapped: the pipe is %d's", ownerOf(fi))
	}
}
