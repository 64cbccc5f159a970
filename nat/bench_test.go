//go:build linux

package nat

import (
	"testing"

	"container/nl"
)

// What the messages of a table cost to build: "go test -bench Ruleset -benchmem
// ./nat".
func BenchmarkRuleset(b *testing.B) {
	for _, f := range Families {
		b.Run(f.String(), func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n = len(nl.Marshal(f.Ruleset()))
			}
			b.ReportMetric(float64(n), "message-bytes")
		})
	}
}
