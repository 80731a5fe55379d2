package compose

import "testing"

// BenchmarkCompose is the part of a start that this package computes.
func BenchmarkCompose(b *testing.B) {
	in := testInput()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compose(in); err != nil {
			b.Fatal(err)
		}
	}
}
