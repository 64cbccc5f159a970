//go:build linux

// Package rtnl builds rtnetlink messages: what ip(8) and bridge(8) send to make
// links, bridges, addresses and routes, and to ask for them and for neighbours.
//
// # Anatomy of a message
//
// A message that brings a link up, 32 bytes, numbers in the host's byte order:
//
//	struct nlmsghdr   20 00 00 00   length, 32
//	                  10 00         type, RTM_NEWLINK
//	                  05 00         flags, NLM_F_REQUEST | NLM_F_ACK
//	                  01 00 00 00   sequence number, repeated by the answer
//	                  00 00 00 00   port id of the sender, the kernel fills it
//	struct ifinfomsg  00 00         family AF_UNSPEC, and a byte of padding
//	                  00 00         ARPHRD_ type, not needed
//	                  01 00 00 00   index of the link: lo is 1
//	                  01 00 00 00   flags, IFF_UP
//	                  01 00 00 00   which of the flags to change
//
// Attributes may follow, each a struct nlattr (length, type; both 16 bits, the
// length without padding), its value, and padding to 4 bytes. An attribute can
// hold attributes: a veth is made by IFLA_LINKINFO, which holds IFLA_INFO_KIND
// "veth" and IFLA_INFO_DATA, which holds VETH_INFO_PEER, which holds a whole
// struct ifinfomsg and the attributes of the other end.
//
// The answer is a struct nlmsgerr: an errno (0 for done) and the header it
// answers, and, since Linux 4.12, words and an offset into the request.
//
// # Use
//
// A function that gives an nl.Request is one message and sends nothing; nl.Conn
// sends. One that takes an nl.Conn sends such messages and reads the answers.
// Sizes and layouts are those of linux/rtnetlink.h, linux/if_link.h,
// linux/if_addr.h and linux/neighbour.h.
package rtnl
