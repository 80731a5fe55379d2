// Package swrk makes requests to CRIU: each is one run of `criu swrk`, which
// takes a request over a socket and asks back by notifications.
package swrk

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/linux/criu"
	"golang.org/x/sys/unix"
)

// Run makes a request. The error has CRIU's own reasons, from its log.
func Run(r *criu.Request) error {
	c, err := start(r)
	if err != nil {
		return err
	}
	restored := false
	if r.Started != nil {
		err = r.Started(c.cmd.Process.Pid)
	}
	if err == nil {
		kind := kinds[r.Kind]
		err = c.do(&rpc.CriuReq{Type: &kind, Opts: options(r)}, func(script string, pid, fd int) error {
			restored = restored || script == criu.PostRestore
			if r.Notice == nil {
				return nil
			}
			return r.Notice(script, pid, fd)
		})
	}
	cerr := c.close()
	switch {
	case err != nil:
	case r.Kind == criu.Dump && cerr != nil: // of the others the answer counts
		err = fmt.Errorf("criu: %w", cerr)
	case r.Kind == criu.Restore && !restored:
		err = errors.New("criu: did not say what it has restored")
	}
	return reason(err, r.Work.Name(), r.Log)
}

// conversation is one run of CRIU.
type conversation struct {
	cmd  *exec.Cmd
	sock int
}

// start starts the program.
func start(r *criu.Request) (*conversation, error) {
	name := r.Program
	if name == "" {
		name = "criu"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, fault.New(fault.Unsupported, "%s: not installed: checkpoint and restore need CRIU", name)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("criu socket: %w", err)
	}
	far := os.NewFile(uintptr(pair[1]), "criu")
	defer func() { _ = far.Close() }()
	c := &conversation{cmd: exec.Command(path, "swrk", "3"), sock: pair[0]} //nolint:gosec // the caller's own choice
	c.cmd.ExtraFiles = append([]*os.File{far}, r.Files...)
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = r.Stdio[0], r.Stdio[1], r.Stdio[2]
	if err := c.cmd.Start(); err != nil {
		_ = unix.Close(c.sock)
		return nil, fmt.Errorf("start criu: %w", err)
	}
	return c, nil
}

func (c *conversation) close() error {
	_ = unix.Close(c.sock)
	return c.cmd.Wait()
}

// do makes a request and answers what CRIU asks until it is done.
func (c *conversation) do(req *rpc.CriuReq, tell func(script string, pid, fd int) error) error {
	kind := req.GetType()
	for {
		b, err := req.MarshalVT()
		if err != nil {
			return err
		}
		if err := unix.Sendto(c.sock, b, unix.MSG_NOSIGNAL, nil); err != nil {
			return fmt.Errorf("ask criu: %w", err)
		}
		resp, fd, err := c.receive()
		if err != nil {
			return err
		}
		switch {
		case !resp.GetSuccess():
			return failure(kind, resp)
		case resp.GetType() == kind && kind != rpc.CriuReqType_NOTIFY:
			return nil
		case resp.GetType() != rpc.CriuReqType_NOTIFY:
			return fmt.Errorf("criu: answered %s to %s", resp.GetType(), kind)
		}
		n := resp.GetNotify()
		err = tell(n.GetScript(), int(n.GetPid()), fd)
		notify, success := rpc.CriuReqType_NOTIFY, err == nil
		req = &rpc.CriuReq{Type: &notify, NotifySuccess: &success}
		if err != nil {
			if b, merr := req.MarshalVT(); merr == nil {
				_ = unix.Sendto(c.sock, b, unix.MSG_NOSIGNAL, nil)
			}
			return err
		}
	}
}

func failure(kind rpc.CriuReqType, resp *rpc.CriuResp) error {
	text := "criu: " + strings.ToLower(kind.String()) + " failed"
	if m := strings.TrimSpace(resp.GetCrErrmsg()); m != "" {
		text += ": " + m
	}
	if n := resp.GetCrErrno(); n != 0 {
		return fmt.Errorf("%s: %w", text, unix.Errno(n))
	}
	return errors.New(text)
}

// maxResponse is more than CRIU's longest answer.
const maxResponse = 64 << 10

func (c *conversation) receive() (*rpc.CriuResp, int, error) {
	b, oob := make([]byte, maxResponse), make([]byte, unix.CmsgSpace(4))
	var n, oobn int
	var err error
	for {
		if n, oobn, _, _, err = unix.Recvmsg(c.sock, b, oob, unix.MSG_CMSG_CLOEXEC); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err == nil && n == 0 {
		err = errors.New("it ended without an answer")
	}
	if err != nil {
		return nil, -1, fmt.Errorf("criu: %w", err)
	}
	fd := -1
	if msgs, err := unix.ParseSocketControlMessage(oob[:oobn]); err == nil && len(msgs) == 1 {
		if fds, err := unix.ParseUnixRights(&msgs[0]); err == nil && len(fds) == 1 {
			fd = fds[0]
		}
	}
	resp := &rpc.CriuResp{}
	if err := resp.UnmarshalVT(b[:n]); err != nil {
		return nil, fd, fmt.Errorf("criu: malformed answer: %w", err)
	}
	return resp, fd, nil
}

// maxReasons bounds what of CRIU's log is shown: its own reasons come first,
// then what followed from them.
const maxReasons = 4

// reason adds to an error what CRIU's log says was wrong.
func reason(err error, workDir, log string) error {
	if err == nil {
		return nil
	}
	path := filepath.Join(workDir, log)
	f, oerr := os.Open(path)
	if oerr != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	text := err.Error()
	for s, n := bufio.NewScanner(f), 0; n < maxReasons && s.Scan(); {
		// (00.013921) Error (criu/vdso.c:381): vdso: Unexpected rt vDSO area bounds
		if _, rest, ok := strings.Cut(s.Text(), "Error ("); ok {
			if _, reason, ok := strings.Cut(rest, "): "); ok {
				text += "; " + strings.TrimSpace(reason)
				n++
			}
		}
	}
	return fault.New(fault.KindOf(err), "%s (log: %s)", text, path)
}
