//go:build linux

package nat

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/integration/need"
	"container/nl"
)

// begun is a flow that a test puts into the kernel's table.
type begun struct {
	proto        uint8
	src          netip.Addr
	srcPort      uint16
	dst          netip.Addr
	dstPort      uint16
	ledTo, cover netip.Addr // destination and source that it is translated to
	zone         uint16
}

// track puts flows into the kernel's table (IPCTNL_MSG_CT_NEW).
func track(t testing.TB, c *nl.Conn, flows ...begun) {
	t.Helper()
	for _, f := range flows {
		family := uint8(unix.NFPROTO_IPV4)
		if f.src.Is6() {
			family = unix.NFPROTO_IPV6
		}
		// nf_nat turns the reply round by itself.
		attrs := func(ae *netlink.AttributeEncoder) {
			nested(ae, ctaTupleOrig, f.tuple(f.src, f.srcPort, f.dst, f.dstPort))
			nested(ae, ctaTupleReply, f.tuple(f.dst, f.dstPort, f.src, f.srcPort))
			ae.Uint32(7, 1000) // CTA_TIMEOUT, seconds
			if f.zone != 0 {
				ae.Uint16(ctaZone, f.zone)
			}
			for typ, to := range map[uint16]netip.Addr{13: f.ledTo, 6: f.cover} { // CTA_NAT_DST, CTA_NAT_SRC
				if to.IsValid() {
					nested(ae, typ, func(ae *netlink.AttributeEncoder) {
						if to.Is4() {
							ae.Bytes(1, to.AsSlice()) // CTA_NAT_V4_MINIP
						} else {
							ae.Bytes(4, to.AsSlice()) // CTA_NAT_V6_MINIP
						}
					})
				}
			}
		}
		if err := c.Do(nl.Request{Type: tracking(ctNew), Flags: create, Data: body(Family(family), 0, attrs), What: fmt.Sprintf("begin %+v", f)}); err != nil {
			t.Fatal(err)
		}
	}
}

func (f begun) tuple(src netip.Addr, srcPort uint16, dst netip.Addr, dstPort uint16) func(*netlink.AttributeEncoder) {
	return func(ae *netlink.AttributeEncoder) {
		nested(ae, ctaTupleIP, func(ae *netlink.AttributeEncoder) {
			if src.Is4() {
				ae.Bytes(ctaIPv4Src, src.AsSlice())
				ae.Bytes(ctaIPv4Dst, dst.AsSlice())
			} else {
				ae.Bytes(ctaIPv6Src, src.AsSlice())
				ae.Bytes(ctaIPv6Dst, dst.AsSlice())
			}
		})
		nested(ae, ctaTupleProto, func(ae *netlink.AttributeEncoder) {
			ae.Uint8(ctaProtoNum, f.proto)
			if f.proto == unix.IPPROTO_ICMP || f.proto == unix.IPPROTO_ICMPV6 {
				echo := map[uint8]uint8{unix.IPPROTO_ICMP: 8, unix.IPPROTO_ICMPV6: 128}[f.proto]
				if src != f.src { // its reply
					echo = map[uint8]uint8{unix.IPPROTO_ICMP: 0, unix.IPPROTO_ICMPV6: 129}[f.proto]
				}
				first := uint16(4) // CTA_PROTO_ICMP_ID
				if f.proto == unix.IPPROTO_ICMPV6 {
					first = 7 // CTA_PROTO_ICMPV6_ID
				}
				ae.Uint16(first, 1)
				ae.Uint8(first+1, echo)
				ae.Uint8(first+2, 0)
				return
			}
			ae.Uint16(ctaProtoSrcPort, srcPort)
			ae.Uint16(ctaProtoDstPort, dstPort)
		})
	}
}

// tracks is the flows in the kernel's table, each a line.
func tracks(t testing.TB, c *nl.Conn) string {
	t.Helper()
	answers, err := c.Query(selection{}.list())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, m := range answers {
		f, err := parseFlow(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, f.String()+"\n")
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// The same is cut by whatever way: what the kernel can't tell is looked for
// here; a kernel that can tell nothing has all of it looked for, among
// everything or a part at a time; many ports are.
func TestCut(t *testing.T) {
	want := cutting.wanted()
	exact, vague := want.selections()
	for name, cut := range map[string]func(c *nl.Conn) error{
		"as this kernel can": func(c *nl.Conn) error { return cutting.Cut(c) },
		"in two steps": func(c *nl.Conn) error {
			return errors.Join(Flows{Addrs: cutAddrs}.Cut(c), Flows{Ports: cutPorts}.Cut(c))
		},
		"many ports": func(c *nl.Conn) error {
			ports := slices.Clone(cutPorts)
			for i := range uint16(10_000) {
				ports = append(ports, udpPort(20_000+i, 1))
			}
			return Flows{Addrs: cutAddrs, Ports: ports}.Cut(c)
		},
		"as an older kernel can": func(c *nl.Conn) error {
			return want.cutAll(c, 1, exact, vague, withoutFilter(t, deletes(exact)))
		},
		"as an older kernel can, of many flows": func(c *nl.Conn) error {
			return want.cutAll(c, 1<<20, exact, vague, withoutFilter(t, deletes(exact)))
		},
		"as a kernel before filters can": func(c *nl.Conn) error {
			return errors.Join(want.cut(c, selection{family: unix.NFPROTO_IPV4}), want.cut(c, selection{family: unix.NFPROTO_IPV6}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			netns(t)
			c := dial(t)
			track(t, c, slices.Concat(toStay, passing)...)
			stay := tracks(t, c)
			track(t, c, toCut...)
			if n, err := Tracked(c); err != nil || int(n) != len(toStay)+len(passing)+len(toCut) {
				t.Fatalf("%d tracked (error %v), want %d", n, err, len(toStay)+len(passing)+len(toCut))
			}
			if err := cut(c); err != nil {
				t.Fatal(err)
			}
			same(t, "the flows", tracks(t, c), stay)
			if err := cut(c); err != nil { // there is nothing left to cut
				t.Fatal(err)
			}
			same(t, "the flows", tracks(t, c), stay)
		})
	}
}

// On one address of the host.
func TestCutPortOfAnAddress(t *testing.T) {
	for _, hostIP := range []netip.Addr{host4, host6} {
		t.Run(hostIP.String(), func(t *testing.T) {
			netns(t)
			c := dial(t)
			port := udpPort(53, 53)
			port.HostIP = hostIP
			var cut, stay []begun
			for _, f := range slices.Concat(toCut, toStay, passing) {
				if f.proto == udp && f.dst == hostIP && f.dstPort == 53 {
					cut = append(cut, f)
				} else {
					stay = append(stay, f)
				}
			}
			track(t, c, stay...)
			want := tracks(t, c)
			track(t, c, cut...)
			if err := (Flows{Ports: []Port{port}}).Cut(c); err != nil {
				t.Fatal(err)
			}
			same(t, "the flows", tracks(t, c), want)
		})
	}
}

// Of the addresses one protocol alone.
func TestCutProto(t *testing.T) {
	for _, proto := range []uint8{tcp, udp} {
		for name, cut := range map[string]func(c *nl.Conn, f Flows) error{
			"as this kernel can": func(c *nl.Conn, f Flows) error { return f.Cut(c) },
			"listed at once":     func(c *nl.Conn, f Flows) error { return f.wanted().cut(c, selection{}) },
		} {
			t.Run(protoName(proto)+" "+name, func(t *testing.T) {
				netns(t)
				c := dial(t)
				var gone, stay []begun
				for _, f := range slices.Concat(toCut, toStay, passing) {
					port := f.proto == udp && f.dstPort == 53 && f.dst != internet4 && f.dst != internet6
					addr := slices.ContainsFunc(cutAddrs, func(a netip.Addr) bool { return f.src == a || f.dst == a || f.ledTo == a })
					if port || addr && f.proto == proto {
						gone = append(gone, f)
					} else {
						stay = append(stay, f)
					}
				}
				track(t, c, stay...)
				want := tracks(t, c)
				track(t, c, gone...)
				if err := cut(c, Flows{Addrs: cutAddrs, Proto: proto, Ports: cutPorts}); err != nil {
					t.Fatal(err)
				}
				same(t, "the flows", tracks(t, c), want)
			})
		}
	}
}

// A namespace's flows are its own.
func TestCutOfNobodyElse(t *testing.T) {
	netns(t)
	c := dial(t)
	track(t, c, toCut...)
	before := tracks(t, c)
	t.Run("elsewhere", func(t *testing.T) {
		netns(t)
		elsewhere := dial(t)
		if n, err := Tracked(elsewhere); err != nil || n != 0 {
			t.Errorf("%d tracked (error %v)", n, err)
		}
		track(t, elsewhere, toCut[0])
		if err := cutting.Cut(elsewhere); err != nil {
			t.Error(err)
		}
		same(t, "the flows", tracks(t, elsewhere), "")
	})
	same(t, "the flows", tracks(t, c), before)
}

// A kernel before 6.12 does not look at CTA_FILTER in a message to delete, as
// none does where there is none. It deletes nothing then.
func TestCutOnOlderKernels(t *testing.T) {
	netns(t)
	c := dial(t)
	track(t, c, toCut...)
	before := tracks(t, c)
	reqs, _ := Flows{Addrs: cutAddrs, Ports: append(cutPorts, Port{HostIP: host4, HostPort: 90, Proto: udp})}.Delete()
	all, _ := Flows{Ports: cutPorts}.Delete() // those of IPv6 too
	for _, r := range withoutFilter(t, append(reqs, all...)) {
		if err := c.Do(r); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%s: got the error %v, want %v", r.What, err, unix.EINVAL)
		}
		same(t, "the flows", tracks(t, c), before)
	}
}

// withoutFilter is messages as an older kernel reads them.
func withoutFilter(t *testing.T, reqs []nl.Request) []nl.Request {
	t.Helper()
	var all []nl.Request
	for _, r := range reqs {
		ad, err := decoder(r.Data[4:])
		if err != nil {
			t.Fatal(err)
		}
		r.Data = append(slices.Clone(r.Data[:4]), encode(func(ae *netlink.AttributeEncoder) {
			for ad.Next() {
				if ad.Type() != ctaFilter {
					ae.Bytes(ad.Type()|ad.TypeFlags(), ad.Bytes())
				}
			}
		})...)
		all = append(all, r)
	}
	return all
}

// A flow that has come in the place of another between the same ends stays.
func TestDeleteAnotherFlow(t *testing.T) {
	netns(t)
	c := dial(t)
	track(t, c, toCut[0])
	answers, err := c.Query(selection{}.list())
	if err != nil || len(answers) != 1 {
		t.Fatalf("%d flows (error %v)", len(answers), err)
	}
	f, err := parseFlow(answers[0].Data)
	if err != nil {
		t.Fatal(err)
	}
	f.id[0]++
	if err := c.Do(f.delete()); !errors.Is(err, unix.ENOENT) {
		t.Errorf("got the error %v, want %v", err, unix.ENOENT)
	}
	f.id[0]--
	if err := c.Do(f.delete()); err != nil {
		t.Error(err)
	}
	if err := c.Do(f.delete()); !errors.Is(err, unix.ENOENT) {
		t.Errorf("got the error %v, want %v", err, unix.ENOENT)
	}
}

// Flows that are gone when they are to be deleted, among some that are not.
func TestCutWhatIsGone(t *testing.T) {
	netns(t)
	c := dial(t)
	track(t, c, toStay...)
	stay := tracks(t, c)
	track(t, c, toCut...)
	answers, err := c.Query(selection{}.list())
	if err != nil {
		t.Fatal(err)
	}
	if err := (Flows{Addrs: cutAddrs}).Cut(c); err != nil {
		t.Fatal(err)
	}
	if err := cutting.wanted().cutListed(c, answers); err != nil {
		t.Error(err)
	}
	same(t, "the flows", tracks(t, c), stay)
}

// As many answers to a listing as take several datagrams, and as many
// deletes.
func TestCutMany(t *testing.T) {
	netns(t)
	c := dial(t)
	track(t, c, toStay...)
	stay := tracks(t, c)
	for i := range uint16(2000) {
		track(t, c, begun{proto: udp, src: client6, srcPort: i + 1, dst: host6, dstPort: 90, ledTo: inside6})
	}
	if err := (Flows{Addrs: []netip.Addr{inside6}}).Cut(c); err != nil {
		t.Fatal(err)
	}
	same(t, "the flows", tracks(t, c), stay)
}

// The command that a request names deletes the same. Commands run in one
// namespace and messages are sent in another.
func TestConntrackCommands(t *testing.T) {
	var reqs []nl.Request
	want := Flows{Addrs: cutAddrs, Ports: append(cutPorts, Port{HostIP: host4, HostPort: 90, Proto: udp})}.wanted()
	exact, vague := want.selections()
	ports, _ := Flows{Ports: cutPorts}.wanted().selections() // those of IPv6 too
	proto, _ := Flows{Addrs: cutAddrs, Proto: udp}.wanted().selections()
	exact = slices.Concat(exact, ports, proto)
	for _, s := range exact {
		reqs = append(reqs, s.delete())
	}
	// What is translated at both ends goes with the second of two messages, and
	// with the first of their commands (selection.request).
	flows := slices.Concat(slices.DeleteFunc(slices.Clone(toCut), func(f begun) bool {
		return f.proto == udp && f.dstPort == 53 && f.cover.IsValid()
	}), toStay)
	var left []string
	if !t.Run("messages", func(t *testing.T) {
		netns(t)
		c := dial(t)
		for _, r := range reqs {
			track(t, c, flows...)
			err := c.Do(r)
			if errors.Is(err, unix.EINVAL) {
				need.Skip(t, "needs Linux 6.12, which finds by itself what is to be deleted: "+err.Error())
			}
			if err != nil {
				t.Fatal(err)
			}
			left = append(left, tracks(t, c))
			run(t, "conntrack", "-F")
		}
	}) {
		return
	}
	t.Run("commands", func(t *testing.T) {
		netns(t)
		c := dial(t)
		for i, r := range reqs {
			track(t, c, flows...)
			run(t, "sh", "-c", r.Cmd)
			same(t, "the flows after "+r.Cmd, tracks(t, c), left[i])
			run(t, "conntrack", "-F")
		}
	})
	t.Run("one flow", func(t *testing.T) {
		netns(t)
		c := dial(t)
		for _, b := range toCut {
			track(t, c, toStay...)
			stay := tracks(t, c)
			track(t, c, b)
			answers, err := c.Query(selection{}.list())
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range answers {
				f, err := parseFlow(m.Data)
				if err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(stay, f.String()+"\n") {
					run(t, "sh", "-c", f.delete().Cmd)
				}
			}
			same(t, fmt.Sprintf("the flows without %+v", b), tracks(t, c), stay)
			run(t, "conntrack", "-F")
		}
	})
	t.Run("questions", func(t *testing.T) {
		netns(t)
		c := dial(t)
		track(t, c, toStay...)
		if got, want := strings.TrimSpace(run(t, "sh", "-c", getStats().Cmd)), fmt.Sprint(len(toStay)); got != want {
			t.Errorf("%s: got %s, want %s", getStats().Cmd, got, want)
		}
		for _, s := range slices.Concat(vague, exact) {
			run(t, "sh", "-c", s.list().Cmd)
		}
	})
}

// A subsystem that isn't there, as ctnetlink isn't where the kernel was built
// without it.
func TestNoConntrack(t *testing.T) {
	netns(t)
	r := getStats()
	r.Type = 0x7f<<8 | ctGetStats
	n, err := tracked(dial(t), r)
	if !errors.Is(err, ErrNoConntrack) || !errors.Is(err, unix.EINVAL) || n != 0 {
		t.Errorf("got %d and the error %v", n, err)
	}
	if want := "conntrack: count: invalid argument (" + ErrNoConntrack.Error() + ")"; err.Error() != want {
		t.Errorf("got the error %q, want %q", err, want)
	}
}

// A client that never pauses is led to where the rules lead as soon as its flow
// is cut, and not before.
//
//	client ─ 127.0.0.1:53 ─┬─ the first server's port
//	                       └─ the second's, when the rules say so
func TestCutRealFlow(t *testing.T) {
	for _, tt := range []struct{ family, loopback string }{{"ip", "127.0.0.1"}, {"ip6", "::1"}} {
		t.Run(tt.family, func(t *testing.T) {
			netns(t)
			run(t, "ip", "link", "set", "lo", "up")
			lead := func(to net.PacketConn) {
				run(t, "nft", fmt.Sprintf(
					"flush ruleset\ntable %[1]s t { chain c { type nat hook output priority -100\n%[1]s daddr %[2]s udp dport 53 dnat to %[3]s\n}\n}\n",
					tt.family, tt.loopback, to.LocalAddr()))
			}
			serve := func() net.PacketConn {
				s, err := net.ListenPacket("udp", net.JoinHostPort(tt.loopback, "0"))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { s.Close() })
				return s
			}
			first, second := serve(), serve()
			lead(first)
			client, err := net.Dial("udp", net.JoinHostPort(tt.loopback, "53"))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			hears := func(server net.PacketConn, text string) {
				t.Helper()
				if _, err := client.Write([]byte(text)); err != nil {
					t.Fatal(err)
				}
				// Only a failure takes so long: what goes by loopback is there
				// when Write returns.
				if err := server.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
					t.Fatal(err)
				}
				buf := make([]byte, 64)
				n, _, err := server.ReadFrom(buf)
				if err != nil || string(buf[:n]) != text {
					t.Fatalf("%s: heard %q (error %v), want %q", server.LocalAddr(), buf[:n], err, text)
				}
			}
			c := dial(t)
			hears(first, "one")
			lead(second)
			hears(first, "two") // the flow is remembered
			if err := (Flows{Ports: []Port{udpPort(53, 5353)}}).Cut(c); err != nil {
				t.Fatal(err)
			}
			hears(second, "three")
			lead(first)
			hears(second, "four")
			if err := (Flows{Addrs: []netip.Addr{netip.MustParseAddr(tt.loopback)}}).Cut(c); err != nil {
				t.Fatal(err)
			}
			hears(first, "five")
		})
	}
}
