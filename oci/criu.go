package oci

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"github.com/tare-engine/tare/fault"
	"golang.org/x/sys/unix"
)

// criu is one run of `criu swrk`, which takes one request over a socket and
// asks back by notifications.
type criu struct {
	cmd  *exec.Cmd
	sock int
}

// startCRIU starts the program. Files are its descriptors from firstInherited
// on.
func (a *App) startCRIU(files ...*os.File) (*criu, error) {
	name := a.criu
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
	c := &criu{cmd: exec.Command(path, "swrk", "3"), sock: pair[0]} //nolint:gosec // the caller's own choice
	c.cmd.ExtraFiles = append([]*os.File{far}, files...)
	// What is restored has these unless told otherwise, and CRIU says why it
	// fails in its log.
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = a.Stdin, a.Stdout, a.Stderr
	if err := c.cmd.Start(); err != nil {
		_ = unix.Close(c.sock)
		return nil, fmt.Errorf("start criu: %w", err)
	}
	return c, nil
}

// firstInherited is the number in CRIU of the first file of startCRIU.
const firstInherited = 4

func (c *criu) close() error {
	_ = unix.Close(c.sock)
	return c.cmd.Wait()
}

// notice is what CRIU tells on the way. A descriptor comes with the script
// orphan-pts-master, else fd is -1.
type notice func(script string, pid, fd int) error

// do makes a request and answers what CRIU asks until it is done.
func (c *criu) do(req *rpc.CriuReq, tell notice) error {
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

func (c *criu) receive() (*rpc.CriuResp, int, error) {
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

// criuReason adds to an error what CRIU's log says was wrong.
func criuReason(err error, workDir, log string) error {
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

// cgMode reads --manage-cgroups-mode.
func cgMode(s string) (rpc.CriuCgMode, error) {
	switch s {
	case "":
		return rpc.CriuCgMode_DEFAULT, nil
	case "soft":
		return rpc.CriuCgMode_SOFT, nil
	case "full":
		return rpc.CriuCgMode_FULL, nil
	case "strict":
		return rpc.CriuCgMode_STRICT, nil
	case "ignore":
		return rpc.CriuCgMode_IGNORE, nil
	default:
		return 0, fault.New(fault.Invalid, "invalid value %q for --manage-cgroups-mode: not soft, full, strict or ignore", s)
	}
}

func ptr[T any](v T) *T { return &v }
