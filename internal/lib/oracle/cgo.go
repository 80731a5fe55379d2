//go:build cgo

package oracle

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

struct version { unsigned int major, minor, micro; };
struct arg_cmp { unsigned int arg; int op; uint64_t a, b; };

static void *lib;
static void *(*p_init)(uint32_t);
static void (*p_release)(void *);
static int (*p_arch_add)(void *, uint32_t);
static int (*p_rule_add)(void *, uint32_t, int, unsigned int, const struct arg_cmp *);
static int (*p_export)(void *, int);
static int (*p_resolve)(const char *);
static int (*p_resolve_arch)(uint32_t, const char *);
static char *(*p_name_arch)(uint32_t, int);
static const struct version *(*p_version)(void);
static int (*p_attr_set)(void *, int, uint32_t);

static int oracle_open(void) {
	if (lib != NULL) return 0;
	lib = dlopen("libseccomp.so.2", RTLD_NOW);
	if (lib == NULL) return -1;
	p_init = dlsym(lib, "seccomp_init");
	p_release = dlsym(lib, "seccomp_release");
	p_arch_add = dlsym(lib, "seccomp_arch_add");
	p_rule_add = dlsym(lib, "seccomp_rule_add_array");
	p_export = dlsym(lib, "seccomp_export_bpf");
	p_resolve = dlsym(lib, "seccomp_syscall_resolve_name");
	p_resolve_arch = dlsym(lib, "seccomp_syscall_resolve_name_arch");
	p_name_arch = dlsym(lib, "seccomp_syscall_resolve_num_arch");
	p_version = dlsym(lib, "seccomp_version");
	p_attr_set = dlsym(lib, "seccomp_attr_set");
	return p_init && p_release && p_arch_add && p_rule_add && p_export && p_resolve && p_resolve_arch &&
		p_name_arch && p_version && p_attr_set ? 0 : -2;
}
static void *oracle_init(uint32_t act) { return p_init(act); }
static void oracle_release(void *c) { p_release(c); }
static int oracle_arch_add(void *c, uint32_t a) { return p_arch_add(c, a); }
static int oracle_rule_add(void *c, uint32_t act, int nr, unsigned int n, const struct arg_cmp *a) {
	return p_rule_add(c, act, nr, n, a);
}
static int oracle_export(void *c, int fd) { return p_export(c, fd); }
static int oracle_resolve(const char *n) { return p_resolve(n); }
static int oracle_resolve_arch(uint32_t a, const char *n) { return p_resolve_arch(a, n); }
static char *oracle_name_arch(uint32_t a, int n) { return p_name_arch(a, n); }
static struct version oracle_version(void) { return *p_version(); }
*/
import "C"

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Lib is an opened libseccomp.
type Lib struct{}

// Open loads libseccomp.so.2.
func Open() (*Lib, error) {
	if C.oracle_open() != 0 {
		return nil, errors.New("libseccomp.so.2 cannot be loaded")
	}
	return &Lib{}, nil
}

// unresolved is __NR_SCMP_ERROR.
const unresolved = -1

// Version returns libseccomp's version.
func (*Lib) Version() string {
	v := C.oracle_version()
	return fmt.Sprintf("%d.%d.%d", v.major, v.minor, v.micro)
}

// Number returns the number of a call, negative for one that libseccomp knows
// but the architecture lacks.
func (*Lib) Number(a specs.Arch, name string) (int, bool) {
	s := C.CString(name)
	defer C.free(unsafe.Pointer(s))
	n := int(C.oracle_resolve_arch(C.uint32_t(Arch(a)), s))
	return n, n != unresolved
}

// Name returns the name of a number, or "".
func (*Lib) Name(a specs.Arch, nr int) string {
	s := C.oracle_name_arch(C.uint32_t(Arch(a)), C.int(nr))
	if s == nil {
		return ""
	}
	defer C.free(unsafe.Pointer(s))
	return C.GoString(s)
}

// Compile builds p's filter the way runc does, without its patch for unknown
// numbers. A conflict that libseccomp refuses is syscall.EEXIST.
func (*Lib) Compile(p *specs.LinuxSeccomp) ([]Insn, error) {
	def := action(p.DefaultAction, p.DefaultErrnoRet)
	ctx := C.oracle_init(C.uint32_t(def))
	if ctx == nil {
		return nil, errors.New("seccomp_init failed")
	}
	defer C.oracle_release(ctx)
	for _, a := range p.Architectures {
		rc := C.oracle_arch_add(ctx, C.uint32_t(Arch(a)))
		if err := errnoOf(rc); err != nil && !errors.Is(err, syscall.EEXIST) {
			return nil, fmt.Errorf("add arch %s: %w", a, err)
		}
	}
	for _, s := range p.Syscalls {
		act := action(s.Action, s.ErrnoRet)
		if act == def {
			continue
		}
		for _, name := range s.Names {
			cs := C.CString(name)
			nr := C.oracle_resolve(cs)
			C.free(unsafe.Pointer(cs))
			if nr == unresolved {
				continue
			}
			for _, args := range split(s.Args) {
				if err := addRule(ctx, act, nr, args); err != nil {
					return nil, fmt.Errorf("add rule %s: %w", name, err)
				}
			}
		}
	}
	return export(ctx)
}

// split makes a rule that compares an argument twice several ones, as runc
// does.
func split(args []specs.LinuxSeccompArg) [][]specs.LinuxSeccompArg {
	var seen [6]bool
	twice := false
	for _, a := range args {
		twice = twice || seen[a.Index]
		seen[a.Index] = true
	}
	if !twice {
		return [][]specs.LinuxSeccompArg{args}
	}
	var out [][]specs.LinuxSeccompArg
	for i := range args {
		out = append(out, args[i:i+1])
	}
	return out
}

func addRule(ctx unsafe.Pointer, act uint32, nr C.int, args []specs.LinuxSeccompArg) error {
	var c [6]C.struct_arg_cmp
	for i, a := range args {
		c[i] = C.struct_arg_cmp{arg: C.uint(a.Index), op: C.int(operator(a.Op)), a: C.uint64_t(a.Value), b: C.uint64_t(a.ValueTwo)}
	}
	return errnoOf(C.oracle_rule_add(ctx, C.uint32_t(act), nr, C.uint(len(args)), &c[0]))
}

func export(ctx unsafe.Pointer) ([]Insn, error) {
	f, err := os.CreateTemp("", "oracle")
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if err := os.Remove(f.Name()); err != nil {
		return nil, err
	}
	if err := errnoOf(C.oracle_export(ctx, C.int(f.Fd()))); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	out := make([]Insn, st.Size()/8)
	if _, err := f.Seek(0, 0); err != nil {
		return nil, err
	}
	return out, binary.Read(f, binary.NativeEndian, out)
}

func errnoOf(rc C.int) error {
	if rc < 0 {
		return syscall.Errno(-rc)
	}
	return nil
}

func action(a specs.LinuxSeccompAction, errno *uint) uint32 {
	data := uint32(syscall.EPERM)
	if errno != nil {
		data = uint32(*errno)
	}
	switch a {
	case specs.ActKill, specs.ActKillThread:
		return 0
	case specs.ActKillProcess:
		return 0x80000000
	case specs.ActTrap:
		return 0x00030000
	case specs.ActErrno:
		return 0x00050000 | data
	case specs.ActTrace:
		return 0x7ff00000 | data
	case specs.ActLog:
		return 0x7ffc0000
	case specs.ActNotify:
		return 0x7fc00000
	case specs.ActAllow:
		return 0x7fff0000
	default:
		panic("unknown action " + a)
	}
}

func operator(op specs.LinuxSeccompOperator) int {
	switch op {
	case specs.OpNotEqual:
		return 1
	case specs.OpLessThan:
		return 2
	case specs.OpLessEqual:
		return 3
	case specs.OpEqualTo:
		return 4
	case specs.OpGreaterEqual:
		return 5
	case specs.OpGreaterThan:
		return 6
	case specs.OpMaskedEqual:
		return 7
	default:
		panic("unknown operator " + op)
	}
}
