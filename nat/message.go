//go:build linux

package nat

import (
	"encoding/binary"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/nl"
)

// Table is the name of the table, in each family that has one.
const Table = "container"

// Dial opens a NETLINK_NETFILTER socket in the caller's network namespace.
// The tracer hears what is said; nil is none. EPROTONOSUPPORT when the kernel
// has no nfnetlink.
func Dial(t nl.Tracer) (*nl.Conn, error) {
	c, err := nl.Dial(unix.NETLINK_NETFILTER, t)
	if err != nil {
		return nil, nl.Advise(err, []nl.Advice{
			{Errno: unix.EPROTONOSUPPORT, Text: "the kernel has no nfnetlink: CONFIG_NETFILTER_NETLINK, module nfnetlink"},
		})
	}
	return c, nil
}

// Commit sends requests as one transaction: all of them take effect, or none.
// To close the connection soon after a delete waits for RCU (see
// nl.Conn.Close).
func Commit(c *nl.Conn, reqs []nl.Request) error { return c.Do(Batch(reqs)...) }

// Batch puts the marks of a transaction around requests.
func Batch(reqs []nl.Request) []nl.Request { return batch(reqs, nil) }

// BatchAt is Batch for a transaction that is refused with ERESTART if the
// ruleset of this network namespace is no longer of generation gen (GetGen):
// for what was decided by looking at it.
func BatchAt(gen uint32, reqs []nl.Request) []nl.Request {
	return batch(reqs, func(ae *netlink.AttributeEncoder) { ae.Uint32(unix.NFNL_BATCH_GENID, gen) })
}

func batch(reqs []nl.Request, attrs func(*netlink.AttributeEncoder)) []nl.Request {
	mark := func(typ uint16, attrs func(*netlink.AttributeEncoder), what string) nl.Request {
		return nl.Request{
			Type:  netlink.HeaderType(typ),
			Flags: netlink.Request,
			Data:  body(unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES, attrs),
			What:  what,
			// Without nf_tables the whole transaction has this one answer.
			Advice: []nl.Advice{{Errno: unix.EOPNOTSUPP, Text: noTables}},
		}
	}
	all := make([]nl.Request, 0, len(reqs)+2)
	all = append(all, mark(unix.NFNL_MSG_BATCH_BEGIN, attrs, "nf_tables transaction: begin"))
	all = append(all, reqs...)
	return append(all, mark(unix.NFNL_MSG_BATCH_END, nil, "nf_tables transaction: commit"))
}

// message is the type of an nf_tables message in its netlink header: the
// subsystem and the message's own number (NFNL_SUBSYS_ID, nfnetlink.h).
func message(typ uint16) netlink.HeaderType {
	return netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | typ)
}

// change is the flags of a request that alters something, and add, create and
// remove what nft(8) means by these words: add is content when the thing is
// there already, create is not.
const (
	change = netlink.Request | netlink.Acknowledge
	add    = change | netlink.Create
	create = change | netlink.Create | netlink.Excl
)

// body is struct nfgenmsg and the attributes behind it.
//
//	struct nfgenmsg {
//		__u8   nfgen_family;
//		__u8   version;       NFNETLINK_V0
//		__be16 res_id;
//	};
func body(family Family, res uint16, attrs func(*netlink.AttributeEncoder)) []byte {
	b := appendBody(nil, family, res)
	if attrs == nil {
		return b
	}
	return append(b, encode(attrs)...)
}

func appendBody(b []byte, family Family, res uint16) []byte {
	return binary.BigEndian.AppendUint16(append(b, uint8(family), unix.NFNETLINK_V0), res)
}

// A claim is little but elements of sets, and is made three times in each run. Their
// attributes are put one behind the other by hand, by the functions below: with
// an encoder for each level they were two fifths of a run's allocations.
//
//	struct nlattr {
//		__u16 nla_len;   with these 4 bytes, without the padding to 4
//		__u16 nla_type;
//	};

// appendAttribute puts an attribute behind b.
func appendAttribute(b []byte, typ uint16, data []byte) []byte {
	at := len(b)
	b = append(append(b, 0, 0, 0, 0), data...)
	return finish(b, at, typ)
}

// appendString is one of a string with a NUL behind it.
func appendString(b []byte, typ uint16, s string) []byte {
	at := len(b)
	b = append(append(append(b, 0, 0, 0, 0), s...), 0)
	return finish(b, at, typ)
}

// finish gives the attribute that begins at a place, and goes to the end, its
// head and its padding.
func finish(b []byte, at int, typ uint16) []byte {
	binary.NativeEndian.PutUint16(b[at:], uint16(len(b)-at))
	binary.NativeEndian.PutUint16(b[at+2:], typ)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// begin begins an attribute that is made of attributes, which end ends. What it
// returns beside is where it begins.
func begin(b []byte, typ uint16) ([]byte, int) {
	b = binary.NativeEndian.AppendUint16(append(b, 0, 0), unix.NLA_F_NESTED|typ)
	return b, len(b) - 4
}

func end(b []byte, at int) { binary.NativeEndian.PutUint16(b[at:], uint16(len(b)-at)) }

// encode is a list of attributes with their numbers big-endian. The encoder's
// own error can only be a value of over 64 KiB, and what could grow so large
// is cut into several messages before.
func encode(attrs func(*netlink.AttributeEncoder)) []byte {
	ae := netlink.NewAttributeEncoder()
	ae.ByteOrder = binary.BigEndian
	attrs(ae)
	b, err := ae.Encode()
	if err != nil {
		panic("nat: " + err.Error())
	}
	return b
}

// nested is encode as the value of an attribute.
func nested(ae *netlink.AttributeEncoder, typ uint16, attrs func(*netlink.AttributeEncoder)) {
	ae.Bytes(unix.NLA_F_NESTED|typ, encode(attrs))
}

// decoder reads attributes whose numbers are big-endian.
func decoder(b []byte) (*netlink.AttributeDecoder, error) {
	ad, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return nil, err
	}
	ad.ByteOrder = binary.BigEndian
	return ad, nil
}
