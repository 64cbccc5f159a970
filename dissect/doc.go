//go:build linux

// Package dissect puts netlink messages into words, byte by byte, for a person
// who wants to see what goes over the wire.
//
// # How to read it
//
// On the left are the bytes of the message in their order, eight a line at
// most, and nothing is left out or said twice: the left column, put together,
// is the message. On the right stands what they mean, in the kernel's own
// names, so that each can be looked up in its headers. What is inside of
// something is indented.
//
//	                         struct ifinfomsg
//	00                         ifi_family AF_UNSPEC
//	⋮
//	09 00 03 00 76 65 74 68  IFLA_IFNAME "veth1"
//	31|00 00 00
//	08 00 0a 00 03 00 00 00  IFLA_MASTER 3
//	10 00 12 80              NLA_F_NESTED|IFLA_LINKINFO
//	09 00 01 00 76 65 74 68    IFLA_INFO_KIND "veth"
//	00|00 00 00
//
// An attribute begins with a struct nlattr: two bytes are its length, these
// four included, and two its type. Its value follows, on the same line when it
// is a single one, or on the next lines if it is made of parts. What stands
// behind a bar is padding: every attribute begins at a multiple of four bytes,
// and the padding is not in the length.
//
// # Byte order
//
// Headers and attributes are in the byte order of the machine that speaks. So
// are numbers inside of rtnetlink attributes; those of nf_tables and conntrack
// are big-endian everywhere. What nf_tables loads into a register is as the
// packet has it (addresses, ports), or the machine's (an interface's index, a
// mark).
//
// # Unknown things
//
// The names are those of the messages that this program sends and of the
// answers to them. Another attribute is shown by its number, and bytes that
// nothing is known of by how many they are: they stand on the left.
package dissect
