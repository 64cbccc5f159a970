//go:build linux

package dissect_test

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"container/dissect"
)

// attr is a netlink attribute and its padding.
func attr(typ uint16, parts ...string) string {
	value := strings.Join(parts, "")
	m := native().u16(uint16(4+len(value)), typ).raw(value)
	return string(m.raw("\x00\x00\x00"[:(4-len(value)%4)%4]).b)
}

// expr is an expression: what of it is a number is one byte here.
func expr(name string, attrs ...string) string {
	return attr(1, attr(1, name), attr(2, attrs...))
}

func num(typ uint16, v byte) string     { return attr(typ, "\x00\x00\x00"+string([]byte{v})) }
func data(typ uint16, b string) string  { return attr(typ, attr(unix.NFTA_DATA_VALUE, b)) }
func host(v uint32) string              { return string(native().u32(v).b) }
func cmp(reg byte, value string) string { return expr("cmp", num(1, reg), num(2, 0), data(3, value)) }
func meta(reg, key byte) string         { return expr("meta", num(2, key), num(1, reg)) }
func payload(reg, base, offset, n byte) string {
	return expr("payload", num(1, reg), num(2, base), num(3, offset), num(4, n))
}

// What is compared is what was loaded into the register before.
func TestRegisters(t *testing.T) {
	const lo = "lo\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	const ll, network, transport = 0, 1, 2
	for _, tt := range []struct {
		name  string
		exprs []string
		want  string
	}{
		{"a name", []string{meta(1, unix.NFT_META_IIFNAME), cmp(1, lo)}, `"lo"`},
		{"the beginning of a name", []string{meta(1, unix.NFT_META_IIFNAME), cmp(1, "veth")}, `"veth"`},
		{"an index", []string{meta(1, unix.NFT_META_IIF), cmp(1, host(7))}, "7"},
		{"a protocol", []string{meta(1, unix.NFT_META_L4PROTO), cmp(1, "\x3a")}, "IPPROTO_ICMPV6"},
		{"a family", []string{meta(1, unix.NFT_META_NFPROTO), cmp(1, "\x0a")}, "NFPROTO_IPV6"},
		{"an EtherType", []string{meta(1, unix.NFT_META_PROTOCOL), cmp(1, "\x86\xdd")}, "ETH_P_IPV6"},
		{"another EtherType", []string{payload(1, ll, 12, 2), cmp(1, "\x08\x06")}, "ETH_P_ARP"},
		{"a hardware address", []string{payload(1, ll, 6, 6), cmp(1, "\x02\x00\x5e\x00\x00\x01")}, "02:00:5e:00:00:01"},
		{"ARP's", []string{payload(1, network, 8, 6), cmp(1, "\x02\x00\x5e\x00\x00\x01")}, "02:00:5e:00:00:01"},
		{"an address", []string{payload(1, network, 12, 4), cmp(1, "\xac\x10\x00\x1e")}, "172.16.0.30"},
		{"a prefix", []string{payload(1, network, 16, 2), cmp(1, "\xac\x10")}, "172.16.0.0/16"},
		{"an IPv6 address", []string{payload(1, network, 8, 16), cmp(1, "\xfd"+strings.Repeat("\x00", 14)+"\x1e")}, "fd00::1e"},
		{"an IPv6 prefix", []string{payload(1, network, 24, 8), cmp(1, "\xfd"+strings.Repeat("\x00", 7))}, "fd00::/64"},
		{"a port", []string{payload(1, transport, 2, 2), cmp(1, "\x1f\x40")}, "8000"},
		{"something of a packet", []string{payload(1, transport, 5, 2), cmp(1, "\x1f\x40")}, "2 bytes"},
		{"nothing", []string{cmp(1, "\x1f\x40\x00\x00")}, "4 bytes"},
		{"a mark in another register", []string{meta(9, unix.NFT_META_MARK), meta(1, unix.NFT_META_IIFNAME), cmp(9, host(1))}, "1"},
		{"after a masking", []string{
			expr("ct", num(2, unix.NFT_CT_STATUS), num(1, 2)),
			expr("bitwise", num(1, 2), num(2, 3), num(3, 4), data(4, host(32)), data(5, host(0))),
			cmp(3, host(32)),
		}, "IPS_DST_NAT"},
		{"a mark that is set leaves the register", []string{
			meta(1, unix.NFT_META_IIFNAME),
			expr("meta", num(2, unix.NFT_META_MARK), num(3, 1)),
			cmp(1, lo),
		}, `"lo"`},
		{"a constant does not", []string{
			meta(1, unix.NFT_META_MARK),
			expr("immediate", num(1, 1), data(2, host(7))),
			cmp(1, host(7)),
		}, "4 bytes"},
		{"a name where no name was", []string{meta(1, unix.NFT_META_MARK), cmp(1, lo)}, "16 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := attr(unix.NFTA_RULE_EXPRESSIONS, tt.exprs...)
			m := native().header(20+len(body), 0xa06, 1, 1, 0).u8(unix.NFPROTO_INET, 0, 0, 0).raw(body)
			text := dissect.Message(unix.NETLINK_NETFILTER, m.b)
			complete(t, text, m.b)
			if want := "NFTA_DATA_VALUE " + tt.want; !strings.HasSuffix(strings.TrimRight(wordsOf(text), "\n"), want) {
				t.Errorf("no %q at the end of\n%s", want, text)
			}
		})
	}
}
