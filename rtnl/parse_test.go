//go:build linux

package rtnl_test

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"container/rtnl"
)

// A link message of index 9 with nothing else, to put attributes behind.
var bareLink = raw("00 00", u16(1), u32(9), u32(0), u32(0))

// withLinkInfo is a link whose IFLA_LINKINFO is that.
func withLinkInfo(info []byte) []byte {
	return slices.Concat(bareLink, raw(u16(uint16(4+len(info))), u16(18)), info)
}

func TestParseLink(t *testing.T) {
	for _, tt := range []struct {
		name string
		data []byte
		want rtnl.Link
	}{
		{"lo", capturedLo, rtnl.Link{
			Index: 1, Flags: 0x8, Name: "lo", MAC: make(net.HardwareAddr, 6), MTU: 65536,
		}},
		{"bridge", capturedBridge, rtnl.Link{
			Index: 2, Flags: 0x11043, Name: "br0", Kind: "bridge", MAC: mac1, MTU: 1400,
		}},
		{"port", capturedPort, rtnl.Link{
			Index: 3, Flags: 0x11043, Name: "veth1", Alias: "172.16.0.30 bash", Kind: "veth",
			MAC: net.HardwareAddr{0x86, 0x3f, 0x4b, 0xdb, 0x63, 0x6f}, MTU: 1400,
			Master: 2, PortState: forwarding,
		}},
		{"nothing but a header", bareLink, rtnl.Link{Index: 9}},
		{
			// IFLA_VRF_PORT_TABLE is number 1 too, of 4 bytes (drivers/net/vrf.c).
			"port of a VRF",
			withLinkInfo(raw(
				u16(8), u16(4), "76 72 66 00", // IFLA_INFO_SLAVE_KIND "vrf"
				u16(12), u16(5), //               IFLA_INFO_SLAVE_DATA
				u16(8), u16(1), u32(10), //       . IFLA_VRF_PORT_TABLE
			)),
			rtnl.Link{Index: 9},
		},
		{
			// IFLA_BOND_SLAVE_STATE is number 1 and of one byte.
			"port of a bond",
			withLinkInfo(raw(
				u16(9), u16(4), "62 6f 6e 64 00", "00 00 00", // IFLA_INFO_SLAVE_KIND "bond"
				u16(12), u16(5), //                              IFLA_INFO_SLAVE_DATA
				u16(5), u16(1), "01", "00 00 00", //             . IFLA_BOND_SLAVE_STATE
			)),
			rtnl.Link{Index: 9},
		},
		{
			"flags in the types of attributes",
			slices.Concat(bareLink, raw(
				u16(8), u16(0x4000|4), u32(1400), // IFLA_MTU, NLA_F_NET_BYTEORDER
				u16(12), u16(0x8000|18), //          IFLA_LINKINFO, NLA_F_NESTED
				u16(8), u16(1), "74 75 6e 00", //    . IFLA_INFO_KIND "tun"
			)),
			rtnl.Link{Index: 9, MTU: 1400, Kind: "tun"},
		},
		{
			"an attribute of no length",
			slices.Concat(bareLink, raw(u16(0), u16(3), u16(8), u16(4), u32(1400))),
			rtnl.Link{Index: 9, MTU: 1400},
		},
		{
			"a name without a NUL",
			slices.Concat(bareLink, raw(u16(6), u16(3), "6c 6f", "00 00")),
			rtnl.Link{Index: 9, Name: "lo"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := rtnl.ParseLink(tt.data)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What no kernel should send, and what it must come to: an error.
var badLinks = map[string][]byte{
	"nothing":                     nil,
	"less than a header":          capturedLo[:15],
	"less than an attribute":      slices.Concat(bareLink, raw(u16(8), "04")),
	"an attribute of 3 bytes":     slices.Concat(bareLink, raw(u16(3), u16(4), u32(1400))),
	"longer than the message":     slices.Concat(bareLink, raw(u16(9), u16(4), u32(1400))),
	"the longest there is":        slices.Concat(bareLink, raw(u16(0xffff), u16(3), u32(0))),
	"an MTU of 2 bytes":           slices.Concat(bareLink, raw(u16(6), u16(4), u16(1400), "00 00")),
	"a master of no bytes":        slices.Concat(bareLink, raw(u16(4), u16(10))),
	"inside longer than outside":  withLinkInfo(raw(u16(12), u16(1), "74 75 6e 00")),
	"less than a header inside":   withLinkInfo(raw(u16(8))),
	"a bridge port of two states": withLinkInfo(raw(u16(10), u16(4), "62 72 69 64 67 65", "00 00", u16(10), u16(5), u16(6), u16(1), "03 03", "00 00")),
}

func TestParseLinkBad(t *testing.T) {
	for name, data := range badLinks {
		t.Run(name, func(t *testing.T) {
			if got, err := rtnl.ParseLink(data); err == nil {
				t.Errorf("got %+v, want an error", got)
			}
		})
	}
}

// whole tells where a message can end without cutting an attribute: behind one,
// or in the padding behind one.
func whole(b []byte, header int) map[int]bool {
	ends := map[int]bool{header: true}
	for i := header; i < len(b); {
		n := int(binary.NativeEndian.Uint16(b[i:]))
		for end := i + n; end <= i+(n+3)&^3; end++ {
			ends[end] = true
		}
		i += (n + 3) &^ 3
	}
	return ends
}

// A message that is cut short is an error wherever the cut isn't between two
// attributes, and what is read of it is never anything else than is in it.
func TestParseLinkCut(t *testing.T) {
	for _, data := range [][]byte{capturedLo, capturedBridge, capturedPort} {
		full, err := rtnl.ParseLink(data)
		if err != nil {
			t.Fatal(err)
		}
		ends := whole(data, 16)
		for n := range data {
			l, err := rtnl.ParseLink(slices.Clone(data[:n])) // nothing to read behind it
			if (err == nil) != ends[n] {
				t.Errorf("%s cut to %d bytes of %d: got the error %v", full.Name, n, len(data), err)
			}
			if err == nil && (l.Index != full.Index ||
				l.Name != "" && l.Name != full.Name ||
				l.Alias != "" && l.Alias != full.Alias ||
				l.Kind != "" && l.Kind != full.Kind ||
				l.MAC != nil && !bytes.Equal(l.MAC, full.MAC) ||
				l.MTU != 0 && l.MTU != full.MTU) {
				t.Errorf("%s cut to %d bytes: got %+v", full.Name, n, l)
			}
		}
	}
}

func TestParseAddress(t *testing.T) {
	for _, tt := range []struct {
		name  string
		data  []byte
		want  string
		scope uint8
		flags uint32
	}{
		{"IPv4", capturedAddress, "172.16.0.100/24", 0, 0x80},
		{"IPv4 with a peer", capturedPeerAddress, "10.0.0.1/32", 0, 0x80}, // IFA_LOCAL, not IFA_ADDRESS
		{"IPv6", capturedAddress6, "fd00::1/64", 0, 0x82},
		{
			"flags in the header alone",
			raw("0a 40 48 fd", u32(2), u16(20), u16(1), "fe 80", zeros(13), "01"),
			"fe80::1/64", 253, 0x48,
		},
		{
			"flags that the header has no room for",
			raw("0a 40 80 00", u32(2), u16(20), u16(1), "fd 00", zeros(13), "01", u16(8), u16(8), u32(0x380)),
			"fd00::1/64", 0, 0x380,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := rtnl.ParseAddress(tt.data)
			if err != nil {
				t.Fatal(err)
			}
			want := rtnl.LinkAddress{Index: 2, Prefix: netip.MustParsePrefix(tt.want), Scope: tt.scope, Flags: tt.flags}
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

var badAddresses = map[string][]byte{
	"nothing":                 nil,
	"less than a header":      capturedAddress[:7],
	"no address":              raw("02 18 80 00", u32(2)),
	"an address of no bytes":  raw("02 18 80 00", u32(2), u16(4), u16(2)),
	"an address of 5 bytes":   raw("02 18 80 00", u32(2), u16(9), u16(2), "0a 00 00 01 00", "00 00 00"),
	"a prefix of 33 bits":     raw("02 21 80 00", u32(2), u16(8), u16(2), "0a 00 00 01"),
	"a prefix of 129 bits":    raw("0a 81 80 00", u32(2), u16(20), u16(1), "fd 00", zeros(13), "01"),
	"longer than the message": raw("02 18 80 00", u32(2), u16(9), u16(2), "0a 00 00 01"),
	"an attribute of 2 bytes": raw("02 18 80 00", u32(2), u16(2), u16(2), "0a 00 00 01"),
	"less than an attribute":  raw("02 18 80 00", u32(2), u16(8)),
	"flags of 2 bytes":        raw("02 18 80 00", u32(2), u16(8), u16(2), "0a 00 00 01", u16(6), u16(8), u16(2), "00 00"),
}

// Each flag is told apart from the others.
func TestAddressFlags(t *testing.T) {
	for flags, want := range map[uint32][3]bool{ // tentative, duplicate, permanent
		0x00: {}, 0x40: {true}, 0x48: {true, true}, 0x80: {2: true}, 0x37: {},
	} {
		a := rtnl.LinkAddress{Flags: flags}
		if got := [3]bool{a.IsTentative(), a.IsDuplicate(), a.IsPermanent()}; got != want {
			t.Errorf("%#x: got %v, want %v", flags, got, want)
		}
	}
}

func TestParseAddressBad(t *testing.T) {
	for name, data := range badAddresses {
		t.Run(name, func(t *testing.T) {
			if got, err := rtnl.ParseAddress(data); err == nil {
				t.Errorf("got %+v, want an error", got)
			}
		})
	}
}

func TestParseAddressCut(t *testing.T) {
	for _, data := range [][]byte{capturedAddress, capturedAddress6} {
		full, err := rtnl.ParseAddress(data)
		if err != nil {
			t.Fatal(err)
		}
		ends := whole(data, 8)
		ends[8] = false // without an address it is none
		for n := range data {
			a, err := rtnl.ParseAddress(slices.Clone(data[:n]))
			if (err == nil) != ends[n] {
				t.Errorf("%v cut to %d bytes of %d: got the error %v", full.Prefix, n, len(data), err)
			}
			if err == nil && a != full {
				t.Errorf("%v cut to %d bytes: got %v", full.Prefix, n, a.Prefix)
			}
		}
	}
}

func TestParseNeighbour(t *testing.T) {
	for _, tt := range []struct {
		name string
		data []byte
		want rtnl.Neighbour
	}{
		{"IPv4", capturedNeighbour, rtnl.Neighbour{Index: 2, Addr: there, MAC: mac2, State: 0x2}},
		{"IPv6", capturedNeighbour6, rtnl.Neighbour{Index: 2, Addr: there6, MAC: mac2, State: 0x2}},
		{"nobody", capturedNobody, rtnl.Neighbour{Index: 2, Addr: netip.MustParseAddr("172.16.0.31"), State: 0x1}},
		{"a bridge's entry", capturedForwarding, rtnl.Neighbour{Index: 3, MAC: mac2, State: 0x2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := rtnl.ParseNeighbour(tt.data)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(tt.want, got, sameAddr); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Each state is one of those that somebody has answered in, or not, and one of
// those that an administrator sets, or not.
func TestNeighbourState(t *testing.T) {
	for state, want := range map[uint16][2]bool{ // valid, set
		0x00: {},           // NUD_NONE
		0x01: {},           // NUD_INCOMPLETE
		0x02: {true},       // NUD_REACHABLE
		0x04: {true},       // NUD_STALE
		0x08: {true},       // NUD_DELAY
		0x10: {true},       // NUD_PROBE
		0x20: {},           // NUD_FAILED
		0x40: {true, true}, // NUD_NOARP
		0x80: {true, true}, // NUD_PERMANENT
	} {
		n := rtnl.Neighbour{State: state}
		if got := [2]bool{n.IsValid(), n.IsSet()}; got != want {
			t.Errorf("%#x: got %v, want %v", state, got, want)
		}
	}
}

var badNeighbours = map[string][]byte{
	"nothing":                 nil,
	"less than a header":      capturedNeighbour[:11],
	"an address of no bytes":  slices.Concat(capturedNeighbour[:12], raw(u16(4), u16(1))),
	"an address of 5 bytes":   slices.Concat(capturedNeighbour[:12], raw(u16(9), u16(1), "0a 00 00 01 00", "00 00 00")),
	"longer than the message": slices.Concat(capturedNeighbour[:12], raw(u16(9), u16(1), "0a 00 00 01")),
	"an attribute of 2 bytes": slices.Concat(capturedNeighbour[:12], raw(u16(2), u16(1), "0a 00 00 01")),
	"less than an attribute":  slices.Concat(capturedNeighbour[:12], raw(u16(8))),
}

func TestParseNeighbourBad(t *testing.T) {
	for name, data := range badNeighbours {
		t.Run(name, func(t *testing.T) {
			if got, err := rtnl.ParseNeighbour(data); err == nil {
				t.Errorf("got %+v, want an error", got)
			}
		})
	}
}

func TestParseNeighbourCut(t *testing.T) {
	for _, data := range [][]byte{capturedNeighbour, capturedNeighbour6, capturedForwarding} {
		full, err := rtnl.ParseNeighbour(data)
		if err != nil {
			t.Fatal(err)
		}
		ends := whole(data, 12)
		for n := range data {
			got, err := rtnl.ParseNeighbour(slices.Clone(data[:n]))
			if (err == nil) != ends[n] {
				t.Errorf("%+v cut to %d bytes of %d: got the error %v", full, n, len(data), err)
			}
			if err == nil && (got.Index != full.Index || got.State != full.State ||
				got.Addr.IsValid() && got.Addr != full.Addr ||
				got.MAC != nil && !bytes.Equal(got.MAC, full.MAC)) {
				t.Errorf("%+v cut to %d bytes: got %+v", full, n, got)
			}
		}
	}
}

func TestParseRoute(t *testing.T) {
	header := capturedRoute[:12]
	for _, tt := range []struct {
		name string
		data []byte
		want rtnl.Route
	}{
		{"IPv4", capturedRoute, rtnl.Route{Index: 2, Gateway: there, MTU: 1400}},
		{"IPv6", capturedRoute6, rtnl.Route{Index: 2, Gateway: there6, MTU: 1300}},
		{"nothing but a header", header, rtnl.Route{}},
		{
			"other metrics",
			slices.Concat(header, raw(
				u16(8), u16(4), u32(2), //   RTA_OIF
				u16(20), u16(0x8000|8), //   RTA_METRICS, NLA_F_NESTED
				u16(8), u16(7), u32(10), //  . RTAX_CWND
				u16(8), u16(8), u32(1360), // . RTAX_ADVMSS
			)),
			rtnl.Route{Index: 2},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := rtnl.ParseRoute(tt.data)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(tt.want, got, sameAddr); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

var badRoutes = map[string][]byte{
	"nothing":                 nil,
	"less than a header":      capturedRoute[:11],
	"a link of 2 bytes":       slices.Concat(capturedRoute[:12], raw(u16(6), u16(4), u16(2), "00 00")),
	"a gateway of 3 bytes":    slices.Concat(capturedRoute[:12], raw(u16(7), u16(5), "0a 00 00", "00")),
	"an MTU of 2 bytes":       slices.Concat(capturedRoute[:12], raw(u16(12), u16(8), u16(6), u16(2), u16(1400), "00 00")),
	"longer inside":           slices.Concat(capturedRoute[:12], raw(u16(12), u16(8), u16(12), u16(2), u32(1400))),
	"longer than the message": slices.Concat(capturedRoute[:12], raw(u16(9), u16(4), u32(2))),
	"an attribute of 2 bytes": slices.Concat(capturedRoute[:12], raw(u16(2), u16(4), u32(2))),
	"less than an attribute":  slices.Concat(capturedRoute[:12], raw(u16(8))),
}

func TestParseRouteBad(t *testing.T) {
	for name, data := range badRoutes {
		t.Run(name, func(t *testing.T) {
			if got, err := rtnl.ParseRoute(data); err == nil {
				t.Errorf("got %+v, want an error", got)
			}
		})
	}
}

func TestParseRouteCut(t *testing.T) {
	for _, data := range [][]byte{capturedRoute, capturedRoute6} {
		full, err := rtnl.ParseRoute(data)
		if err != nil {
			t.Fatal(err)
		}
		ends := whole(data, 12)
		for n := range data {
			got, err := rtnl.ParseRoute(slices.Clone(data[:n]))
			if (err == nil) != ends[n] {
				t.Errorf("%+v cut to %d bytes of %d: got the error %v", full, n, len(data), err)
			}
			if err == nil && (got.Index != 0 && got.Index != full.Index ||
				got.Gateway.IsValid() && got.Gateway != full.Gateway ||
				got.MTU != 0 && got.MTU != full.MTU) {
				t.Errorf("%+v cut to %d bytes: got %+v", full, n, got)
			}
		}
	}
}

// TestParseMemory measures what is allocated for messages that are made to cost:
// it grows with the message, and with nothing that the message says of itself.
func TestParseMemory(t *testing.T) {
	fill := func(b, with []byte) []byte {
		for len(b)+len(with) <= 64<<10 {
			b = append(b, with...)
		}
		return b
	}
	long := bytes.Repeat([]byte{'x'}, 60_000)
	info := slices.Concat(raw(u16(10), u16(4), "62 72 69 64 67 65", "00 00", u16(uint16(8+len(long))), u16(5)), raw(u16(uint16(4+len(long))), u16(7)), long)
	for name, data := range map[string][]byte{
		"attributes of no length": fill(slices.Clone(bareLink), raw(u16(0), u16(3))),
		"empty attributes":        fill(slices.Clone(bareLink), raw(u16(4), u16(3))),
		"many names":              fill(slices.Clone(bareLink), raw(u16(8), u16(3), "61 61 61 61")),
		"one long name":           slices.Concat(bareLink, raw(u16(uint16(4+len(long))), u16(3)), long),
		"deep":                    withLinkInfo(info),
		"a lie":                   slices.Concat(bareLink, raw(u16(0xffff), u16(3))),
	} {
		parse := func(f func([]byte)) uint64 {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			f(data)
			runtime.ReadMemStats(&after)
			return after.TotalAlloc - before.TotalAlloc
		}
		limit := uint64(16*len(data) + 64<<10) // other goroutines of the test's allocate too
		if n := parse(func(b []byte) { _, _ = rtnl.ParseLink(b) }); n > limit {
			t.Errorf("%s: ParseLink has allocated %d bytes for a message of %d", name, n, len(data))
		}
		if n := parse(func(b []byte) { _, _ = rtnl.ParseAddress(b) }); n > limit {
			t.Errorf("%s: ParseAddress has allocated %d bytes for a message of %d", name, n, len(data))
		}
		if n := parse(func(b []byte) { _, _ = rtnl.ParseNeighbour(b) }); n > limit {
			t.Errorf("%s: ParseNeighbour has allocated %d bytes for a message of %d", name, n, len(data))
		}
		if n := parse(func(b []byte) { _, _ = rtnl.ParseRoute(b) }); n > limit {
			t.Errorf("%s: ParseRoute has allocated %d bytes for a message of %d", name, n, len(data))
		}
	}
}

func FuzzParseLink(f *testing.F) {
	for _, data := range [][]byte{capturedLo, capturedBridge, capturedPort, bareLink} {
		f.Add(data)
		f.Add(data[:len(data)-1])
		f.Add(data[:len(data)/2])
		f.Add(append(slices.Clone(data), 0)) // not a multiple of 4
	}
	for _, data := range badLinks {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := rtnl.ParseLink(data)
		if err != nil {
			return
		}
		if len(data) < 16 {
			t.Fatalf("a link of %d bytes: %+v", len(data), l)
		}
		if n := len(l.Name) + len(l.Alias) + len(l.Kind) + len(l.MAC); n > len(data) {
			t.Errorf("names of %d bytes in a message of %d", n, len(data))
		}
		// What is written over the buffer afterwards changes nothing.
		buf := slices.Clone(data)
		same, err := rtnl.ParseLink(buf)
		clear(buf)
		if diff := gocmp.Diff(l, same); diff != "" || err != nil {
			t.Errorf("the same message gives another link (%v):\n%s", err, diff)
		}
	})
}

func FuzzParseAddress(f *testing.F) {
	for _, data := range [][]byte{capturedAddress, capturedPeerAddress, capturedAddress6} {
		f.Add(data)
		f.Add(data[:len(data)-1])
		f.Add(data[:len(data)/2])
		f.Add(append(slices.Clone(data), 0))
	}
	for _, data := range badAddresses {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := rtnl.ParseAddress(data)
		if err != nil {
			return
		}
		if len(data) < 8 {
			t.Fatalf("an address of %d bytes: %+v", len(data), a)
		}
		if !a.Prefix.IsValid() {
			t.Errorf("no error, and no address: %+v", a)
		}
		if a.Prefix.Bits() != int(data[1]) || a.Index != binary.NativeEndian.Uint32(data[4:]) {
			t.Errorf("%+v of the header % x", a, data[:8])
		}
	})
}

func FuzzParseNeighbour(f *testing.F) {
	for _, data := range [][]byte{capturedNeighbour, capturedNeighbour6, capturedNobody, capturedForwarding} {
		f.Add(data)
		f.Add(data[:len(data)-1])
		f.Add(data[:len(data)/2])
		f.Add(append(slices.Clone(data), 0))
	}
	for _, data := range badNeighbours {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := rtnl.ParseNeighbour(data)
		if err != nil {
			return
		}
		if len(data) < 12 {
			t.Fatalf("a neighbour of %d bytes: %+v", len(data), n)
		}
		if n.Index != binary.NativeEndian.Uint32(data[4:]) || n.State != binary.NativeEndian.Uint16(data[8:]) {
			t.Errorf("%+v of the header % x", n, data[:12])
		}
		// What is written over the buffer afterwards changes nothing.
		buf := slices.Clone(data)
		same, err := rtnl.ParseNeighbour(buf)
		clear(buf)
		if diff := gocmp.Diff(n, same, sameAddr); diff != "" || err != nil {
			t.Errorf("the same message gives another neighbour (%v):\n%s", err, diff)
		}
	})
}

func FuzzParseRoute(f *testing.F) {
	for _, data := range [][]byte{capturedRoute, capturedRoute6} {
		f.Add(data)
		f.Add(data[:len(data)-1])
		f.Add(data[:len(data)/2])
		f.Add(append(slices.Clone(data), 0))
	}
	for _, data := range badRoutes {
		f.Add(data)
	}
	f.Add([]byte{7: 2, 11: 0}) // of the host's own
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := rtnl.ParseRoute(data)
		if err != nil {
			return
		}
		if len(data) < 12 {
			t.Fatalf("a route of %d bytes: %+v", len(data), r)
		}
		// rtm_type, RTN_LOCAL, is the header's own.
		if len(data) == 12 && r != (rtnl.Route{Local: data[7] == 2}) {
			t.Errorf("%+v of a header alone", r)
		}
	})
}
