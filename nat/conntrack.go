//go:build linux

package nat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/nl"
)

// Connection tracking remembers where a flow leads when its first packet has
// been through the rules, and asks no rule again. So whoever keeps sending
// outlives a change of the rules, unless the kernel is told to forget the flow.
//
// Forgetting has no place in a transaction: ctnetlink is another subsystem of
// the same socket (NFNL_SUBSYS_CTNETLINK). Its messages are one request each.
// Layouts are those of linux/netfilter/nfnetlink_conntrack.h.

// ErrNoConntrack is a kernel that tracks connections and can't be asked about
// them. Whatever is under way there goes on until it times out.
var ErrNoConntrack = errors.New("the kernel has no ctnetlink: CONFIG_NF_CT_NETLINK, module nf_conntrack_netlink")

// Messages (enum cntl_msg_types). The kernel answers a dump with ctNew.
const (
	ctNew      = 0 // IPCTNL_MSG_CT_NEW
	ctGet      = 1 // IPCTNL_MSG_CT_GET
	ctDelete   = 2 // IPCTNL_MSG_CT_DELETE
	ctGetStats = 5 // IPCTNL_MSG_CT_GET_STATS
)

// Attributes of a flow (enum ctattr_type), and what is nested in them
// (enum ctattr_tuple, ctattr_ip, ctattr_l4proto, ctattr_filter).
const (
	ctaTupleOrig  = 1
	ctaTupleReply = 2
	ctaStatus     = 3
	ctaID         = 12
	ctaZone       = 18
	ctaFilter     = 25
	ctaStatusMask = 26

	ctaTupleIP    = 1
	ctaTupleProto = 2

	ctaIPv4Src = 1
	ctaIPv4Dst = 2
	ctaIPv6Src = 3
	ctaIPv6Dst = 4

	ctaProtoNum     = 1
	ctaProtoSrcPort = 2
	ctaProtoDstPort = 3

	ctaFilterOrigFlags  = 1
	ctaFilterReplyFlags = 2

	ctaStatsGlobalEntries = 1 // enum ctattr_stats_global
)

// Parts of a tuple that a filter compares (CTA_FILTER_F_… in the kernel's
// net/netfilter/nf_internals.h, and in libnetfilter_conntrack).
const (
	compareSrc     = 1 << 0 // CTA_FILTER_F_CTA_IP_SRC
	compareDst     = 1 << 1 // CTA_FILTER_F_CTA_IP_DST
	compareProto   = 1 << 3 // CTA_FILTER_F_CTA_PROTO_NUM
	compareDstPort = 1 << 5 // CTA_FILTER_F_CTA_PROTO_DST_PORT
)

// A flow's status (enum ip_conntrack_status).
const (
	srcTranslated = 1 << 4 // IPS_SRC_NAT
	dstTranslated = 1 << 5 // IPS_DST_NAT
)

// tracking is the type of a ctnetlink message in its netlink header.
func tracking(typ uint16) netlink.HeaderType {
	return netlink.HeaderType(unix.NFNL_SUBSYS_CTNETLINK<<8 | typ)
}

// Tracked is how many connections this network namespace tracks. It costs next
// to nothing, where any look at the connections goes through the hash table of
// all namespaces. ErrNoConntrack.
func Tracked(c *nl.Conn) (uint32, error) { return tracked(c, getStats()) }

func getStats() nl.Request {
	return nl.Request{
		Type: tracking(ctGetStats),
		// The kernel calls its answer a part of several (NLM_F_MULTI), and
		// there is no NLMSG_DONE. The acknowledgement ends it.
		Flags: netlink.Request | netlink.Acknowledge,
		Data:  body(unix.AF_UNSPEC, 0, nil),
		What:  "conntrack: count",
		Cmd:   "conntrack -C",
	}
}

func tracked(c *nl.Conn, r nl.Request) (uint32, error) {
	n, err := askNumber(c, r, ctaStatsGlobalEntries)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		// The request has nothing in it that could be invalid but the
		// subsystem (nfnetlink_rcv_msg).
		return 0, fmt.Errorf("%w (%w)", err, ErrNoConntrack)
	}
	return n, err
}

// Flows are connections that the kernel is to forget: those of addresses, and
// those to ports.
type Flows struct {
	// Addrs are ends of the flows: whatever one of them answers (its port is
	// published, or it was spoken to directly) or has begun.
	Addrs []netip.Addr

	// Proto is the protocol of the flows of Addrs; 0 is any. A TCP connection
	// is not to be cut before the container's veth is gone, which outlives its
	// last process: its sockets still deliver what was written to them, and a
	// FIN that belongs to no connection is not translated (tcp_conntracks,
	// nf_conntrack_proto_tcp.c) and never answered. Then they, and the network
	// namespace with them, stay until they have tried for minutes.
	Proto uint8

	// Ports are UDP ports of the host that flows were begun to, wherever they
	// lead now. Ports of other protocols are passed over: a new TCP connection
	// is a new flow. So is what leaves by masquerading, begun inside to the
	// same port of a machine outside.
	Ports []Port
}

// Cut makes the kernel forget the flows. Some that are begun meanwhile may
// stay: it is for when the rules no longer lead to what is gone, or already
// lead to what is new. ErrNoConntrack.
//
// From Linux 6.12 on the kernel finds and deletes by itself what Delete can
// describe. The rest is listed and deleted here, one by one.
func (f Flows) Cut(c *nl.Conn) error {
	n, err := Tracked(c)
	if err != nil || n == 0 {
		return err
	}
	want := f.wanted()
	exact, vague := want.selections()
	return want.cutAll(c, n, exact, vague, deletes(exact))
}

// cutAll is the whole of it where n flows are tracked. byKernel are the
// messages that delete what is selected exactly.
func (w wanted) cutAll(c *nl.Conn, n uint32, exact, vague []selection, byKernel []nl.Request) error {
	err := c.Do(byKernel...)
	if errors.Is(err, unix.EINVAL) {
		vague = append(vague, exact...) // an older kernel: see Flows.Delete
	} else if err != nil {
		return err
	}
	// Each listing goes through the whole hash table, which takes as long as
	// sending and reading so many flows does.
	const walk = 4000
	if len(vague) > 1 && uint64(n) < uint64(len(vague)-1)*walk {
		vague = []selection{{}}
	}
	for _, s := range vague {
		if err := w.cut(c, s); err != nil {
			return err
		}
	}
	return nil
}

// cut lists a selection, and deletes what is wanted of it.
func (w wanted) cut(c *nl.Conn, s selection) error {
	answers, err := c.Query(s.list())
	if err != nil {
		return err
	}
	return w.cutListed(c, answers)
}

// cutListed deletes what is wanted of a list. What is not there any more, or is
// listed twice because the table was changed meanwhile, is no error.
func (w wanted) cutListed(c *nl.Conn, answers []netlink.Message) error {
	for _, m := range answers {
		f, err := parseFlow(m.Data)
		if err != nil {
			return fmt.Errorf("conntrack: list flows: %w", err)
		}
		if !w.match(f) {
			continue
		}
		if err := c.Do(f.delete()); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return nil
}

// Delete is Cut as messages for a sender that can't look at answers, and
// whether they are all there is to do: the kernel can't describe the flows of
// an IPv6 address, and many ports are cheaper looked for among all flows.
//
// Kernels before 6.12, which need the whole tuple of a flow to delete it,
// refuse each of them with EINVAL, and delete nothing.
func (f Flows) Delete() (reqs []nl.Request, all bool) {
	exact, vague := f.wanted().selections()
	return deletes(exact), len(vague) == 0
}

func deletes(exact []selection) []nl.Request {
	reqs := make([]nl.Request, len(exact))
	for i, s := range exact {
		reqs[i] = s.delete()
	}
	return reqs
}

// wanted is Flows, made ready to be compared with.
type wanted struct {
	addrs []netip.Addr
	proto uint8
	ports map[uint16][]netip.Addr // UDP ports, and what addresses of the host they are on
}

func (f Flows) wanted() wanted {
	w := wanted{proto: f.Proto, ports: map[uint16][]netip.Addr{}}
	for _, a := range f.Addrs {
		if a.IsValid() {
			w.addrs = append(w.addrs, a.Unmap())
		}
	}
	for _, p := range f.Ports {
		if p.Proto == unix.IPPROTO_UDP {
			w.ports[p.HostPort] = append(w.ports[p.HostPort], p.HostIP.Unmap())
		}
	}
	return w
}

// match tells whether a flow is wanted.
func (w wanted) match(f flow) bool {
	if w.proto == 0 || w.proto == f.orig.proto {
		if slices.Contains(w.addrs, f.reply.src) || slices.Contains(w.addrs, f.orig.src) {
			return true
		}
	}
	if f.orig.proto != unix.IPPROTO_UDP {
		return false
	}
	return slices.ContainsFunc(w.ports[f.orig.dstPort], func(hostIP netip.Addr) bool {
		switch {
		case !hostIP.IsValid():
			return !f.passesBy()
		case hostIP.IsUnspecified():
			return !f.passesBy() && hostIP.Is4() == f.orig.dst.Is4()
		}
		return hostIP == f.orig.dst
	})
}

// selections are the flows that are wanted in the kernel's terms: those that it
// can tell exactly, and lists that the others are in.
//
// The kernel can compare any IPv4 address. Of two IPv6 addresses that are the
// same it finds that they differ, and the reverse (ctnetlink_filter_match_tuple
// has !ipv6_addr_cmp, from 5.8 on to this day), so they are looked at here.
func (w wanted) selections() (exact, vague []selection) {
	allIPv6 := false
	for _, a := range w.addrs {
		if a.Is4() {
			exact = append(exact,
				selection{family: unix.NFPROTO_IPV4, reply: true, src: a, proto: w.proto},
				selection{family: unix.NFPROTO_IPV4, src: a, proto: w.proto})
		} else {
			allIPv6 = true
		}
	}
	var byPort []selection
	ports := make([]uint16, 0, len(w.ports))
	for port := range w.ports {
		ports = append(ports, port)
	}
	sort.SliceStable(ports, func(i, j int) bool { return ports[i] < ports[j] })
	for _, port := range ports {
		for _, hostIP := range w.ports[port] {
			udp := selection{proto: unix.IPPROTO_UDP, port: port}
			switch {
			case !hostIP.IsValid():
				byPort = append(byPort, udp.toTheHost(unix.NFPROTO_IPV4)...)
				byPort = append(byPort, udp.toTheHost(unix.NFPROTO_IPV6)...)
			case hostIP == netip.IPv4Unspecified():
				byPort = append(byPort, udp.toTheHost(unix.NFPROTO_IPV4)...)
			case hostIP == netip.IPv6Unspecified():
				byPort = append(byPort, udp.toTheHost(unix.NFPROTO_IPV6)...)
			case hostIP.Is4():
				udp.family, udp.dst = unix.NFPROTO_IPV4, hostIP
				byPort = append(byPort, udp)
			default:
				udp.family = unix.NFPROTO_IPV6
				vague = append(vague, udp)
			}
		}
	}
	// The kernel goes through the table for each of them, which is the faster
	// way while they are few.
	const few = 16
	switch {
	case len(byPort) > few:
		byPort = nil
		vague = []selection{{family: unix.NFPROTO_IPV4, proto: unix.IPPROTO_UDP}, {family: unix.NFPROTO_IPV6, proto: unix.IPPROTO_UDP}}
	case len(vague) > 1:
		vague = []selection{{family: unix.NFPROTO_IPV6, proto: unix.IPPROTO_UDP}}
	}
	exact = append(exact, byPort...)
	if allIPv6 {
		// Ports are among them, unless it is of another protocol.
		if w.proto == 0 || w.proto == unix.IPPROTO_UDP {
			ipv6 := func(s selection) bool { return s.family == unix.NFPROTO_IPV6 }
			exact = slices.DeleteFunc(exact, ipv6)
			vague = slices.DeleteFunc(vague, ipv6)
		}
		vague = append(vague, selection{family: unix.NFPROTO_IPV6, proto: w.proto})
	}
	return exact, vague
}

// selection is flows as the kernel is asked for them. What is zero does not
// matter.
type selection struct {
	family uint8      // NFPROTO_IPV4 or NFPROTO_IPV6
	reply  bool       // the source is the reply's
	src    netip.Addr // IPv4
	dst    netip.Addr // IPv4
	proto  uint8
	port   uint16 // destination port, with proto

	status, mask uint32 // the status, under the mask
}

// toTheHost is the selection without what passes by (flow.passesBy): what is
// not translated at its source, and what is translated at its destination.
func (s selection) toTheHost(family uint8) []selection {
	s.family = family
	as, to := s, s
	as.mask = srcTranslated
	to.mask, to.status = dstTranslated, dstTranslated
	return []selection{as, to}
}

// list asks for the flows of a selection. Kernels before 5.8 do not know
// CTA_FILTER, and give all flows of the family.
func (s selection) list() nl.Request {
	return s.request(ctGet, netlink.Request|netlink.Dump, "list", "-L")
}

// delete deletes the flows of a selection. ENOENT is not an answer to it.
func (s selection) delete() nl.Request { return s.request(ctDelete, change, "delete", "-D") }

// request's command is true but for what leaves by masquerading, which
// conntrack(8) has no option to leave alone.
func (s selection) request(typ uint16, flags netlink.HeaderFlags, verb, option string) nl.Request {
	var words []string
	if s.family != 0 {
		words = append(words, "-f "+familyNames[s.family])
	}
	if s.proto != 0 {
		words = append(words, "-p "+protoName(s.proto))
	}
	if s.src.IsValid() {
		way := "orig"
		if s.reply {
			way = "reply"
		}
		words = append(words, fmt.Sprintf("--%s-src %s", way, s.src))
	}
	if s.dst.IsValid() {
		words = append(words, "--orig-dst "+s.dst.String())
	}
	if s.port != 0 {
		words = append(words, fmt.Sprintf("--orig-port-dst %d", s.port))
	}
	if s.status&dstTranslated != 0 {
		words = append(words, "--dst-nat")
	}
	text := strings.TrimSpace(option + " " + strings.Join(words, " "))
	return nl.Request{
		Type:  tracking(typ),
		Flags: flags,
		Data:  body(Family(s.family), 0, s.attributes),
		What:  fmt.Sprintf("conntrack: %s flows: %s", verb, strings.TrimSpace(strings.TrimPrefix(text, option))),
		Cmd:   "conntrack " + text,
	}
}

var familyNames = [...]string{unix.NFPROTO_IPV4: "ipv4", unix.NFPROTO_IPV6: "ipv6"}

func (s selection) attributes(ae *netlink.AttributeEncoder) {
	tuple, which := uint16(ctaTupleOrig), uint16(ctaFilterOrigFlags)
	if s.reply {
		tuple, which = ctaTupleReply, ctaFilterReplyFlags
	}
	var compare uint32
	parts := encode(func(ae *netlink.AttributeEncoder) {
		if s.src.IsValid() || s.dst.IsValid() {
			nested(ae, ctaTupleIP, func(ae *netlink.AttributeEncoder) {
				if s.src.IsValid() {
					ae.Bytes(ctaIPv4Src, s.src.AsSlice())
					compare |= compareSrc
				}
				if s.dst.IsValid() {
					ae.Bytes(ctaIPv4Dst, s.dst.AsSlice())
					compare |= compareDst
				}
			})
		}
		if s.proto != 0 {
			nested(ae, ctaTupleProto, func(ae *netlink.AttributeEncoder) {
				ae.Uint8(ctaProtoNum, s.proto)
				compare |= compareProto
				if s.port != 0 {
					ae.Uint16(ctaProtoDstPort, s.port)
					compare |= compareDstPort
				}
			})
		}
	})
	if compare == 0 {
		return
	}
	ae.Bytes(unix.NLA_F_NESTED|tuple, parts)
	if s.mask != 0 {
		ae.Uint32(ctaStatus, s.status)
		ae.Uint32(ctaStatusMask, s.mask)
	}
	nested(ae, ctaFilter, func(ae *netlink.AttributeEncoder) {
		ae.Bytes(which, hostData(compare)) // the one number in the host's order
	})
}

// flow is what the kernel remembers of a connection.
type flow struct {
	family      uint8
	orig, reply tuple
	status      uint32

	// As the kernel gave them, to be given back.
	tuple, zone, id []byte
}

// tuple is one way of a flow: the packets of the one who began it as they came
// in, or the packets of the answer as they come in.
type tuple struct {
	src, dst         netip.Addr
	proto            uint8
	srcPort, dstPort uint16 // of protocols that have ports
}

// passesBy tells of a flow that leaves the host under another source address
// than it came with, and for where it was begun to: it is masqueraded.
func (f flow) passesBy() bool { return f.status&(srcTranslated|dstTranslated) == srcTranslated }

// delete deletes this one flow. ENOENT when it is gone, even if another is
// there between the same ends (CTA_ID).
func (f flow) delete() nl.Request {
	t := f.orig
	text := fmt.Sprintf("-f %s -p %s --orig-src %s --orig-dst %s", familyNames[f.family], protoName(t.proto), t.src, t.dst)
	if t.srcPort|t.dstPort != 0 {
		text += fmt.Sprintf(" --orig-port-src %d --orig-port-dst %d", t.srcPort, t.dstPort)
	}
	if len(f.zone) == 2 {
		text += fmt.Sprintf(" --zone %d", binary.BigEndian.Uint16(f.zone))
	}
	return nl.Request{
		Type:  tracking(ctDelete),
		Flags: change,
		Data: body(Family(f.family), 0, func(ae *netlink.AttributeEncoder) {
			ae.Bytes(unix.NLA_F_NESTED|ctaTupleOrig, f.tuple)
			if f.zone != nil {
				ae.Bytes(ctaZone, f.zone)
			}
			if f.id != nil {
				ae.Bytes(ctaID, f.id)
			}
		}),
		What: "conntrack: delete flow: " + text,
		Cmd:  "conntrack -D " + text,
	}
}

func protoName(proto uint8) string { return Port{Proto: proto}.ProtoName() }

// parseFlow reads the data of an IPCTNL_MSG_CT_NEW message. A flow has a
// family, and a tuple for each way with addresses of that family, or it is an
// error.
func parseFlow(b []byte) (flow, error) {
	if len(b) < 4 {
		return flow{}, fmt.Errorf("a message of %d bytes", len(b))
	}
	f := flow{family: b[0]}
	ad, err := decoder(b[4:])
	if err != nil {
		return flow{}, err
	}
	for ad.Next() {
		switch ad.Type() {
		case ctaTupleOrig:
			// Of several, the last: what is deleted is what was looked at.
			f.tuple, f.orig = ad.Bytes(), tuple{}
			ad.Nested(f.orig.parse)
		case ctaTupleReply:
			f.reply = tuple{}
			ad.Nested(f.reply.parse)
		case ctaStatus:
			f.status = ad.Uint32()
		case ctaZone:
			f.zone = ad.Bytes()
		case ctaID:
			f.id = ad.Bytes()
		}
	}
	if err := ad.Err(); err != nil {
		return flow{}, err
	}
	for _, a := range []netip.Addr{f.orig.src, f.orig.dst, f.reply.src, f.reply.dst} {
		is4 := f.family == unix.NFPROTO_IPV4
		if !a.IsValid() || a.Is4() != is4 || !is4 && f.family != unix.NFPROTO_IPV6 {
			return flow{}, fmt.Errorf("family %d and the address %s in a flow", f.family, a)
		}
	}
	return f, nil
}

func (t *tuple) parse(ad *netlink.AttributeDecoder) error {
	for ad.Next() {
		switch ad.Type() {
		case ctaTupleIP:
			ad.Nested(t.parseIP)
		case ctaTupleProto:
			ad.Nested(t.parseProto)
		}
	}
	return nil
}

func (t *tuple) parseIP(ad *netlink.AttributeDecoder) error {
	for ad.Next() {
		switch ad.Type() {
		case ctaIPv4Src, ctaIPv6Src:
			t.src, _ = netip.AddrFromSlice(ad.Bytes())
		case ctaIPv4Dst, ctaIPv6Dst:
			t.dst, _ = netip.AddrFromSlice(ad.Bytes())
		}
	}
	return nil
}

func (t *tuple) parseProto(ad *netlink.AttributeDecoder) error {
	for ad.Next() {
		switch ad.Type() {
		case ctaProtoNum:
			t.proto = ad.Uint8()
		case ctaProtoSrcPort:
			t.srcPort = ad.Uint16()
		case ctaProtoDstPort:
			t.dstPort = ad.Uint16()
		}
	}
	return nil
}
