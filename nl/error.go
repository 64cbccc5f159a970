//go:build linux

package nl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Error is a request that the kernel refused, or whose answer was lost.
type Error struct {
	What string // the request's own words
	Cmd  string // the command that would have been refused likewise
	Err  error  // the errno, as a unix.Errno

	// Message is the kernel's explanation (NLMSGERR_ATTR_MSG), if it gave one.
	Message string
	// Offset is where in the request the kernel stopped (NLMSGERR_ATTR_OFFS),
	// counted from the start of its header; 0 when it did not say.
	Offset int

	// Advice is the request's advice for this errno, if it has one.
	Advice string

	// Unanswered is that no answer could be had: the kernel may have done it.
	Unanswered bool
}

// Error reads "bridge br0: add port veth1f3a: device or resource busy: <the
// kernel's explanation>".
func (e *Error) Error() string {
	s := e.What + ": " + e.Err.Error()
	if e.Message != "" {
		s += ": " + strings.TrimSuffix(e.Message, ".")
	}
	if e.Advice != "" {
		s += " (" + e.Advice + ")"
	}
	return s
}

// Unwrap gives the errno to errors.Is.
func (e *Error) Unwrap() error { return e.Err }

// Answer is the error that an answer to the request stands for, an *Error or
// nil. It reads the errno at the head of an answer: an NLMSG_ERROR message,
// which is also the acknowledgement, or NLMSG_DONE at the end of a dump.
//
//	struct nlmsgerr {
//		int error;               negative, or 0 for done
//		struct nlmsghdr msg;     the request's header
//	};
//
// With NLM_F_ACK_TLVS attributes follow. (NETLINK_CAP_ACK keeps the rest of
// the request away; where a kernel before 4.3 sends it, there are none.)
func (r Request) Answer(m netlink.Message) error {
	if len(m.Data) < 4 {
		return &Error{What: r.What, Cmd: r.Cmd, Err: fmt.Errorf("an answer of %d bytes", len(m.Data))}
	}
	errno := -int32(binary.NativeEndian.Uint32(m.Data))
	if errno == 0 {
		return nil
	}
	e := &Error{What: r.What, Cmd: r.Cmd, Err: unix.Errno(errno)}
	tlvs := 4
	if m.Header.Type == netlink.Error {
		tlvs += nlmsgHdrLen
	}
	if m.Header.Flags&netlink.AcknowledgeTLVs != 0 && len(m.Data) >= tlvs {
		e.explain(m.Data[tlvs:])
	}
	e.advise(r.Advice)
	return e
}

// explain reads the extended acknowledgement (enum nlmsgerr_attrs,
// linux/netlink.h). Words that can't be read are done without.
func (e *Error) explain(b []byte) {
	const msg, offs = 1, 2
	ad, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return
	}
	for ad.Next() {
		switch ad.Type() {
		case msg:
			e.Message = ad.String()
		case offs:
			e.Offset = int(ad.Uint32())
		}
	}
}

// Advise adds advice to an *Error that Dial or Do gave.
func Advise(err error, advice []Advice) error {
	var e *Error
	if errors.As(err, &e) {
		e.advise(advice)
	}
	return err
}

func (e *Error) advise(advice []Advice) {
	for _, a := range advice {
		if errors.Is(e.Err, a.Errno) {
			e.Advice = a.Text
		}
	}
}
