package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tare-engine/tare/test/verify/rig"
	"golang.org/x/sys/unix"
)

// terminal is a pty with tare on its other end.
type terminal struct {
	t             *testing.T
	master, slave *os.File
	out           *bufio.Reader
	cmd           *exec.Cmd
}

func openTerminal(t *testing.T, rows, cols uint16) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	p := &terminal{t: t, master: master, slave: slave, out: bufio.NewReader(master)}
	p.resize(rows, cols)
	return p
}

func (p *terminal) resize(rows, cols uint16) {
	p.t.Helper()
	if err := unix.IoctlSetWinsize(int(p.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols}); err != nil {
		p.t.Fatal(err)
	}
}

// start runs a command as a shell with job control would: in the foreground
// of the terminal.
func (p *terminal) start(cmd *exec.Cmd) {
	p.t.Helper()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.slave, p.slave, p.slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	p.cmd = cmd
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *terminal) write(s string) {
	p.t.Helper()
	if _, err := p.master.WriteString(s); err != nil {
		p.t.Fatal(err)
	}
}

// line reads one line, without its CR LF.
func (p *terminal) line() string {
	p.t.Helper()
	s, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatalf("read of the terminal: %v after %q", err, s)
	}
	return strings.TrimRight(s, "\r\n")
}

func (p *terminal) expect(want string) {
	p.t.Helper()
	if got := p.line(); got != want {
		p.t.Errorf("line %q, want %q", got, want)
	}
}

func (p *terminal) mode() unix.Termios {
	p.t.Helper()
	m, err := unix.IoctlGetTermios(int(p.slave.Fd()), unix.TCGETS)
	if err != nil {
		p.t.Fatal(err)
	}
	return *m
}

func (p *terminal) wait() int {
	p.t.Helper()
	timer := time.AfterFunc(30*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	return rig.Code(p.t, p.cmd.Wait())
}

func TestTerminal(t *testing.T) {
	t.Parallel()
	r := rig.Test(t)
	p := openTerminal(t, 33, 101)
	before := p.mode()
	p.start(r.Command(busybox(t, `tty; stty size; echo $TERM; test -t 0 -a -t 1 -a -t 2 && echo all
trap 'stty size' WINCH
trap 'echo interrupted; exit 42' INT
read line; echo "got $line"
while :; do sleep 0.02; done`, "--rm", "-it")...))
	p.expect("/dev/pts/0")
	p.expect("33 101") // before the first output
	p.expect("xterm")
	p.expect("all")
	if m := p.mode(); m.Lflag&(unix.ECHO|unix.ICANON|unix.ISIG) != 0 {
		t.Errorf("the outer terminal is not raw: %x", m.Lflag)
	}
	p.write("hello\r")
	p.expect("hello") // the inner terminal's echo, once
	p.expect("got hello")
	p.resize(44, 55)
	p.expect("44 55")
	p.write("\x03")
	p.expect("^Cinterrupted")
	if code := p.wait(); code != 42 {
		t.Errorf("exit code %d, want 42", code)
	}
	if after := p.mode(); after != before {
		t.Errorf("the terminal is left as %+v, was %+v", after, before)
	}
}

// TestTerminalEOF: ctrl-D ends the input, and a terminal is given back also
// when the program is not there.
func TestTerminalEOF(t *testing.T) {
	t.Parallel()
	r := rig.Test(t)
	p := openTerminal(t, 24, 80)
	before := p.mode()
	p.start(r.Command(busybox(t, "echo ready; cat; echo end; exit 5", "--rm", "-it")...))
	p.expect("ready")
	p.write("text\r\x04")
	p.expect("text")
	p.expect("text")
	p.expect("end")
	if code := p.wait(); code != 5 {
		t.Errorf("exit code %d, want 5", code)
	}
	p.start(r.Command("run", "--rm", "-it", "tare/base", "no-such-command"))
	if line := p.line(); !strings.HasPrefix(line, "tare: ") {
		t.Errorf("%q", line)
	}
	if code := p.wait(); code != 127 {
		t.Errorf("exit code %d, want 127", code)
	}
	if after := p.mode(); after != before {
		t.Errorf("the terminal is left as %+v, was %+v", after, before)
	}
}

// TestTerminalHeld: a process that stays behind with the terminal open does
// not keep tare waiting, and large output arrives whole.
func TestTerminalHeld(t *testing.T) {
	t.Parallel()
	r := rig.Test(t)
	for _, pid := range []string{"private", "host"} {
		p := openTerminal(t, 24, 80)
		p.start(r.Command("run", "--rm", "-it", "--pid", pid, "tare/base", "sh", "-c", "sleep 60 & echo started; exit 4"))
		p.expect("started")
		if code := p.wait(); code != 4 {
			t.Errorf("--pid %s: exit code %d, want 4", pid, code)
		}
	}
	p := openTerminal(t, 24, 80)
	p.start(r.Command("run", "--rm", "-it", "tare/base", "seq", "100000"))
	for i := 1; i <= 100000; i++ {
		if line := p.line(); line != fmt.Sprint(i) {
			t.Fatalf("line %d is %q", i, line)
		}
	}
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
