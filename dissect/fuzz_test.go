//go:build linux

package dissect_test

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"container/dissect"
)

// Whatever comes, the left column is all of it.
func FuzzAnswer(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		var request []byte
		for _, s := range sections(f, filepath.Base(path)) {
			f.Add(family(path) == unix.NETLINK_ROUTE, s.b, request)
			if len(s.b) > 50 {
				f.Add(family(path) == unix.NETLINK_ROUTE, s.b[:len(s.b)-7], s.b)
			}
			request = s.b
		}
	}
	f.Fuzz(func(t *testing.T, route bool, answer, request []byte) {
		family := unix.NETLINK_NETFILTER
		if route {
			family = unix.NETLINK_ROUTE
		}
		var d dissect.Dissector
		complete(t, d.Message(family, request), request)
		complete(t, d.Answer(family, answer, request), answer)
	})
}
