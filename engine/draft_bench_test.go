package engine

import (
	"context"
	"testing"

	tareruntime "github.com/tare-engine/tare/runtime"
)

// BenchmarkDraft is all that a start computes before it does anything.
func BenchmarkDraft(b *testing.B) {
	e := testEngine(b)
	b.ReportAllocs()
	for b.Loop() {
		c := testContainer("true")
		id, err := newID()
		if err != nil {
			b.Fatal(err)
		}
		d, err := e.draft(context.Background(), id, c)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := tareruntime.Compile(d.runtime); err != nil {
			b.Fatal(err)
		}
	}
}
