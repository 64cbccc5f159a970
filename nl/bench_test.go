//go:build linux

package nl_test

import (
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/nl"
)

// What a conversation costs that nobody listens to: "go test -bench Do
// -benchmem ./nl". The kernel acknowledges the message and does nothing.
func BenchmarkDo(b *testing.B) {
	c, err := nl.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	r := nl.Request{Type: unix.NLMSG_NOOP, Flags: netlink.Request | netlink.Acknowledge, What: "nothing"}
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Do(r); err != nil {
			b.Fatal(err)
		}
	}
}
