//go:build linux

package nl

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Request is one netlink message on its way to the kernel.
type Request struct {
	Type  netlink.HeaderType
	Flags netlink.HeaderFlags

	// Data is what follows the 16-byte struct nlmsghdr: the family's own
	// header (struct ifinfomsg, struct nfgenmsg, …) and the attributes. Its
	// length is a multiple of 4, as that of every header and attribute is.
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

// Silent is the requests without NLM_F_ACK, for a sender that takes silence
// for success: the kernel answers such a request only to refuse it.
func Silent(reqs []Request) []Request {
	silent := slices.Clone(reqs)
	for i := range silent {
		silent[i].Flags &^= netlink.Acknowledge
	}
	return silent
}

// Marshal is the bytes of several requests one behind another, as one
// sendmsg(2) takes them, for a sender that has no Conn. Sequence numbers
// count from 1.
func Marshal(reqs []Request) []byte { return marshal(reqs, 1) }

// nlmsgHdrLen is NLMSG_HDRLEN, the size of a message's header.
//
//	struct nlmsghdr {
//		__u32 nlmsg_len;    with the header
//		__u16 nlmsg_type;
//		__u16 nlmsg_flags;
//		__u32 nlmsg_seq;
//		__u32 nlmsg_pid;    the sender's port id; the kernel fills in a 0
//	};
const nlmsgHdrLen = 16

func marshal(reqs []Request, seq uint32) []byte {
	size := 0
	for _, r := range reqs {
		size += nlmsgHdrLen + len(r.Data)
	}
	b := make([]byte, 0, size)
	for i, r := range reqs {
		b = binary.NativeEndian.AppendUint32(b, uint32(nlmsgHdrLen+len(r.Data)))
		b = binary.NativeEndian.AppendUint16(b, uint16(r.Type))
		b = binary.NativeEndian.AppendUint16(b, uint16(r.Flags))
		b = binary.NativeEndian.AppendUint32(b, seq+uint32(i))
		b = binary.NativeEndian.AppendUint32(b, 0)
		b = append(b, r.Data...)
	}
	return b
}

// Unmarshal is requests again out of what Marshal made of them. What they were
// about is not in there: what stands for all of them.
func Unmarshal(b []byte, what string) ([]Request, error) {
	msgs, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	reqs := make([]Request, len(msgs))
	rest := len(b)
	for i, m := range msgs {
		rest -= nlmsgHdrLen + len(m.Data)
		if len(m.Data) < 4 {
			return nil, fmt.Errorf("%s: a message of %d bytes", what, len(m.Data))
		}
		reqs[i] = Request{Type: m.Header.Type, Flags: m.Header.Flags, Data: m.Data, What: what}
	}
	if rest != 0 {
		return nil, fmt.Errorf("%s: %d bytes that are no message", what, rest)
	}
	return reqs, nil
}
