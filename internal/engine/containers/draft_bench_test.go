package containers

import (
	"context"
	"testing"

	"github.com/tare-engine/tare/internal/container"
)

// BenchmarkDraft is all that a start computes before it does anything.
func BenchmarkDraft(b *testing.B) {
	e := testEngine(b)
	b.ReportAllocs()
	for b.Loop() {
		s, err := drafted(context.Background(), e, testContainer("true"))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := container.Compile(s.box); err != nil {
			b.Fatal(err)
		}
	}
}
