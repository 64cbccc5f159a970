//go:build linux

package rtnl

import (
	"encoding/binary"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/nl"
)

// Dial opens a NETLINK_ROUTE socket in the caller's network namespace.
// The tracer hears what is said; nil is none.
func Dial(t nl.Tracer) (*nl.Conn, error) { return nl.Dial(unix.NETLINK_ROUTE, t) }

// change is the flags of a request that alters something and wants to know
// how that went.
const change = netlink.Request | netlink.Acknowledge

// create is the flags of a request that makes a thing which must not be there
// yet: EEXIST otherwise.
const create = change | netlink.Create | netlink.Excl

// body is a family header with its attributes behind it.
func body(header []byte, attrs func(*netlink.AttributeEncoder)) []byte {
	if attrs == nil {
		return header
	}
	return append(header, encode(attrs)...)
}

// encode is a list of attributes. The encoder's own error can only be a value
// of over 64 KiB, and nothing here is unbounded.
func encode(attrs func(*netlink.AttributeEncoder)) []byte {
	ae := netlink.NewAttributeEncoder()
	attrs(ae)
	b, err := ae.Encode()
	if err != nil {
		panic("rtnl: " + err.Error())
	}
	return b
}

// nested is encode as the value of an attribute.
func nested(ae *netlink.AttributeEncoder, typ uint16, attrs func(*netlink.AttributeEncoder)) {
	ae.Bytes(unix.NLA_F_NESTED|typ, encode(attrs))
}

// quote makes any text one word of a shell's command line.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// ifinfomsg is a link message's header.
//
//	struct ifinfomsg {
//		unsigned char  ifi_family;
//		unsigned char  __ifi_pad;
//		unsigned short ifi_type;
//		int            ifi_index;
//		unsigned       ifi_flags;
//		unsigned       ifi_change;
//	};
//
// change is not 0xffffffff, as the man page would have it, but the bits that
// are meant: those of flags.
func ifinfomsg(index, flags uint32) []byte {
	b := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(b[4:], index)
	binary.NativeEndian.PutUint32(b[8:], flags)
	binary.NativeEndian.PutUint32(b[12:], flags)
	return b
}
