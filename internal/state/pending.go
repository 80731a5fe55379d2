package state

import (
	"encoding/binary"
	"errors"
	"os"

	"github.com/tare-engine/tare/internal/lib/fault"
	"github.com/tare-engine/tare/internal/lib/jsonread"
	"golang.org/x/sys/unix"
)

// RUN/pending is one file of slots. A slot is empty (its length is 0) or says
// what a start under way has to clean up; whoever does the start holds an open
// file description lock on it, which ends with its last descriptor however
// that comes about. A full slot that nobody locks is a start that was cut off.
//
// A file for each start would say the same, but making and removing one costs
// ext4 half a millisecond (docs/adr/0003).
const slotSize = 8192

// Pending is a start under way.
type Pending struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Cgroup string `json:"cgroup"`
	Remove bool   `json:"remove"`

	// Kept says that the container was there before: a start that is cut off
	// leaves it as it was. Removal says that it is not a start, but a removal
	// to be completed.
	Kept    bool `json:"kept,omitempty"`
	Removal bool `json:"removal,omitempty"`

	// Started says that the program was executed: what is left is a container
	// that ran, not a start.
	Started bool `json:"-"`

	fd   int
	at   int64
	size uint32
}

// Begin records that a start begins, before anything is made.
func (s *Store) Begin(p Pending) (*Pending, error) {
	b := appendPending(make([]byte, 4, 512), &p)
	if len(b) > slotSize {
		return nil, fault.New(fault.Invalid, "begin a start: name or cgroup path too long")
	}
	p.size = uint32(len(b) - 4)
	binary.LittleEndian.PutUint32(b, p.size)
	fd, err := openPending(s.run, unix.O_CREAT)
	if errors.Is(err, unix.ENOENT) {
		if err := os.MkdirAll(s.run, 0o700); err != nil {
			return nil, err
		}
		fd, err = openPending(s.run, unix.O_CREAT)
	}
	if err != nil {
		return nil, fault.New(fault.KindOf(err), "begin a start: %w", err)
	}
	p.fd = fd
	if err := p.take(b); err != nil {
		_ = unix.Close(fd)
		return nil, fault.New(fault.KindOf(err), "begin a start: %w", err)
	}
	return &p, nil
}

// take fills the first slot that is free.
func (p *Pending) take(b []byte) error {
	for p.at = 0; ; p.at += slotSize {
		err := lockSlot(p.fd, p.at, unix.F_WRLCK)
		if errors.Is(err, unix.EAGAIN) {
			continue // another start's
		}
		if err != nil {
			return err
		}
		n, err := slotLen(p.fd, p.at)
		if err == nil && n == 0 {
			_, err = unix.Pwrite(p.fd, b, p.at)
			return err
		}
		// One that was cut off, for a clean-up to see.
		if uerr := lockSlot(p.fd, p.at, unix.F_UNLCK); err != nil || uerr != nil {
			return errors.Join(err, uerr)
		}
	}
}

func openPending(run string, flags int) (int, error) {
	for {
		fd, err := unix.Open(run+"/pending", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW|flags, 0o600)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// lockSlot locks or unlocks one slot without waiting.
func lockSlot(fd int, at int64, how int16) error {
	for {
		l := unix.Flock_t{Type: how, Start: at, Len: slotSize}
		if err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &l); err != unix.EINTR {
			return err
		}
	}
}

// slotLen returns the length of a slot's text; 0 also behind the file's end.
func slotLen(fd int, at int64) (int, error) {
	var b [4]byte
	if n, err := unix.Pread(fd, b[:], at); err != nil || n < 4 {
		return 0, err
	}
	return int(binary.LittleEndian.Uint32(b[:])), nil
}

func clearSlot(fd int, at int64) error {
	_, err := unix.Pwrite(fd, make([]byte, 4), at)
	return err
}

// startedFlag in a slot's length stands for Pending.Started.
const startedFlag = 1 << 31

// MarkStarted notes that the program was executed.
func (p *Pending) MarkStarted() {
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], p.size|startedFlag)
	_, _ = unix.Pwrite(p.fd, b[:], p.at) // without it a clean-up sees a start
}

// Keep notes that the container stays, whatever becomes of the start.
func (p *Pending) Keep() error {
	p.Kept = true
	b := appendPending(make([]byte, 4, 512), p)
	if len(b) > slotSize {
		return fault.New(fault.Invalid, "begin a start: name or cgroup path too long")
	}
	p.size = uint32(len(b) - 4)
	binary.LittleEndian.PutUint32(b, p.size)
	_, err := unix.Pwrite(p.fd, b, p.at)
	return err
}

// End says that the start is complete, or undone.
func (p *Pending) End() {
	_ = clearSlot(p.fd, p.at) // where it fails, the next clean-up finds nothing to do
	_ = unix.Close(p.fd)
}

// Leave says that the start was not undone: the next clean-up tries again.
func (p *Pending) Leave() { _ = unix.Close(p.fd) }

// ErrLater is what an undo returns for a slot that must stay: its container
// runs, with nobody to clean up after it.
var ErrLater = errors.New("later")

// Underway reports whether somebody holds a slot for the container. What cannot be
// read may say so: nobody cleans up then.
func (s *Store) Underway(id string) bool {
	fd, err := openPending(s.run, 0)
	if err != nil {
		return !errors.Is(err, unix.ENOENT)
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return true
	}
	for at := int64(0); at < st.Size; at += slotSize {
		p, err := readSlot(fd, at)
		if err != nil || p == nil || p.ID != id {
			continue
		}
		l := unix.Flock_t{Type: unix.F_WRLCK, Start: at, Len: slotSize}
		if unix.FcntlFlock(uintptr(fd), unix.F_OFD_GETLK, &l) != nil || l.Type != unix.F_UNLCK {
			return true
		}
	}
	return false
}

// CutOff calls undo for every start whose process has died, and forgets those
// for which it returns nil. When nothing is pending it reads a few bytes.
func (s *Store) CutOff(undo func(*Pending) error) error {
	fd, err := openPending(s.run, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	var errs []error
	for at := int64(0); at < st.Size; at += slotSize {
		if n, err := slotLen(fd, at); err != nil || n == 0 {
			errs = append(errs, err)
			continue
		}
		if err := lockSlot(fd, at, unix.F_WRLCK); err != nil {
			continue // its process lives
		}
		errs = append(errs, cutOff(fd, at, undo), lockSlot(fd, at, unix.F_UNLCK))
	}
	return errors.Join(errs...)
}

// cutOff undoes the start of a slot that is locked. It may have ended between
// the look and the lock.
func cutOff(fd int, at int64, undo func(*Pending) error) error {
	p, err := readSlot(fd, at)
	if err != nil || p == nil {
		return err
	}
	if p.ID == "" {
		// Written by half: nothing else was made by then.
		return clearSlot(fd, at)
	}
	err = undo(p)
	if errors.Is(err, ErrLater) {
		return nil
	}
	if err != nil {
		return err
	}
	return clearSlot(fd, at)
}

// readSlot returns what a slot says: nil for an empty one, without an ID for
// one that was written by half.
func readSlot(fd int, at int64) (*Pending, error) {
	n, err := slotLen(fd, at)
	if err != nil || n == 0 {
		return nil, err
	}
	b := make([]byte, min(n&^startedFlag, slotSize-4))
	if _, err := unix.Pread(fd, b, at+4); err != nil {
		return nil, err
	}
	var p Pending
	if err := jsonread.Decode(b, &p, readPending); err != nil || !validID(p.ID) {
		return &Pending{}, nil //nolint:nilerr // that is what it says
	}
	p.Started = n&startedFlag != 0
	return &p, nil
}

// validID reports whether id is one of ours: 64 hexadecimal digits, and so
// safe in a path.
func validID(id string) bool {
	if len(id) != 64 {
		return false
	}
	for i := range len(id) {
		if c := id[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
