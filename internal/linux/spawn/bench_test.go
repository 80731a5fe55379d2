package spawn

import (
	"testing"

	"github.com/tare-engine/tare/internal/linux/plan"
	"golang.org/x/sys/unix"
)

// benchPlan has as many ops as an ordinary container, cheap ones.
func benchPlan() *plan.Plan {
	p := plan.New()
	p.Begin("ops")
	for range 20 {
		fd := p.Openat2(plan.InChild, "null", plan.CWD, "/dev/null", unix.O_PATH, 0, 0, plan.OK(unix.ENOENT))
		p.Call(plan.InChild, unix.SYS_FCNTL, []plan.Arg{fd.Arg(), plan.Int(unix.F_GETFD), plan.Int(0)}, plan.When(plan.IfOK, fd))
		p.Close(plan.InChild, fd.Arg())
	}
	p.Begin("exec")
	p.Exec([]string{"/bin/true"}, []string{"true"}, nil)
	return p
}

func BenchmarkStart(b *testing.B) {
	needClone3(b)
	b.ReportAllocs()
	for b.Loop() {
		p := benchPlan()
		r, err := New(p)
		if err != nil {
			b.Fatal(err)
		}
		child, err := r.Clone(Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := r.WaitExec(); err != nil {
			b.Fatal(err)
		}
		if _, err := child.Wait(); err != nil {
			b.Fatal(err)
		}
		child.Release()
		r.Close()
	}
}

// BenchmarkPrepare is the part of it before clone3.
func BenchmarkPrepare(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		r, err := New(benchPlan())
		if err != nil {
			b.Fatal(err)
		}
		r.first = firstOps([]uint32{0, 1, 2, 7}, r.arena.base)
		r.arena.encode(r.plan, r.first)
		r.Close()
	}
}
