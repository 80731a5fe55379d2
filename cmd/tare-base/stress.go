package main

import (
	"errors"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// stress makes load as stress(1) does, with threads instead of processes: what
// is killed for want of memory is then the container's own process.
type stress struct {
	p                 *proc
	cpu, io, vm, hdd  int64
	vmBytes, hddBytes int64
	vmStride          int64
	vmHang            time.Duration
	vmKeep, quiet     bool
	timeout           time.Duration
	failed            chan error
}

const stressUsage = "usage: stress [--cpu N] [--io N] [--vm N [--vm-bytes B] [--vm-stride B] [--vm-hang S] [--vm-keep]] [--hdd N [--hdd-bytes B]] [--timeout S]"

func runStress(p *proc, args []string) {
	s := &stress{p: p, vmBytes: 256 << 20, hddBytes: 1 << 30, vmStride: 4096, failed: make(chan error)}
	s.parse(args)
	if s.cpu+s.io+s.vm+s.hdd == 0 {
		p.fatalf(1, "%s", stressUsage)
	}
	s.say("dispatching hogs: %d cpu, %d io, %d vm, %d hdd", s.cpu, s.io, s.vm, s.hdd)
	// The runtime allows itself as many threads as the cgroup has processors.
	runtime.GOMAXPROCS(int(s.cpu+s.vm) + 2)
	start := time.Now()
	s.spawn(s.cpu, s.hogCPU)
	s.spawn(s.io, func() error { unix.Sync(); return nil })
	s.spawn(s.vm, s.hogVM)
	s.spawn(s.hdd, s.hogDisk)
	var end <-chan time.Time
	if s.timeout > 0 {
		end = time.After(s.timeout)
	}
	select {
	case err := <-s.failed:
		p.fatalf(1, "FAIL: [%d] %s", os.Getpid(), reason(err))
	case <-end:
		s.say("successful run completed in %ds", int(math.Round(time.Since(start).Seconds())))
	}
}

func (s *stress) say(format string, args ...any) {
	if s.quiet {
		return
	}
	s.p.printf("stress: info: ["+strconv.Itoa(os.Getpid())+"] "+format+"\n", args...)
	_ = s.p.out.Flush()
}

// spawn runs f again and again on n threads of their own.
func (s *stress) spawn(n int64, f func() error) {
	for range n {
		go func() {
			runtime.LockOSThread()
			for {
				if err := f(); err != nil {
					s.failed <- err
					return
				}
			}
		}()
	}
}

func (s *stress) hogCPU() error {
	x := 1.0
	for range 1 << 20 {
		x = math.Sqrt(x + 2)
	}
	if x < 0 {
		return errors.New("the square root is wrong")
	}
	return nil
}

func (s *stress) hogVM() error {
	m, err := unix.Mmap(-1, 0, int(s.vmBytes), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return err
	}
	for {
		for i := int64(0); i < int64(len(m)); i += s.vmStride {
			m[i] = 'Z'
		}
		if s.vmHang > 0 {
			time.Sleep(s.vmHang)
		}
		for i := int64(0); i < int64(len(m)); i += s.vmStride {
			if m[i] != 'Z' {
				return errors.New("memory corruption")
			}
		}
		if !s.vmKeep {
			return unix.Munmap(m)
		}
	}
}

func (s *stress) hogDisk() error {
	f, err := os.CreateTemp(".", "stress.*")
	if err != nil {
		return err
	}
	err = os.Remove(f.Name())
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = byte(i * 2654435761 >> 7)
	}
	for n := int64(0); n < s.hddBytes && err == nil; n += int64(len(block)) {
		_, err = f.Write(block[:min(int64(len(block)), s.hddBytes-n)])
	}
	return errors.Join(err, f.Close())
}

func (s *stress) parse(args []string) {
	for len(args) > 0 {
		name, val, has := strings.Cut(args[0], "=")
		args = args[1:]
		next := func() string {
			if !has {
				if len(args) == 0 {
					s.p.fatalf(1, "%s needs a value", name)
				}
				val, args = args[0], args[1:]
			}
			return val
		}
		number := func() int64 { return s.p.count(next()) }
		seconds := func() time.Duration {
			d, ok := parseDuration(next())
			if !ok {
				s.p.fatalf(1, "invalid time '%s'", val)
			}
			return d
		}
		switch name {
		case "-c", "--cpu":
			s.cpu = number()
		case "-i", "--io":
			s.io = number()
		case "-m", "--vm":
			s.vm = number()
		case "-d", "--hdd":
			s.hdd = number()
		case "--vm-bytes":
			s.vmBytes = number()
		case "--hdd-bytes":
			s.hddBytes = number()
		case "--vm-stride":
			s.vmStride = max(number(), 1)
		case "--vm-hang":
			if s.vmHang = seconds(); s.vmHang == 0 {
				s.vmHang = 1 << 62
			}
		case "--vm-keep":
			s.vmKeep = true
		case "-t", "--timeout":
			s.timeout = seconds()
		case "-q", "--quiet":
			s.quiet = true
		case "-v", "--verbose", "--backoff":
		case "--version":
			s.p.println("stress (tare-base)")
			s.p.exit(0)
		default:
			s.p.fatalf(1, "unrecognized option '%s'\n%s", name, stressUsage)
		}
	}
}
