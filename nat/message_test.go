//go:build linux

package nat

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/nl"
)

// The messages, byte for byte. The numbers of attributes and messages stand
// here as numbers, not as the constants that the builders use.
//
// A golden is a string of its bytes, in the pieces that the kernel sees. What
// is in the host's byte order goes through nla and host, so that the goldens
// are right on every machine; all other numbers are big-endian.

// nla is struct nlattr, the head of an attribute: its length, these 4 bytes
// included and padding not, and its type.
func nla(length, typ uint16) string {
	b := binary.NativeEndian.AppendUint16(nil, length)
	return string(binary.NativeEndian.AppendUint16(b, typ))
}

// nest is the head of an attribute that holds attributes (NLA_F_NESTED).
func nest(length, typ uint16) string { return nla(length, 0x8000|typ) }

// host is a number in the host's byte order, be one in the network's.
func host(n uint32) string { return string(binary.NativeEndian.AppendUint32(nil, n)) }
func be(n uint32) string   { return string(binary.BigEndian.AppendUint32(nil, n)) }

// pad is n zero bytes.
func pad(n int) string { return strings.Repeat("\x00", n) }

const (
	// struct nfgenmsg: NFPROTO_IPV4, NFNETLINK_V0, res_id 0
	genmsg = "\x02\x00\x00\x00"
	// NFPROTO_IPV6, NFPROTO_BRIDGE
	genmsg6      = "\x0a\x00\x00\x00"
	genmsgBridge = "\x07\x00\x00\x00"
	// The name of the table with its NUL, and what pads these 10 bytes.
	container = "container\x00\x00\x00"
)

// message flags: NLM_F_REQUEST, NLM_F_ACK, NLM_F_CREATE and so on
const (
	flagsChange = 0x005
	flagsAdd    = 0x405
	flagsCreate = 0x605
	flagsAppend = 0xc05
	flagsDump   = 0x301
)

// message is one golden.
type goldenMessage struct {
	request nl.Request
	cmd     string
	typ     netlink.HeaderType
	flags   netlink.HeaderFlags
	data    string
}

func (g goldenMessage) check(t *testing.T) {
	t.Helper()
	r := g.request
	if r.Cmd != g.cmd {
		t.Errorf("got the command\n\t%s\nwant\n\t%s", r.Cmd, g.cmd)
	}
	if r.Type != g.typ || r.Flags != g.flags {
		t.Errorf("got type %#x with flags %#x, want %#x with %#x", uint16(r.Type), uint16(r.Flags), uint16(g.typ), uint16(g.flags))
	}
	same(t, "the bytes", hexLines(r.Data), hexLines([]byte(g.data)))
}

// hexLines is bytes 4 a line, which is what attributes are aligned to.
func hexLines(b []byte) string {
	var s strings.Builder
	for i := 0; i < len(b); i += 4 {
		line := b[i:min(i+4, len(b))]
		fmt.Fprintf(&s, "% x\t%q\n", line, line)
	}
	return s.String()
}

func TestTableMessages(t *testing.T) {
	for name, g := range map[string]goldenMessage{
		"create": {IPv4.newTable(), "nft create table ip container", 0xa00, flagsCreate, genmsg +
			nla(14, 1) + container + // NFTA_TABLE_NAME
			nla(8, 2) + be(0)}, // NFTA_TABLE_FLAGS
		"delete": {IPv4.DeleteTable(), "nft delete table ip container", 0xa02, flagsChange, genmsg +
			nla(14, 1) + container}, // NFTA_TABLE_NAME
		"create ip6": {IPv6.newTable(), "nft create table ip6 container", 0xa00, flagsCreate, genmsg6 +
			nla(14, 1) + container + // NFTA_TABLE_NAME
			nla(8, 2) + be(0)}, // NFTA_TABLE_FLAGS
		"delete bridge": {Bridge.DeleteTable(), "nft delete table bridge container", 0xa02, flagsChange, genmsgBridge +
			nla(14, 1) + container}, // NFTA_TABLE_NAME
		// struct nfgenmsg alone: AF_UNSPEC, NFNETLINK_V0, res_id 0
		"list": {getTables(), "nft list tables", 0xa01, flagsDump, pad(4)},
	} {
		t.Run(name, g.check)
	}
}

func TestChainMessages(t *testing.T) {
	for name, g := range map[string]goldenMessage{
		"filter": {
			chain{"cut", "filter", unix.NF_INET_PRE_ROUTING, mangle}.request(IPv4),
			"nft add chain ip container cut '{ type filter hook prerouting priority -150; policy accept; }'",
			0xa03, flagsAdd, genmsg +
				nla(14, 1) + container + // NFTA_CHAIN_TABLE
				nla(8, 3) + "cut\x00" + // NFTA_CHAIN_NAME
				nest(20, 4) + // NFTA_CHAIN_HOOK
				/**/ nla(8, 1) + be(0) + // NFTA_HOOK_HOOKNUM: NF_INET_PRE_ROUTING
				/**/ nla(8, 2) + "\xff\xff\xff\x6a" + // NFTA_HOOK_PRIORITY: -150
				nla(8, 5) + be(1) + // NFTA_CHAIN_POLICY: NF_ACCEPT
				nla(11, 7) + "filter\x00" + pad(1), // NFTA_CHAIN_TYPE
		},
		"nat": {
			chain{"postrouting", "nat", unix.NF_INET_POST_ROUTING, srcnat}.request(IPv4),
			"nft add chain ip container postrouting '{ type nat hook postrouting priority 100; policy accept; }'",
			0xa03, flagsAdd, genmsg +
				nla(14, 1) + container + // NFTA_CHAIN_TABLE
				nla(16, 3) + "postrouting\x00" + // NFTA_CHAIN_NAME
				nest(20, 4) + // NFTA_CHAIN_HOOK
				/**/ nla(8, 1) + be(4) + // NFTA_HOOK_HOOKNUM: NF_INET_POST_ROUTING
				/**/ nla(8, 2) + be(100) + // NFTA_HOOK_PRIORITY
				nla(8, 5) + be(1) + // NFTA_CHAIN_POLICY: NF_ACCEPT
				nla(8, 7) + "nat\x00", // NFTA_CHAIN_TYPE
		},
		"guard": {
			guardChains()[1].request(Bridge),
			"nft add chain bridge container forward '{ type filter hook forward priority -200; policy accept; }'",
			0xa03, flagsAdd, genmsgBridge +
				nla(14, 1) + container + // NFTA_CHAIN_TABLE
				nla(12, 3) + "forward\x00" + // NFTA_CHAIN_NAME
				nest(20, 4) + // NFTA_CHAIN_HOOK
				/**/ nla(8, 1) + be(2) + // NFTA_HOOK_HOOKNUM: NF_BR_FORWARD
				/**/ nla(8, 2) + "\xff\xff\xff\x38" + // NFTA_HOOK_PRIORITY: NF_BR_PRI_FILTER_BRIDGED
				nla(8, 5) + be(1) + // NFTA_CHAIN_POLICY: NF_ACCEPT
				nla(11, 7) + "filter\x00" + pad(1), // NFTA_CHAIN_TYPE
		},
		"jumped to": {
			chain{"publish", "", 0, 0}.request(IPv4),
			"nft add chain ip container publish",
			0xa03, flagsAdd, genmsg +
				nla(14, 1) + container + // NFTA_CHAIN_TABLE
				nla(12, 3) + "publish\x00", // NFTA_CHAIN_NAME
		},
	} {
		t.Run(name, g.check)
	}
}

func TestBatchMessages(t *testing.T) {
	// struct nfgenmsg: AF_UNSPEC, NFNETLINK_V0, res_id NFNL_SUBSYS_NFTABLES
	const mark = "\x00\x00\x00\x0a"
	for name, batch := range map[string]struct {
		reqs  []nl.Request
		begin string
	}{
		"whatever was before": {Batch([]nl.Request{IPv4.DeleteTable()}), mark},
		"of a generation": {BatchAt(7, []nl.Request{IPv4.DeleteTable()}), mark +
			nla(8, 1) + be(7)}, // NFNL_BATCH_GENID
	} {
		t.Run(name, func(t *testing.T) {
			if len(batch.reqs) != 3 {
				t.Fatalf("got %d messages, want 3", len(batch.reqs))
			}
			// The marks ask for no answer: NLM_F_REQUEST alone.
			goldenMessage{request: batch.reqs[0], typ: 0x10, flags: 1, data: batch.begin}.check(t)
			goldenMessage{request: batch.reqs[2], typ: 0x11, flags: 1, data: mark}.check(t)
		})
	}
}

func TestGetGenMessage(t *testing.T) {
	// struct nfgenmsg alone: AF_UNSPEC, NFNETLINK_V0, res_id 0
	goldenMessage{GetGen(), GetGen().Cmd, 0xa10, 1, pad(4)}.check(t)
}

func TestSetMessages(t *testing.T) {
	for _, g := range []goldenMessage{
		{IPv4.bridges().request(), "nft add set ip container bridges '{ type ifname; }'", 0xa09, flagsAdd, genmsg +
			nla(14, 1) + container + // NFTA_SET_TABLE
			nla(12, 2) + "bridges\x00" + // NFTA_SET_NAME
			nla(8, 3) + be(0) + // NFTA_SET_FLAGS
			nla(8, 4) + be(41) + // NFTA_SET_KEY_TYPE: ifname
			nla(8, 5) + be(16) + // NFTA_SET_KEY_LEN
			nla(8, 10) + be(1) + // NFTA_SET_ID
			nla(10, 13) + "\x00\x04" + host(1) + pad(2)}, // NFTA_SET_USERDATA: keys in the host's order

		{IPv4.inside().request(), "nft add set ip container inside '{ type ifname . ifname; }'", 0xa09, flagsAdd, genmsg +
			nla(14, 1) + container + // NFTA_SET_TABLE
			nla(11, 2) + "inside\x00" + pad(1) + // NFTA_SET_NAME
			nla(8, 3) + be(0) + // NFTA_SET_FLAGS
			nla(8, 4) + be(41<<6|41) + // NFTA_SET_KEY_TYPE: ifname . ifname
			nla(8, 5) + be(32) + // NFTA_SET_KEY_LEN
			nla(8, 10) + be(2) + // NFTA_SET_ID
			nla(10, 13) + "\x00\x04" + host(0) + pad(2)}, // NFTA_SET_USERDATA: each field its own order

		{IPv4.networks().request(), "nft add set ip container network '{ type ipv4_addr; flags interval; }'", 0xa09, flagsAdd, genmsg +
			nla(14, 1) + container + // NFTA_SET_TABLE
			nla(12, 2) + "network\x00" + // NFTA_SET_NAME
			nla(8, 3) + be(4) + // NFTA_SET_FLAGS: NFT_SET_INTERVAL
			nla(8, 4) + be(7) + // NFTA_SET_KEY_TYPE: ipv4_addr
			nla(8, 5) + be(4) + // NFTA_SET_KEY_LEN
			nla(8, 10) + be(3) + // NFTA_SET_ID
			nla(10, 13) + "\x00\x04" + host(2) + pad(2)}, // NFTA_SET_USERDATA: keys big-endian

		{IPv4.leases().request(), "nft add map ip container lease '{ type ipv4_addr : iface_index; }'", 0xa09, flagsAdd, genmsg +
			nla(14, 1) + container + // NFTA_SET_TABLE
			nla(10, 2) + "lease\x00" + pad(2) + // NFTA_SET_NAME
			nla(8, 3) + be(8) + // NFTA_SET_FLAGS: NFT_SET_MAP
			nla(8, 4) + be(7) + // NFTA_SET_KEY_TYPE: ipv4_addr
			nla(8, 5) + be(4) + // NFTA_SET_KEY_LEN
			nla(8, 6) + be(20) + // NFTA_SET_DATA_TYPE: iface_index
			nla(8, 7) + be(4) + // NFTA_SET_DATA_LEN
			nla(8, 10) + be(4) + // NFTA_SET_ID
			nla(16, 13) + "\x00\x04" + host(2) + "\x01\x04" + host(1)}, // NFTA_SET_USERDATA: values in the host's order

		{IPv4.published().request(), "nft add map ip container publish '{ type inet_proto . inet_service : ipv4_addr . inet_service; }'", 0xa09, flagsAdd, genmsg +
			nla(14, 1) + container + // NFTA_SET_TABLE
			nla(12, 2) + "publish\x00" + // NFTA_SET_NAME
			nla(8, 3) + be(8) + // NFTA_SET_FLAGS: NFT_SET_MAP
			nla(8, 4) + be(12<<6|13) + // NFTA_SET_KEY_TYPE: inet_proto . inet_service
			nla(8, 5) + be(8) + // NFTA_SET_KEY_LEN: two registers
			nla(8, 6) + be(7<<6|13) + // NFTA_SET_DATA_TYPE: ipv4_addr . inet_service
			nla(8, 7) + be(8) + // NFTA_SET_DATA_LEN
			nla(8, 10) + be(5) + // NFTA_SET_ID
			nla(16, 13) + "\x00\x04" + host(0) + "\x01\x04" + host(0)}, // NFTA_SET_USERDATA

		{IPv4.publishedAt().request(), "nft add map ip container publish_at '{ type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }'", 0xa09, flagsAdd, genmsg +
			nla(14, 1) + container + // NFTA_SET_TABLE
			nla(15, 2) + "publish_at\x00" + pad(1) + // NFTA_SET_NAME
			nla(8, 3) + be(8) + // NFTA_SET_FLAGS: NFT_SET_MAP
			nla(8, 4) + be(7<<12|12<<6|13) + // NFTA_SET_KEY_TYPE: ipv4_addr . inet_proto . inet_service
			nla(8, 5) + be(12) + // NFTA_SET_KEY_LEN: three registers
			nla(8, 6) + be(7<<6|13) + // NFTA_SET_DATA_TYPE: ipv4_addr . inet_service
			nla(8, 7) + be(8) + // NFTA_SET_DATA_LEN
			nla(8, 10) + be(6) + // NFTA_SET_ID
			nla(16, 13) + "\x00\x04" + host(0) + "\x01\x04" + host(0)}, // NFTA_SET_USERDATA

		{IPv4.sysctls().request(), "nft add set ip container sysctl '{ type mark; }'", 0xa09, flagsAdd, genmsg +
			nla(14, 1) + container + // NFTA_SET_TABLE
			nla(11, 2) + "sysctl\x00" + pad(1) + // NFTA_SET_NAME
			nla(8, 3) + be(0) + // NFTA_SET_FLAGS
			nla(8, 4) + be(19) + // NFTA_SET_KEY_TYPE: mark
			nla(8, 5) + be(4) + // NFTA_SET_KEY_LEN
			nla(8, 10) + be(7) + // NFTA_SET_ID
			nla(10, 13) + "\x00\x04" + host(1) + pad(2)}, // NFTA_SET_USERDATA: keys in the host's order

		{IPv6.networks().request(), "nft add set ip6 container network '{ type ipv6_addr; flags interval; }'", 0xa09, flagsAdd, genmsg6 +
			nla(14, 1) + container + // NFTA_SET_TABLE
			nla(12, 2) + "network\x00" + // NFTA_SET_NAME
			nla(8, 3) + be(4) + // NFTA_SET_FLAGS: NFT_SET_INTERVAL
			nla(8, 4) + be(8) + // NFTA_SET_KEY_TYPE: ipv6_addr
			nla(8, 5) + be(16) + // NFTA_SET_KEY_LEN
			nla(8, 10) + be(0x13) + // NFTA_SET_ID
			nla(10, 13) + "\x00\x04" + host(2) + pad(2)}, // NFTA_SET_USERDATA: keys big-endian

		{IPv6.publishedAt().request(), "nft add map ip6 container publish_at '{ type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }'", 0xa09, flagsAdd, genmsg6 +
			nla(14, 1) + container + // NFTA_SET_TABLE
			nla(15, 2) + "publish_at\x00" + pad(1) + // NFTA_SET_NAME
			nla(8, 3) + be(8) + // NFTA_SET_FLAGS: NFT_SET_MAP
			nla(8, 4) + be(8<<12|12<<6|13) + // NFTA_SET_KEY_TYPE: ipv6_addr . inet_proto . inet_service
			nla(8, 5) + be(24) + // NFTA_SET_KEY_LEN: six registers
			nla(8, 6) + be(8<<6|13) + // NFTA_SET_DATA_TYPE: ipv6_addr . inet_service
			nla(8, 7) + be(20) + // NFTA_SET_DATA_LEN
			nla(8, 10) + be(0x16) + // NFTA_SET_ID
			nla(16, 13) + "\x00\x04" + host(0) + "\x01\x04" + host(0)}, // NFTA_SET_USERDATA

		{macs().request(), "nft add set bridge container macs '{ type iface_index . ether_addr; }'", 0xa09, flagsAdd, genmsgBridge +
			nla(14, 1) + container + // NFTA_SET_TABLE
			nla(9, 2) + "macs\x00" + pad(3) + // NFTA_SET_NAME
			nla(8, 3) + be(0) + // NFTA_SET_FLAGS
			nla(8, 4) + be(20<<6|9) + // NFTA_SET_KEY_TYPE: iface_index . ether_addr
			nla(8, 5) + be(12) + // NFTA_SET_KEY_LEN: three registers
			nla(8, 10) + be(0x22) + // NFTA_SET_ID
			nla(10, 13) + "\x00\x04" + host(0) + pad(2)}, // NFTA_SET_USERDATA

		// A key that is told by what loads it, as nft 1.0.6 does.
		{targets().request(), "nft add set bridge container targets '{ typeof iif . @nh,384,128; }'", 0xa09, flagsAdd, genmsgBridge +
			nla(14, 1) + container + // NFTA_SET_TABLE
			nla(12, 2) + "targets\x00" + // NFTA_SET_NAME
			nla(8, 3) + be(0) + // NFTA_SET_FLAGS
			nla(8, 4) + be(20<<6|4) + // NFTA_SET_KEY_TYPE: iface_index . integer
			nla(8, 5) + be(20) + // NFTA_SET_KEY_LEN: five registers
			nla(8, 10) + be(0x26) + // NFTA_SET_ID
			nla(76, 13) + "\x00\x04" + host(0) + // NFTA_SET_USERDATA: each field its own order
			/**/ "\x03\x40" + // NFTNL_UDATA_SET_KEY_TYPEOF
			/*  */ "\x00\x04" + host(13) + // EXPR_CONCAT
			/*  */ "\x01\x38" +
			/*    */ "\x00\x0e" +
			/*      */ "\x00\x04" + host(9) + // EXPR_META
			/*      */ "\x01\x06" + "\x00\x04" + host(4) + // NFT_META_IIF
			/*    */ "\x01\x26" +
			/*      */ "\x00\x04" + host(7) + // EXPR_PAYLOAD
			/*      */ "\x01\x1e" + "\x00\x04" + host(0) + "\x01\x04" + host(0) + // of no known protocol
			/*        */ "\x02\x04" + host(2) + // the network header
			/*        */ "\x03\x04" + host(384) + "\x04\x04" + host(128)}, // in bits

		{owned6().request(), "nft add set bridge container owned6 '{ typeof @nh,384,128; }'", 0xa09, flagsAdd, genmsgBridge +
			nla(14, 1) + container + // NFTA_SET_TABLE
			nla(11, 2) + "owned6\x00" + pad(1) + // NFTA_SET_NAME
			nla(8, 3) + be(0) + // NFTA_SET_FLAGS
			nla(8, 4) + be(4) + // NFTA_SET_KEY_TYPE: integer
			nla(8, 5) + be(16) + // NFTA_SET_KEY_LEN
			nla(8, 10) + be(0x28) + // NFTA_SET_ID
			nla(50, 13) + "\x00\x04" + host(2) + // NFTA_SET_USERDATA: network order
			/**/ "\x03\x26" + // NFTNL_UDATA_SET_KEY_TYPEOF
			/*  */ "\x00\x04" + host(7) + // EXPR_PAYLOAD
			/*  */ "\x01\x1e" + "\x00\x04" + host(0) + "\x01\x04" + host(0) + // of no known protocol
			/*    */ "\x02\x04" + host(2) + // the network header
			/*    */ "\x03\x04" + host(384) + "\x04\x04" + host(128) + // in bits
			/**/ pad(2)},

		{IPv4.bridges().getElements(), "nft list set ip container bridges", 0xa0d, flagsDump, genmsg +
			nla(14, 1) + container + // NFTA_SET_ELEM_LIST_TABLE
			nla(12, 2) + "bridges\x00"}, // NFTA_SET_ELEM_LIST_SET
	} {
		t.Run(g.request.What, g.check)
	}
}

// A bridge and a container on it: what Take sends between the batch's marks.
func TestTakeMessages(t *testing.T) {
	claim := Claim{
		Bridge:    "br0",
		Networks:  prefixes("172.16.0.100/24"),
		Addresses: addrs("172.16.0.30"),
		Index:     7,
		Ports: []Port{
			{HostPort: 80, Port: 8000, Proto: unix.IPPROTO_TCP},
			{HostPort: 53, Port: 5353, Proto: unix.IPPROTO_UDP},
			{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: 81, Port: 8001, Proto: unix.IPPROTO_TCP},
		},
	}
	checkMessages(t, claim.Take(), []goldenMessage{
		{cmd: `nft add element ip container bridges '{ "br0" }'`, typ: 0xa0c, flags: flagsAdd, data: genmsg +
			nla(14, 1) + container + // NFTA_SET_ELEM_LIST_TABLE
			nla(12, 2) + "bridges\x00" + // NFTA_SET_ELEM_LIST_SET
			nest(32, 3) + // NFTA_SET_ELEM_LIST_ELEMENTS
			/**/ nest(28, 1) + // NFTA_LIST_ELEM
			/*  */ nest(24, 1) + nla(20, 1) + "br0" + pad(13)}, // NFTA_SET_ELEM_KEY, NFTA_DATA_VALUE

		{cmd: `nft add element ip container inside '{ "br0" . "br0" }'`, typ: 0xa0c, flags: flagsAdd, data: genmsg +
			nla(14, 1) + container + // NFTA_SET_ELEM_LIST_TABLE
			nla(11, 2) + "inside\x00" + pad(1) + // NFTA_SET_ELEM_LIST_SET
			nest(48, 3) + // NFTA_SET_ELEM_LIST_ELEMENTS
			/**/ nest(44, 1) + // NFTA_LIST_ELEM
			/*  */ nest(40, 1) + nla(36, 1) + "br0" + pad(13) + "br0" + pad(13)}, // NFTA_SET_ELEM_KEY

		// The first address of the network, and the first behind it, which is
		// not in it any more.
		{cmd: "nft add element ip container network '{ 172.16.0.0/24 }'", typ: 0xa0c, flags: flagsAdd, data: genmsg +
			nla(14, 1) + container + // NFTA_SET_ELEM_LIST_TABLE
			nla(12, 2) + "network\x00" + // NFTA_SET_ELEM_LIST_SET
			nest(44, 3) + // NFTA_SET_ELEM_LIST_ELEMENTS
			/**/ nest(16, 1) + // NFTA_LIST_ELEM
			/*  */ nest(12, 1) + nla(8, 1) + "\xac\x10\x00\x00" + // NFTA_SET_ELEM_KEY: 172.16.0.0
			/**/ nest(24, 1) + // NFTA_LIST_ELEM
			/*  */ nest(12, 1) + nla(8, 1) + "\xac\x10\x01\x00" + // NFTA_SET_ELEM_KEY: 172.16.1.0
			/*  */ nla(8, 3) + be(1)}, // NFTA_SET_ELEM_FLAGS: NFT_SET_ELEM_INTERVAL_END

		{cmd: "nft create element ip container lease '{ 172.16.0.30 : 7 }'", typ: 0xa0c, flags: flagsCreate, data: genmsg +
			nla(14, 1) + container + // NFTA_SET_ELEM_LIST_TABLE
			nla(10, 2) + "lease\x00" + pad(2) + // NFTA_SET_ELEM_LIST_SET
			nest(32, 3) + // NFTA_SET_ELEM_LIST_ELEMENTS
			/**/ nest(28, 1) + // NFTA_LIST_ELEM
			/*  */ nest(12, 1) + nla(8, 1) + "\xac\x10\x00\x1e" + // NFTA_SET_ELEM_KEY: 172.16.0.30
			/*  */ nest(12, 2) + nla(8, 1) + host(7)}, // NFTA_SET_ELEM_DATA: the index

		{cmd: "nft create element ip container publish_at '{ 127.0.0.1 . tcp . 81 : 172.16.0.30 . 8001 }'", typ: 0xa0c, flags: flagsCreate, data: genmsg +
			nla(14, 1) + container + // NFTA_SET_ELEM_LIST_TABLE
			nla(15, 2) + "publish_at\x00" + pad(1) + // NFTA_SET_ELEM_LIST_SET
			nest(44, 3) + // NFTA_SET_ELEM_LIST_ELEMENTS
			/**/ nest(40, 1) + // NFTA_LIST_ELEM
			/*  */ nest(20, 1) + nla(16, 1) + "\x7f\x00\x00\x01" + "\x06\x00\x00\x00" + "\x00\x51\x00\x00" + // NFTA_SET_ELEM_KEY
			/*  */ nest(16, 2) + nla(12, 1) + "\xac\x10\x00\x1e" + "\x1f\x41\x00\x00"}, // NFTA_SET_ELEM_DATA

		{cmd: "nft create element ip container publish '{ tcp . 80 : 172.16.0.30 . 8000, udp . 53 : 172.16.0.30 . 5353 }'", typ: 0xa0c, flags: flagsCreate, data: genmsg +
			nla(14, 1) + container + // NFTA_SET_ELEM_LIST_TABLE
			nla(12, 2) + "publish\x00" + // NFTA_SET_ELEM_LIST_SET
			nest(76, 3) + // NFTA_SET_ELEM_LIST_ELEMENTS
			/**/ nest(36, 1) + // NFTA_LIST_ELEM
			/*  */ nest(16, 1) + nla(12, 1) + "\x06\x00\x00\x00" + "\x00\x50\x00\x00" + // NFTA_SET_ELEM_KEY: tcp . 80
			/*  */ nest(16, 2) + nla(12, 1) + "\xac\x10\x00\x1e" + "\x1f\x40\x00\x00" + // NFTA_SET_ELEM_DATA
			/**/ nest(36, 1) + // NFTA_LIST_ELEM
			/*  */ nest(16, 1) + nla(12, 1) + "\x11\x00\x00\x00" + "\x00\x35\x00\x00" + // NFTA_SET_ELEM_KEY: udp . 53
			/*  */ nest(16, 2) + nla(12, 1) + "\xac\x10\x00\x1e" + "\x14\xe9\x00\x00"}, // NFTA_SET_ELEM_DATA

		{cmd: "nft add element ip container living '{ 172.16.0.30 }'", typ: 0xa0c, flags: flagsAdd, data: genmsg +
			nla(14, 1) + container + // NFTA_SET_ELEM_LIST_TABLE
			nla(11, 2) + "living\x00" + pad(1) + // NFTA_SET_ELEM_LIST_SET
			nest(20, 3) + // NFTA_SET_ELEM_LIST_ELEMENTS
			/**/ nest(16, 1) + // NFTA_LIST_ELEM
			/*  */ nest(12, 1) + nla(8, 1) + "\xac\x10\x00\x1e"}, // NFTA_SET_ELEM_KEY: 172.16.0.30
	})
}

// A claim of both families with its guard. What IPv4 needs of the bridge comes
// first, which is in TestTakeMessages.
func TestTakeMessagesOfBoth(t *testing.T) {
	claim := Claim{
		Bridge:    "br0",
		Networks:  prefixes("172.16.0.100/24", "fd00:16::100/64"),
		Addresses: addrs("172.16.0.30", "fd00:16::30"),
		Index:     7,
		MAC:       net.HardwareAddr{2, 0, 0, 0, 0, 5},
		Isolated:  true,
		Ports: []Port{
			{HostPort: 80, Port: 8000, Proto: unix.IPPROTO_TCP},
			{HostIP: netip.MustParseAddr("2001:db8::1"), HostPort: 81, Port: 8001, Proto: unix.IPPROTO_UDP},
		},
	}
	attr := func(typ uint16, value string) string {
		return nla(uint16(4+len(value)), typ) + value + pad(-len(value)&3)
	}
	elems := func(head, name, elements string) string {
		return head + nla(14, 1) + container + // NFTA_SET_ELEM_LIST_TABLE
			attr(2, name+"\x00") + // NFTA_SET_ELEM_LIST_SET
			attr(0x8003, elements) // NFTA_SET_ELEM_LIST_ELEMENTS
	}
	const address6 = "\xfd\x00\x00\x16\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x30"
	const linkLocal = "\xfe\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xfe\x00\x00\x05"
	port := nest(16, 1) + nest(12, 1) + nla(8, 1) + host(7) // an element: the index
	address := nest(20, 1) + nest(16, 1) + nla(12, 1) + host(7) + "\xac\x10\x00\x1e"
	addresses6 := nest(32, 1) + nest(28, 1) + nla(24, 1) + host(7) + address6 +
		nest(32, 1) + nest(28, 1) + nla(24, 1) + host(7) + linkLocal
	all := claim.Take()
	four := claim
	four.Networks = claim.Networks[:1]
	for i, r := range four.bridge() {
		goldenMessage{all[i], r.Cmd, r.Type, r.Flags, string(r.Data)}.check(t)
	}
	checkMessages(t, all[3:], []goldenMessage{
		{cmd: `nft add element ip6 container bridges '{ "br0" }'`, typ: 0xa0c, flags: flagsAdd, data: elems(genmsg6, "bridges",
			nest(28, 1)+nest(24, 1)+nla(20, 1)+"br0"+pad(13))},

		{cmd: `nft add element ip6 container inside '{ "br0" . "br0" }'`, typ: 0xa0c, flags: flagsAdd, data: elems(genmsg6, "inside",
			nest(44, 1)+nest(40, 1)+nla(36, 1)+"br0"+pad(13)+"br0"+pad(13))},

		{cmd: "nft add element ip6 container network '{ fd00:16::/64 }'", typ: 0xa0c, flags: flagsAdd, data: elems(genmsg6, "network",
			nest(28, 1)+nest(24, 1)+nla(20, 1)+address6[:15]+"\x00"+
				nest(36, 1)+nest(24, 1)+nla(20, 1)+address6[:7]+"\x01"+pad(8)+ // fd00:16:0:1::
				/**/ nla(8, 3)+be(1))}, // NFTA_SET_ELEM_FLAGS: NFT_SET_ELEM_INTERVAL_END

		{cmd: "nft create element ip container lease '{ 172.16.0.30 : 7 }'", typ: 0xa0c, flags: flagsCreate, data: elems(genmsg, "lease",
			nest(28, 1)+nest(12, 1)+nla(8, 1)+"\xac\x10\x00\x1e"+nest(12, 2)+nla(8, 1)+host(7))},

		{cmd: "nft create element ip container publish '{ tcp . 80 : 172.16.0.30 . 8000 }'", typ: 0xa0c, flags: flagsCreate, data: elems(genmsg, "publish",
			nest(36, 1)+
				nest(16, 1)+nla(12, 1)+"\x06\x00\x00\x00"+"\x00\x50\x00\x00"+
				nest(16, 2)+nla(12, 1)+"\xac\x10\x00\x1e"+"\x1f\x40\x00\x00")},

		{cmd: "nft create element ip6 container lease '{ fd00:16::30 : 7 }'", typ: 0xa0c, flags: flagsCreate, data: elems(genmsg6, "lease",
			nest(40, 1)+nest(24, 1)+nla(20, 1)+address6+nest(12, 2)+nla(8, 1)+host(7))},

		{cmd: "nft create element ip6 container publish_at '{ 2001:db8::1 . udp . 81 : fd00:16::30 . 8001 }'", typ: 0xa0c, flags: flagsCreate, data: elems(genmsg6, "publish_at",
			nest(64, 1)+
				nest(32, 1)+nla(28, 1)+"\x20\x01\x0d\xb8"+pad(11)+"\x01"+"\x11\x00\x00\x00"+"\x00\x51\x00\x00"+
				nest(28, 2)+nla(24, 1)+address6+"\x1f\x41\x00\x00")},

		{cmd: "nft create element ip6 container publish '{ tcp . 80 : fd00:16::30 . 8000 }'", typ: 0xa0c, flags: flagsCreate, data: elems(genmsg6, "publish",
			nest(48, 1)+
				nest(16, 1)+nla(12, 1)+"\x06\x00\x00\x00"+"\x00\x50\x00\x00"+
				nest(28, 2)+nla(24, 1)+address6+"\x1f\x40\x00\x00")},

		{cmd: "nft add element ip container living '{ 172.16.0.30 }'", typ: 0xa0c, flags: flagsAdd, data: elems(genmsg, "living",
			nest(16, 1)+nest(12, 1)+nla(8, 1)+"\xac\x10\x00\x1e")},

		{cmd: "nft add element ip6 container living '{ fd00:16::30 }'", typ: 0xa0c, flags: flagsAdd, data: elems(genmsg6, "living",
			nest(28, 1)+nest(24, 1)+nla(20, 1)+address6)},

		{cmd: "nft add element ip container isolated '{ 172.16.0.30 }'", typ: 0xa0c, flags: flagsAdd, data: elems(genmsg, "isolated",
			nest(16, 1)+nest(12, 1)+nla(8, 1)+"\xac\x10\x00\x1e")},

		{cmd: "nft add element ip6 container isolated '{ fd00:16::30 }'", typ: 0xa0c, flags: flagsAdd, data: elems(genmsg6, "isolated",
			nest(28, 1)+nest(24, 1)+nla(20, 1)+address6)},

		{cmd: "nft add element bridge container gateways '{ 172.16.0.100 }'", typ: 0xa0c, flags: flagsAdd, data: elems(genmsgBridge, "gateways",
			nest(16, 1)+nest(12, 1)+nla(8, 1)+"\xac\x10\x00\x64")},

		{cmd: "nft add element bridge container ports '{ 7 }'", typ: 0xa0c, flags: flagsAdd, data: elems(genmsgBridge, "ports", port)},

		{cmd: "nft add element bridge container macs '{ 7 . 02:00:00:00:00:05 }'", typ: 0xa0c, flags: flagsAdd, data: elems(genmsgBridge, "macs",
			nest(24, 1)+nest(20, 1)+nla(16, 1)+host(7)+"\x02\x00\x00\x00\x00\x05"+pad(2))},

		{cmd: "nft add element bridge container addresses '{ 7 . 172.16.0.30 }'", typ: 0xa0c, flags: flagsAdd, data: elems(genmsgBridge, "addresses", address)},

		{cmd: "nft add element bridge container owned '{ 172.16.0.30 }'", typ: 0xa0c, flags: flagsAdd, data: elems(genmsgBridge, "owned",
			nest(16, 1)+nest(12, 1)+nla(8, 1)+"\xac\x10\x00\x1e")},

		{cmd: "nft add element bridge container sources '{ 7 . 02:00:00:00:00:05 . ip . 172.16.0.30 }'", typ: 0xa0c, flags: flagsAdd, data: elems(genmsgBridge, "sources",
			nest(32, 1)+nest(28, 1)+nla(24, 1)+host(7)+"\x02\x00\x00\x00\x00\x05"+pad(2)+"\x08\x00"+pad(2)+"\xac\x10\x00\x1e")},

		{cmd: "nft add element bridge container addresses6 '{ 7 . fd00:16::30, 7 . fe80::ff:fe00:5 }'", typ: 0xa0c, flags: flagsAdd, data: elems(genmsgBridge, "addresses6", addresses6)},

		{
			cmd: "nft add element bridge container targets '{ 7 . 0xfd000016000000000000000000000030, 7 . 0xfe80000000000000000000fffe000005 }'",
			typ: 0xa0c, flags: flagsAdd, data: elems(genmsgBridge, "targets", addresses6),
		},

		{cmd: "nft add element bridge container owned6 '{ 0xfd000016000000000000000000000030 }'", typ: 0xa0c, flags: flagsAdd, data: elems(genmsgBridge, "owned6",
			nest(28, 1)+nest(24, 1)+nla(20, 1)+address6)},

		{cmd: "nft add element bridge container isolated '{ 7 }'", typ: 0xa0c, flags: flagsAdd, data: elems(genmsgBridge, "isolated", port)},
	})
}

// Add once more, then delete: see Claim.Release.
func TestReleaseMessages(t *testing.T) {
	lease := genmsg +
		nla(14, 1) + container + // NFTA_SET_ELEM_LIST_TABLE
		nla(10, 2) + "lease\x00" + pad(2) + // NFTA_SET_ELEM_LIST_SET
		nest(32, 3) + // NFTA_SET_ELEM_LIST_ELEMENTS
		/**/ nest(28, 1) + // NFTA_LIST_ELEM
		/*  */ nest(12, 1) + nla(8, 1) + "\xac\x10\x00\x1e" + // NFTA_SET_ELEM_KEY: 172.16.0.30
		/*  */ nest(12, 2) + nla(8, 1) + host(7) // NFTA_SET_ELEM_DATA: the index
	life := genmsg +
		nla(14, 1) + container + // NFTA_SET_ELEM_LIST_TABLE
		nla(11, 2) + "living\x00" + pad(1) + // NFTA_SET_ELEM_LIST_SET
		nest(20, 3) + // NFTA_SET_ELEM_LIST_ELEMENTS
		/**/ nest(16, 1) + // NFTA_LIST_ELEM
		/*  */ nest(12, 1) + nla(8, 1) + "\xac\x10\x00\x1e" // NFTA_SET_ELEM_KEY: 172.16.0.30
	checkMessages(t, Claim{Addresses: addrs("172.16.0.30"), Index: 7}.Release(), []goldenMessage{
		{cmd: "nft add element ip container lease '{ 172.16.0.30 : 7 }'", typ: 0xa0c, flags: flagsAdd, data: lease},
		{cmd: "nft add element ip container living '{ 172.16.0.30 }'", typ: 0xa0c, flags: flagsAdd, data: life},
		{cmd: "nft delete element ip container lease '{ 172.16.0.30 : 7 }'", typ: 0xa0e, flags: flagsChange, data: lease},
		{cmd: "nft delete element ip container living '{ 172.16.0.30 }'", typ: 0xa0e, flags: flagsChange, data: life},
	})
}

func TestRememberMessages(t *testing.T) {
	checkMessages(t, IPv4.Remember(0, []Sysctl{{"net.ipv4.ip_forward", "0"}, {"kernel.x", "a"}}), []goldenMessage{
		{cmd: `nft create element ip container sysctl '{ 0 comment "net.ipv4.ip_forward=0", 1 comment "kernel.x=a" }'`, typ: 0xa0c, flags: flagsCreate, data: genmsg +
			nla(14, 1) + container + // NFTA_SET_ELEM_LIST_TABLE
			nla(11, 2) + "sysctl\x00" + pad(1) + // NFTA_SET_ELEM_LIST_SET
			nest(84, 3) + // NFTA_SET_ELEM_LIST_ELEMENTS
			/**/ nest(44, 1) + // NFTA_LIST_ELEM
			/*  */ nest(12, 1) + nla(8, 1) + host(0) + // NFTA_SET_ELEM_KEY
			/*  */ nla(28, 6) + "\x00\x16" + "net.ipv4.ip_forward=0\x00" + // NFTA_SET_ELEM_USERDATA: a comment of 22 bytes
			/**/ nest(36, 1) + // NFTA_LIST_ELEM
			/*  */ nest(12, 1) + nla(8, 1) + host(1) + // NFTA_SET_ELEM_KEY
			/*  */ nla(17, 6) + "\x00\x0b" + "kernel.x=a\x00" + pad(3)}, // NFTA_SET_ELEM_USERDATA
	})
	if reqs := IPv4.Remember(0, nil); len(reqs) != 0 {
		t.Errorf("nothing to remember: got the command %s", reqs[0].Cmd)
	}
}

func checkMessages(t *testing.T, reqs []nl.Request, want []goldenMessage) {
	t.Helper()
	if len(reqs) != len(want) {
		t.Fatalf("got %d messages, want %d", len(reqs), len(want))
	}
	for i, g := range want {
		g.request = reqs[i]
		t.Run(reqs[i].What, g.check)
	}
}

// Names that the shell or nft would take for something else.
func TestQuoting(t *testing.T) {
	c := Claim{Bridge: "bridge", Networks: prefixes("10.0.0.0/8")}
	if got, want := c.bridge()[0].Cmd, `nft add element ip container bridges '{ "bridge" }'`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	old := []Sysctl{{"net.ipv4.conf.it's.forwarding", "1"}}
	if got, want := IPv4.Remember(0, old)[0].Cmd, `nft create element ip container sysctl '{ 0 comment "net.ipv4.conf.it'\''s.forwarding=1" }'`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestInterval(t *testing.T) {
	for prefix, want := range map[string]string{
		"172.16.0.100/24":    "172.16.0.0-172.16.1.0",
		"10.255.255.255/8":   "10.0.0.0-11.0.0.0",
		"192.0.2.1/32":       "192.0.2.1-192.0.2.2",
		"255.255.255.0/24":   "255.255.255.0-", // nothing comes behind it
		"255.255.255.255/32": "255.255.255.255-",
		"0.0.0.0/0":          "0.0.0.0-",
		"128.0.0.0/1":        "128.0.0.0-",
		"0.0.0.0/1":          "0.0.0.0-128.0.0.0",
		"10.0.255.255/32":    "10.0.255.255-10.1.0.0",
		"10.0.255.240/28":    "10.0.255.240-10.1.0.0",
		"255.255.255.240/28": "255.255.255.240-",

		"fd00:16::100/64":          "fd00:16::-fd00:16:0:1::",
		"fd00:16::/48":             "fd00:16::-fd00:16:1::",
		"fd00:16:0:ffff::/64":      "fd00:16:0:ffff::-fd00:16:1::", // carried over two bytes
		"fd00:ffff:ffff:ffff::/64": "fd00:ffff:ffff:ffff::-fd01::", // over six
		"2001:db8::30/128":         "2001:db8::30-2001:db8::31",
		"2001:db8::ffff:ffff/128":  "2001:db8::ffff:ffff-2001:db8::1:0:0",
		"fd00:16:0:fff8::/61":      "fd00:16:0:fff8::-fd00:16:1::",
		"fd00:16::/61":             "fd00:16::-fd00:16:0:8::",
		"::/1":                     "::-8000::",
		"8000::/1":                 "8000::-",
		"ffff::/16":                "ffff::-",
		"fffe::/16":                "fffe::-ffff::",
		"::/0":                     "::-",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128": "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff-",
	} {
		got := ""
		for _, e := range interval(netip.MustParsePrefix(prefix)) {
			a, _ := netip.AddrFromSlice(e.key)
			if e.end {
				got += a.String()
			} else {
				got += a.String() + "-"
			}
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", prefix, got, want)
		}
	}
}

func TestPortString(t *testing.T) {
	for want, p := range map[string]Port{
		"80:8000/tcp":          {HostPort: 80, Port: 8000, Proto: unix.IPPROTO_TCP},
		"127.0.0.1:53:53/udp":  {HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: 53, Port: 53, Proto: unix.IPPROTO_UDP},
		"5000:5000/sctp":       {HostPort: 5000, Port: 5000, Proto: unix.IPPROTO_SCTP},
		"1:2/33":               {HostPort: 1, Port: 2, Proto: unix.IPPROTO_DCCP},
		"0.0.0.0:65535:1/tcp":  {HostIP: netip.IPv4Unspecified(), HostPort: 65535, Port: 1, Proto: unix.IPPROTO_TCP},
		"192.0.2.7:80:80/sctp": {HostIP: netip.MustParseAddr("192.0.2.7"), HostPort: 80, Port: 80, Proto: unix.IPPROTO_SCTP},
		"[::1]:80:8000/tcp":    {HostIP: netip.IPv6Loopback(), HostPort: 80, Port: 8000, Proto: unix.IPPROTO_TCP},
		"[::]:53:53/udp":       {HostIP: netip.IPv6Unspecified(), HostPort: 53, Port: 53, Proto: unix.IPPROTO_UDP},
	} {
		if got := p.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestPortIn(t *testing.T) {
	for host, want := range map[string][2]bool{ // IPv4, IPv6
		"":            {true, true},
		"0.0.0.0":     {true, false},
		"127.0.0.1":   {true, false},
		"::":          {false, true},
		"2001:db8::1": {false, true},
	} {
		var p Port
		if host != "" {
			p.HostIP = netip.MustParseAddr(host)
		}
		if got := [2]bool{p.In(IPv4), p.In(IPv6)}; got != want {
			t.Errorf("%s: got %v, want %v", host, got, want)
		}
	}
}

func TestFamilyNames(t *testing.T) {
	for f, want := range map[Family]string{IPv4: "ip", IPv6: "ip6", Bridge: "bridge", 1: "family 1"} {
		if got := f.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	for a, want := range map[string]Family{"172.16.0.30": IPv4, "fd00:16::30": IPv6, "::1": IPv6} {
		if got := FamilyOf(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: got %s, want %s", a, got, want)
		}
	}
}
