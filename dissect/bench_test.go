//go:build linux

package dissect_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"container/dissect"
	"container/nat"
	"container/nl"
)

// What it costs to tell what is in the bytes, which -x -x does with each
// message: "go test -run - -bench Message ./dissect".
func BenchmarkMessage(b *testing.B) {
	for _, f := range nat.Families {
		b.Run(f.String(), func(b *testing.B) {
			batch := nl.Marshal(nat.Batch(f.Ruleset()))
			b.ReportAllocs()
			b.SetBytes(int64(len(batch)))
			for b.Loop() {
				if dissect.Message(unix.NETLINK_NETFILTER, batch) == "" {
					b.Fatal("nothing is told")
				}
			}
		})
	}
}
