//go:build linux

package dissect

import (
	"encoding/binary"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Column is where the words begin in a line; before it are bytes and spaces, or
// the line ends. Eight bytes fit there.
const Column = 8*3 - 1 + 2

// Message is the text of what one sendmsg(2) or recvmsg(2) carries over a
// netlink socket of a family (unix.NETLINK_ROUTE, unix.NETLINK_NETFILTER): a
// message, or several with an empty line between them.
func Message(family int, b []byte) string { return new(Dissector).Message(family, b) }

// Answer is Message for what came in answer to request, the bytes that were
// sent. Where the kernel says at which byte of the request it stopped, or which
// attribute is missing there (an extended acknowledgement, Linux 4.12), the
// text names it.
func Answer(family int, answer, request []byte) string {
	return new(Dissector).Answer(family, answer, request)
}

// Dissector is Message and Answer with a memory: what the bytes of a set's
// elements mean is said nowhere but in the message that made the set
// (NFT_MSG_NEWSET), and those that it has seen it knows. The zero Dissector has
// seen none.
type Dissector struct {
	sets map[string]setTypes
}

// setTypes is what the data of a set's elements are, as tables has it.
type setTypes struct{ key, value string }

// Message is the text of what one sendmsg(2) or recvmsg(2) carries.
func (d *Dissector) Message(family int, b []byte) string { return d.Answer(family, b, nil) }

// Answer is the text of what came in answer to a request.
func (d *Dissector) Answer(family int, answer, request []byte) string {
	return d.text(binary.NativeEndian, family, answer, request)
}

func (d *Dissector) text(order binary.ByteOrder, family int, b, request []byte) string {
	r := &reader{Dissector: d, order: order, family: family, b: b, request: request, target: -1}
	r.messages()
	return string(r.out)
}

// reader goes through bytes once, from the first to the last.
type reader struct {
	*Dissector
	order   binary.ByteOrder // of the machine that speaks
	family  int
	b       []byte
	off     int // up to here it is said
	request []byte
	seq     uint32 // of the message in request that is answered

	out   []byte
	depth int
	path  []string // the names of what off is inside of

	said map[string]string // what was said last under a name
	expr string            // the prefix of the expression's attributes
	regs map[string]string // what nf_tables' registers hold, by name
	data string            // what NFTA_DATA_VALUE is here

	// What is looked for, if target is not negative: the name of what is at
	// that byte, and the attributes that begin inside of it.
	target int
	found  string
	inside string
}

const (
	nlmsgHdrLen = 16
	nlaHdrLen   = 4

	// Flags in an attribute's type.
	nested       = unix.NLA_F_NESTED
	netByteOrder = unix.NLA_F_NET_BYTEORDER

	// deepest is more than the kernel makes of attributes within attributes.
	deepest = 16
)

// messages reads one message after another.
//
//	struct nlmsghdr {
//		__u32 nlmsg_len;    with the header
//		__u16 nlmsg_type;
//		__u16 nlmsg_flags;
//		__u32 nlmsg_seq;
//		__u32 nlmsg_pid;
//	};
func (r *reader) messages() {
	for r.off < len(r.b) {
		if r.off > 0 {
			r.out = append(r.out, '\n')
		}
		r.said, r.regs, r.path = map[string]string{}, map[string]string{}, nil
		start := r.off
		h, ok := r.header("struct nlmsghdr", len(r.b))
		if !ok {
			return
		}
		end := len(r.b)
		if h.length >= nlmsgHdrLen && h.length < end-start {
			end = start + h.length
		}
		r.body(h, end)
		r.rest(end)
		// The next message begins at a multiple of 4 bytes.
		r.padding(min(align(end-start)+start, len(r.b)))
	}
}

// header is a struct nlmsghdr.
type header struct {
	length int
	typ    int
	flags  uint16
	name   string // the type's
	what   string // is behind the header, as tables has it
}

// header reads a struct nlmsghdr. It is not ok if that would go beyond end:
// then it has said all that is left.
func (r *reader) header(name string, end int) (h header, ok bool) {
	if end-r.off < nlmsgHdrLen {
		r.line(end-r.off, 0, count(end-r.off)+", too few for a struct nlmsghdr")
		return header{}, false
	}
	b := r.b[r.off:]
	h = header{
		length: int(int32(r.order.Uint32(b))), // lies beyond 2 GiB come out negative
		typ:    int(r.order.Uint16(b[4:])),
		flags:  r.order.Uint16(b[6:]),
	}
	h.name, h.what = r.typeName(h.typ)
	r.said["nlmsg_type"] = h.name
	size := "nlmsg_len " + utoa(uint64(r.order.Uint32(b)))
	switch {
	case h.length < 0 || h.length > end-r.off && name == "struct nlmsghdr":
		size += ", but " + count(end-r.off) + " are here"
	case h.length < nlmsgHdrLen:
		size += ", but the header alone is " + count(nlmsgHdrLen)
	}
	r.line(0, 0, name)
	r.depth++
	r.line(4, 0, size)
	r.line(2, 0, "nlmsg_type "+h.name)
	r.line(2, 0, "nlmsg_flags "+h.flagNames())
	r.line(4, 0, "nlmsg_seq "+utoa(uint64(r.order.Uint32(b[8:]))))
	r.line(4, 0, "nlmsg_pid "+utoa(uint64(r.order.Uint32(b[12:]))))
	r.depth--
	return h, true
}

// typeName is the name of a message's type and what is behind its header.
func (r *reader) typeName(typ int) (name, what string) {
	if typ < unix.NLMSG_MIN_TYPE {
		if e, ok := entryAt("nlmsg", typ); ok {
			return e.name, e.typ
		}
		return itoa(typ), ""
	}
	switch r.family {
	case unix.NETLINK_ROUTE:
		if e, ok := entryAt("rtm", typ); ok {
			return e.name, e.typ
		}
	case unix.NETLINK_NETFILTER:
		if e, ok := entryAt("nfnl_msg", typ); ok {
			return e.name, "$nfgenmsg" + e.typ
		}
		// The upper byte is the subsystem (NFNL_SUBSYS_ID, nfnetlink.h).
		if subsys, ok := entryAt("nfnl_subsys", typ>>8); ok {
			e, ok := entryAt(subsys.typ, typ&0xff)
			if !ok {
				e.name = itoa(typ & 0xff)
			}
			return subsys.name + "<<8|" + e.name, "$nfgenmsg" + e.typ
		}
	}
	return itoa(typ), ""
}

// flagNames is the flags by their names: those from bit 8 on have other ones
// in each kind of message.
func (h header) flagNames() string {
	kind := ""
	switch {
	case h.typ == unix.NLMSG_ERROR || h.typ == unix.NLMSG_DONE:
		kind = "ERROR"
	case strings.Contains(h.name, "_GET"):
		kind = "GET"
	case strings.Contains(h.name, "_NEW") || strings.Contains(h.name, "_SET"):
		kind = "NEW"
	case strings.Contains(h.name, "_DEL") || strings.Contains(h.name, "_DESTROY"):
		kind = "DEL"
	}
	low, high := h.flags&0xff, h.flags&^0xff
	s := flags("nlm_f-", uint64(low))
	if high != 0 {
		if low == 0 {
			s = ""
		} else {
			s += "|"
		}
		s += flags("nlm_f-"+kind, uint64(high))
	}
	return strings.Replace(s, "NLM_F_ROOT|NLM_F_MATCH", "NLM_F_DUMP", 1)
}

// body reads what is behind a struct nlmsghdr.
func (r *reader) body(h header, end int) {
	switch {
	case h.typ == unix.NLMSG_ERROR || h.typ == unix.NLMSG_DONE:
		r.answer(h, end)
	case h.what != "":
		family, attributes, _ := strings.Cut(h.what, "@")
		r.line(0, 0, "struct "+family[1:])
		r.depth++
		r.fields(family[1:], end)
		r.depth--
		if r.target == 0 {
			r.inside = attributes
		}
		r.attributes(attributes, end)
		if h.name == newSet {
			r.remember()
		}
	}
}

// answer reads the errno at the head of an NLMSG_ERROR, which is also the
// acknowledgement, or an NLMSG_DONE, and what is behind it.
//
//	struct nlmsgerr {
//		int error;               negative, or 0 for done
//		struct nlmsghdr msg;     the request's header
//	};
//
// The rest of the request follows, unless it was well or the socket has
// NETLINK_CAP_ACK (NLM_F_CAPPED); then attributes, if it has NETLINK_EXT_ACK
// and there is something to tell (NLM_F_ACK_TLVS). NLMSG_DONE has no msg.
func (r *reader) answer(h header, end int) {
	if end-r.off < 4 {
		return
	}
	seq := r.order.Uint32(r.b[r.off-8:]) // nlmsg_seq, the same as the request's
	errno := "error " + errnoText(int32(r.order.Uint32(r.b[r.off:])))
	if h.typ == unix.NLMSG_DONE {
		r.line(4, 0, errno)
	} else {
		r.line(0, 0, "struct nlmsgerr")
		r.depth++
		r.line(4, 0, errno)
		start := r.off
		msg, ok := r.header("struct nlmsghdr msg", end)
		if ok && h.flags&capped == 0 && msg.length >= nlmsgHdrLen && msg.length <= end-start {
			r.depth++
			r.body(msg, start+msg.length)
			r.rest(start + msg.length)
			r.padding(min(start+align(msg.length), end))
			r.depth--
		}
		r.depth--
	}
	if h.flags&ackTLVs != 0 {
		r.seq = seq
		r.attributes("nlmsgerr", end)
	}
}

// Flags of an answer, linux/netlink.h.
const (
	capped  = 0x100
	ackTLVs = 0x200
)

// requestOf is the message with a sequence number among several, from its
// header to its end.
func requestOf(order binary.ByteOrder, b []byte, seq uint32) []byte {
	for len(b) >= nlmsgHdrLen {
		n := int(int32(order.Uint32(b)))
		if n < nlmsgHdrLen || n > len(b) {
			break
		}
		if order.Uint32(b[8:]) == seq {
			return b[:n]
		}
		b = b[min(align(n), len(b)):]
	}
	return nil
}

// find is the name of what stands at a byte of the request, and the table of
// the attributes that begin inside of it.
func (r *reader) find(offset int) (name, inside string) {
	b := requestOf(r.order, r.request, r.seq)
	other := &reader{Dissector: new(Dissector), order: r.order, family: r.family, b: b, target: offset}
	other.messages()
	return other.found, other.inside
}

// fields reads a C struct, a line for each field, as far as there is one.
func (r *reader) fields(table string, end int) {
	t := tableOf(table)
	for e, ok := t.next(); ok; e, ok = t.next() {
		n := size(e.typ)
		if n > end-r.off {
			r.rest(end)
			return
		}
		r.look(e.name, n)
		text, _ := r.value(e.name, e.typ, r.b[r.off:r.off+n])
		r.line(n, 0, e.name+text)
	}
}

// attributes reads netlink attributes until end.
//
//	struct nlattr {
//		__u16 nla_len;     with these four bytes, without padding
//		__u16 nla_type;    and two flags
//	};
func (r *reader) attributes(table string, end int) {
	for end-r.off >= nlaHdrLen {
		n, typ := int(r.order.Uint16(r.b[r.off:])), r.order.Uint16(r.b[r.off+2:])
		number := int(typ &^ (nested | netByteOrder))
		e, ok := entryAt(table, number)
		if !ok {
			e.name = "attribute " + itoa(number)
		}
		label := e.name
		if typ&netByteOrder != 0 {
			label = "NLA_F_NET_BYTEORDER|" + label
		}
		if typ&nested != 0 {
			label = "NLA_F_NESTED|" + label
		}
		if n < nlaHdrLen || n > end-r.off {
			r.line(end-r.off, 0, label+", which says to be of "+count(n)+", and "+count(end-r.off)+" are here")
			return
		}
		r.path = append(r.path, e.name)
		r.attribute(e, label, typ, n, min(align(n), end-r.off)-n)
		r.path = r.path[:len(r.path)-1]
	}
	r.rest(end)
}

// attribute reads one attribute of n bytes and the padding behind it.
func (r *reader) attribute(e entry, label string, typ uint16, n, pad int) {
	start, end := r.off, r.off+n
	value := r.b[start+nlaHdrLen : end]
	r.look("", n)

	how, rest := e.typ, ""
	if key, ok := strings.CutPrefix(how, "?"); ok {
		key, name, _ := strings.Cut(key, "/")
		how = "@" + name + r.said[key]
		if tableOf(how[1:]).words == "" {
			how = ""
		}
	}
	if how == "" && typ&nested != 0 {
		how = "@"
	}
	if how != "" {
		how, rest = how[:1], how[1:]
	}
	if how == "[" && typ&nested != 0 {
		how = "@"
	}
	if r.depth >= deepest {
		how = ""
	}
	if how == "$" {
		name, _, _ := strings.Cut(rest, "@")
		label += " struct " + name
	}
	if how != "" && strings.Contains("@$[%", how) {
		r.line(nlaHdrLen, 0, label)
		r.depth++
		switch how {
		case "@":
			r.nest(rest, e.name, start, end)
		case "$":
			fields, attributes, _ := strings.Cut(rest, "@")
			r.fields(fields, end)
			if attributes != "" {
				r.nest(attributes, e.name, start, end)
			}
		case "[":
			r.array(rest, end)
		case "%":
			r.userData(rest, end, pad)
		}
		r.rest(end)
		r.padding(end + pad)
		r.depth--
		return
	}
	if strings.ContainsAny(e.typ, "@$[%?") {
		e.typ = "" // too deep, or not known what
	}
	text, ok := r.value(e.name, e.typ, value)
	if r.target < 0 && ok {
		text += r.explain(e.name, value, end+pad)
	}
	r.line(n, pad, label+text)
}

// array reads numbers of 32 bits, each with its name.
func (r *reader) array(table string, end int) {
	t := tableOf(table)
	for end-r.off >= 4 {
		e, ok := t.next()
		if !ok {
			return
		}
		r.line(4, 0, e.name+" "+itoa(int(int32(r.order.Uint32(r.b[r.off:])))))
	}
}

// nest reads the attributes inside of one that began at start.
func (r *reader) nest(table, name string, start, end int) {
	if start == r.target {
		r.inside = table
	}
	switch {
	case name == "NFTA_EXPR_DATA":
		r.begin(tableOf(table).prefix)
	case table == "data":
		r.data = r.dataOf(name)
	}
	r.attributes(table, end)
	if name == "NFTA_EXPR_DATA" {
		r.run()
	}
}

// explain puts an extended acknowledgement in the request's terms: which of
// its attributes the kernel means.
func (r *reader) explain(name string, value []byte, next int) string {
	if len(value) != 4 {
		return ""
	}
	n := int(r.order.Uint32(value))
	switch name {
	case "NLMSGERR_ATTR_OFFS", "NLMSGERR_ATTR_MISS_NEST":
		if found, _ := r.find(n); found != "" {
			return ": " + found
		}
	case "NLMSGERR_ATTR_MISS_TYPE":
		// It is missing in the attribute that NLMSGERR_ATTR_MISS_NEST, the
		// next one, says; or on the uppermost level.
		nest := 0
		if b := r.b[min(next, len(r.b)):]; len(b) >= 8 && r.order.Uint16(b[2:]) == 6 {
			nest = int(r.order.Uint32(b[4:]))
		}
		_, inside := r.find(nest)
		if e, ok := entryAt(inside, n); ok {
			return ": " + e.name
		}
	}
	return ""
}

// look remembers the name of the next n bytes if what is looked for is there.
func (r *reader) look(name string, n int) {
	if r.off > r.target || r.target >= r.off+n {
		return
	}
	r.found = strings.Join(r.path, " > ")
	switch {
	case name == "":
	case r.found == "":
		r.found = name
	default:
		r.found += " > " + name
	}
}

// userData reads what nft(8) keeps with a table, a set, a rule or an element
// (libnftnl/udata.h), which the kernel does not look into: each with a byte of
// type and a byte of length, and no padding.
func (r *reader) userData(table string, end, pad int) {
	for end-r.off >= 2 {
		typ, n := r.b[r.off], 2+int(r.b[r.off+1])
		if n > end-r.off {
			break
		}
		e, ok := entryAt(table, int(typ))
		if !ok {
			e.name = "type " + itoa(int(typ))
		}
		how := e.typ
		if key, ok := strings.CutPrefix(how, "?"); ok {
			key, name, _ := strings.Cut(key, "/")
			how = "%" + name + r.said[key]
		}
		if how, ok := strings.CutPrefix(how, "%"); ok && r.depth < deepest {
			inner := r.off + n
			r.line(2, 0, e.name)
			r.depth++
			r.userData(how, inner, 0)
			r.rest(inner)
			r.depth--
			continue
		}
		if strings.ContainsAny(how, "%?") {
			e.typ = "" // too deep
		}
		text, _ := r.value(e.name, e.typ, r.b[r.off+2:r.off+n])
		tail := 0
		if r.off+n == end && n%8 != 0 { // so that there is a byte before the bar
			tail = pad
		}
		r.line(n, tail, e.name+text)
	}
}

// rest says that nothing is known of the bytes until end, if there are any.
func (r *reader) rest(end int) {
	if n := end - r.off; n > 0 {
		r.line(n, 0, count(n)+" more")
	}
}

// padding is the bytes until end, if there are any.
func (r *reader) padding(end int) {
	if n := end - r.off; n > 0 {
		r.line(0, n, "padding")
	}
}

// line is the next n bytes and the padding behind them, and the text beside.
// Nothing else goes on to the next byte, so that no byte is left out.
func (r *reader) line(n, pad int, text string) {
	const most = 8
	b := r.b[r.off : r.off+n+pad]
	r.off += n + pad
	for i := 0; i == 0 || i < len(b); i += most {
		used := 0
		for j := i; j < min(i+most, len(b)); j++ {
			switch {
			case j == n && j > i:
				r.out = append(r.out, '|')
				used++
			case j > i:
				r.out = append(r.out, ' ')
				used++
			}
			const digits = "0123456789abcdef"
			r.out = append(r.out, digits[b[j]>>4], digits[b[j]&0xf])
			used += 2
		}
		if i == 0 {
			for ; used < Column+2*r.depth; used++ {
				r.out = append(r.out, ' ')
			}
			r.out = append(r.out, text...)
		}
		r.out = append(r.out, '\n')
	}
}

// align rounds up to NLMSG_ALIGNTO and NLA_ALIGNTO, which are both 4 bytes.
func align(n int) int { return (n + 3) &^ 3 }

func itoa(n int) string    { return strconv.Itoa(n) }
func utoa(n uint64) string { return strconv.FormatUint(n, 10) }

// count is "1 byte" or "7 bytes".
func count(n int) string {
	if n == 1 {
		return "1 byte"
	}
	return itoa(n) + " bytes"
}
