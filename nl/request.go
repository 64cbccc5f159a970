//go:build linux

package nl

import (
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Request is one netlink message on its way to the kernel.
type Request struct {
	Type  netlink.HeaderType
	Flags netlink.HeaderFlags

	// Data is what follows the 16-byte struct nlmsghdr: the family's own
	// header (struct ifinfomsg, struct nfgenmsg, …) and the attributes.
	Data []byte

	// What is the object and the action in the words of an error message:
	// "bridge br0: add port veth1f3a".
	What string

	// Cmd is the command line that makes the same change or asks the same
	// question: "ip link set dev lo up".
	Cmd string

	// Advice says what a person can do about the errnos that have a usual
	// cause here.
	Advice []Advice
}

// Advice is what to tell a person when a request fails with Errno.
type Advice struct {
	Errno unix.Errno
	Text  string // "the kernel has no bridge support: CONFIG_BRIDGE"
}

// Message is the request as package netlink sends it. The sequence number
// and the port id are left for the connection to fill.
func (r Request) Message() netlink.Message {
	return netlink.Message{
		Header: netlink.Header{
			Length: uint32(nlmsgHdrLen + len(r.Data)),
			Type:   r.Type,
			Flags:  r.Flags,
		},
		Data: r.Data,
	}
}

// Silent is the requests without NLM_F_ACK, for a sender that takes silence
// for success: the kernel answers such a request only to refuse it.
func Silent(reqs []Request) []Request {
	silent := slices.Clone(reqs)
	for i := range silent {
		silent[i].Flags &^= netlink.Acknowledge
	}
	return silent
}

// Marshal is the bytes of several requests one after another, as one
// sendmsg(2) takes them, for a sender that has no Conn. Sequence numbers
// count from 1.
func Marshal(reqs []Request) ([]byte, error) {
	var all []byte
	for i, r := range reqs {
		m := r.Message()
		m.Header.Sequence = uint32(i + 1)
		b, err := m.MarshalBinary()
		if err != nil {
			return nil, &Error{What: r.What, Cmd: r.Cmd, Err: err}
		}
		all = append(all, b...)
	}
	return all, nil
}

// nlmsgHdrLen is NLMSG_HDRLEN: sizeof(struct nlmsghdr) in linux/netlink.h.
const nlmsgHdrLen = 16
