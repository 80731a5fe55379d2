package cli

import "testing"

// BenchmarkParseRun is the way of a command line to a configuration.
func BenchmarkParseRun(b *testing.B) {
	args := []string{"--rm", "-it", "-m", "64m", "--cpus=1.5", "-e", "A=1", "-v", "/a:/b:ro", "debian", "bash"}
	b.ReportAllocs()
	for b.Loop() {
		c, r := runCommand(), newRun()
		rest, err := c.parse(r, args)
		if err == nil {
			_, err = r.config(rest)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
