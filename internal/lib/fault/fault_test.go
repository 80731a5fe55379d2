package fault

import (
	"fmt"
	"syscall"
	"testing"
)

func TestKindOf(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want Kind
	}{
		{nil, Internal},
		{fmt.Errorf("x"), Internal},
		{syscall.ENOENT, NotFound},
		{fmt.Errorf("open: %w", syscall.EACCES), Denied},
		{New(Exists, "name %q is taken", "web"), Exists},
		{fmt.Errorf("run: %w", New(Invalid, "cpus: %w", syscall.ENOENT)), Invalid},
		{WithHint(New(Unsupported, "no cpuset"), "use v2"), Unsupported},
	} {
		if got := KindOf(tt.err); got != tt.want {
			t.Errorf("KindOf(%v) = %v, want %v", tt.err, got, tt.want)
		}
	}
}

func TestHintOf(t *testing.T) {
	err := fmt.Errorf("start web: %w", WithHint(New(NotFound, "no such image"), "tare pull it"))
	if got := HintOf(err); got != "tare pull it" {
		t.Errorf("HintOf = %q", got)
	}
	if got := HintOf(New(NotFound, "plain")); got != "" {
		t.Errorf("HintOf = %q, want none", got)
	}
}
