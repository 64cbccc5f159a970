//go:build linux

package nat

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// Elements go as many to a message as one can hold: its list is an attribute,
// whose length is 16 bits.
func TestMessageSizes(t *testing.T) {
	reqs := manyPorts(aClaim()).Take()
	// Three of the bridge, the lease, the life, and 400 ports in each of the
	// others.
	if got, want := len(reqs), 3+1+1+10_000/400; got != want {
		t.Errorf("ten thousand ports: got %d messages, want %d", got, want)
	}
	reqs = manyPorts(bothClaim()).Take()
	// Three of the bridge, the lease, the life and the ports in each family; two
	// of the isolation, and ten of the guard.
	if got, want := len(reqs), 2*(3+1+1+10_000/400)+2+10; got != want {
		t.Errorf("ten thousand ports of both families: got %d messages, want %d", got, want)
	}
	at6 := manyPorts(only6(bothClaim()))
	for i := range at6.Ports {
		at6.Ports[i].HostIP = netip.MustParseAddr("2001:db8::1")
	}
	reqs = append(reqs, at6.Take()...)
	long := Sysctl{strings.Repeat("x", 125), "1"} // with the "=" the 127 bytes of a comment
	reqs = append(reqs, IPv4.Remember(0, slices.Repeat([]Sysctl{long}, 1000))...)
	for _, r := range reqs {
		if len(r.Data) > 0xffff {
			t.Errorf("%.80s…: a message of %d bytes", r.What, len(r.Data))
		}
	}
}
