//go:build linux

package nat

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/nl"
)

// A TCP connection that a published port has led to a container may outlast it:
// when the container's last FIN or RST was lost, or never sent, the client hears
// nothing, and its segments go to an address that nobody answers for. Then these
// chains answer, with a RST. The connection's entry in connection tracking must
// stay until then: without it the FIN that a container's kernel sends at its end
// could not be translated back.
//
//   - postrouting, which NAT asks about the first packet of each connection,
//     puts a label on one that has been led to a container. So nothing is cut
//     that another's rules lead to a machine that has an address of the bridge's
//     network.
//   - cut, and cut_host for what the host itself sends, find those whose
//     container is gone. They stand before the destination is rewritten (mangle),
//     so that the RST comes from the address that the client knows: one that
//     br_netfilter makes at the bridge is sent as it is, past all NAT.
//   - dead answers what carries data. An ACK or a FIN passes: while a container's
//     network namespace is dying, its kernel still delivers what was written last.

// ledLabel is the number of a bit among the 128 of a connection's labels
// (connlabel.conf(5) gives names to those that others use).
const ledLabel = 127

// mostBare is a length that no IP packet exceeds which is a TCP segment without
// data: 60 bytes of TCP's header and options behind 60 of IPv4's, or behind
// IPv6's 40 and what little stands between them.
const mostBare = 120

func (f Family) cutChains() []chain {
	if f == Bridge {
		return nil
	}
	return []chain{
		{"dead", "", 0, 0},
		{"cut", "filter", unix.NF_INET_PRE_ROUTING, mangle},
		{"cut_host", "filter", unix.NF_INET_LOCAL_OUT, mangle},
	}
}

func (l layer) cutOptions() string {
	return "CONFIG_NFT_REJECT CONFIG_NFT_REJECT_" + l.options + " CONFIG_NF_CONNTRACK_LABELS, Linux 5.9"
}

// cutRules are the rules of cutChains.
func (f Family) cutRules() []rule {
	if f == Bridge {
		return nil
	}
	l := f.layer()
	var all []rule
	add := func(chain, text string, exprs ...expr.Any) {
		all = append(all, rule{chain: chain, text: text, needs: "nf_tables' ct and reject expressions: " + l.cutOptions(), exprs: exprs})
	}
	dnatted := []expr.Any{ctStatus(1), anyBit(1, ipsDstNAT), notEqual(1, hostData(0))}
	tcp := []expr.Any{l4proto(1), equal(1, []byte{unix.IPPROTO_TCP})}

	add("postrouting", `ct status dnat meta l4proto tcp `+f.String()+` daddr @living ct label set `+fmt.Sprint(ledLabel),
		slices.Concat(dnatted, tcp, []expr.Any{
			header(1, l.daddr, l.size()), lookup(1, f.living()),
			&expr.Immediate{Register: 1, Data: labelData(ledLabel)},
			&expr.Ct{Key: expr.CtKeyLABELS, Register: 1, SourceRegister: true},
		})...)
	all[0].first = true // a rule that masquerades is the last that is looked at

	// Not all data is pushed: what is sent again after a while, of what was
	// written at once, may be a segment out of its middle.
	add("dead", `tcp flags psh reject with tcp reset`,
		slices.Concat(tcp, []expr.Any{
			transport(1, 13, 1),
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{tcpPush}, Xor: []byte{0}},
			notEqual(1, []byte{0}),
			reset(),
		})...)
	add("dead", fmt.Sprintf(`meta length > %d reject with tcp reset`, mostBare),
		slices.Concat(tcp, []expr.Any{
			&expr.Meta{Key: expr.MetaKeyLEN, Register: 1},
			&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 4, Size: 4},
			&expr.Cmp{Op: expr.CmpOpGt, Register: 1, Data: binary.BigEndian.AppendUint32(nil, mostBare)},
			reset(),
		})...)

	for _, chain := range []string{"cut", "cut_host"} {
		add(chain, `ct status dnat ct direction original ct reply `+f.String()+` saddr != @living ct label `+fmt.Sprint(ledLabel)+` jump dead`,
			slices.Concat(dnatted, []expr.Any{
				&expr.Ct{Key: expr.CtKeyDIRECTION, Register: 1}, equal(1, []byte{0}),
				ctReplySource(f, 1), lookupNot(1, f.living()),
				&expr.Ct{Key: expr.CtKeyLABELS, Register: 1},
				&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 16, Mask: labelData(ledLabel), Xor: make([]byte, 16)},
				notEqual(1, make([]byte, 16)),
				jump("dead"),
			})...)
	}
	return all
}

// Optional is what goes with Ruleset, in one transaction with it, if the kernel
// has all of it: without, it answers ENOENT or EOPNOTSUPP.
func (f Family) Optional() []nl.Request {
	var reqs []nl.Request
	for _, c := range f.cutChains() {
		reqs = append(reqs, c.request(f))
	}
	for _, r := range f.cutRules() {
		reqs = append(reqs, r.request(f))
	}
	return reqs
}

// replySource is an expression that package expr has not: it says the direction
// of keys of before Linux 4.17 alone, which nft(8) can't show. It is marshalled
// by rule.request.
type replySource struct{ *expr.Ct }

// [ ct load src_ip => reg R , dir reply ]: the address that answers come from
func ctReplySource(f Family, reg uint32) expr.Any {
	key := expr.CtKey(unix.NFT_CT_SRC_IP)
	if f == IPv6 {
		key = unix.NFT_CT_SRC_IP6
	}
	return replySource{&expr.Ct{Key: key, Direction: 1, Register: reg}} // IP_CT_DIR_REPLY
}

func (e replySource) marshal() []byte {
	return encode(func(ae *netlink.AttributeEncoder) {
		ae.String(unix.NFTA_EXPR_NAME, "ct")
		nested(ae, unix.NFTA_EXPR_DATA, func(ae *netlink.AttributeEncoder) {
			ae.Uint32(unix.NFTA_CT_KEY, uint32(e.Key))
			ae.Uint32(unix.NFTA_CT_DREG, e.Register)
			ae.Uint8(unix.NFTA_CT_DIRECTION, uint8(e.Direction))
		})
	})
}

// tcpPush is the flag of a segment that ends what a program has written, in the
// byte 13 behind the start of TCP's header (RFC 9293).
const tcpPush = 1 << 3

// [ reject type 1 code 0 ]: with a RST
func reset() expr.Any { return &expr.Reject{Type: unix.NFT_REJECT_TCP_RST} }

// labelData is a connection's labels with one of them set: a number of 128 bits
// in the host's order.
func labelData(bit int) []byte {
	b := make([]byte, 16)
	b[bit/8] = 1 << (bit % 8)
	if hostData(1)[0] == 0 {
		slices.Reverse(b)
	}
	return b
}
