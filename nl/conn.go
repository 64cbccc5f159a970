//go:build linux

package nl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Conn is a netlink socket. It makes plain blocking system calls: every answer
// is there when the question has been put (see the package comment), so there
// is nothing that Go's poller could wait for. It is not for use by several
// goroutines at once.
type Conn struct {
	fd     int
	family int
	tracer Tracer
	seq    uint32
	buf    []byte
}

// bufferSize holds any answer. The kernel makes the parts of a dump as large
// as the reader's buffer, up to 32 KiB (netlink_dump, net/netlink/af_netlink.c).
const bufferSize = 64 << 10

// Dial opens a netlink socket of a family (unix.NETLINK_ROUTE,
// unix.NETLINK_NETFILTER) in the caller's network namespace. The tracer hears
// what is said over it; nil is none.
//
// It fails with EPROTONOSUPPORT where the kernel lacks the family.
func Dial(family int, t Tracer) (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, family)
	if err != nil {
		return nil, &Error{What: "netlink socket: " + familyName(family), Err: err}
	}
	return New(fd, family, t), nil
}

// New takes over a netlink socket of a family. A socket stays in the network namespace
// that it was made in, so one that a process of another namespace made and
// passed on speaks with the kernel about that namespace.
func New(fd, family int, t Tracer) *Conn {
	// Words beside the errno, and no copy of the request in the answer.
	// Kernels before 4.12 and 4.3 lack them, and do the work as well without,
	// so a refusal is of no interest.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	return &Conn{fd: fd, family: family, tracer: t}
}

// Close closes the socket. On a netfilter socket whose namespace has lately
// seen a delete, the kernel waits for RCU in there, 8 ms and more, unless
// another process has the socket too.
func (c *Conn) Close() error {
	if c.fd < 0 {
		return nil
	}
	err := unix.Close(c.fd)
	c.fd = -1
	return err
}

// FD is the socket's descriptor, for a process that is to inherit it.
func (c *Conn) FD() int { return c.fd }

// Family is the netlink family that the socket is of.
func (c *Conn) Family() int { return c.family }

// Tracer is who hears what is said, nil for nobody: for whoever opens a further
// socket for the same purpose.
func (c *Conn) Tracer() Tracer { return c.tracer }

// Do sends the requests in one system call. The last of those that ask for an
// answer (NLM_F_ACK) gets one; the kernel answers the others only to refuse
// them. The error is an *Error that names the first request to fail. What
// follows that one in the same call may have been done (rtnetlink goes on) or
// not (an nf_tables transaction is all or nothing).
func (c *Conn) Do(reqs ...Request) error {
	if len(reqs) == 0 {
		return nil // not a sendto of no bytes, which is ENODATA
	}
	first, err := c.send(oneAck(reqs))
	if err != nil {
		return err
	}
	for last := lastAck(reqs); last >= 0; {
		answers, err := c.receive(0)
		if err != nil {
			return &Error{What: reqs[0].What, Cmd: reqs[0].Cmd, Err: err, Unanswered: true}
		}
		for _, m := range answers {
			i := int(m.Header.Sequence - first)
			if m.Header.Type != netlink.Error || i < 0 || i >= len(reqs) {
				continue
			}
			if err := reqs[i].Answer(m); err != nil {
				c.drain()
				return err
			}
			if i == last {
				return nil
			}
		}
	}
	return nil
}

// oneAck is the requests with one acknowledgement asked for, by the last of
// those that ask: when the kernel comes to that, it has gone through the others,
// and it refuses a request whether it asks or not.
func oneAck(reqs []Request) []Request {
	last := lastAck(reqs)
	if last <= 0 {
		return reqs
	}
	one := Silent(reqs)
	one[last].Flags |= netlink.Acknowledge
	return one
}

// lastAck is the last request that asks for an acknowledgement, or -1.
func lastAck(reqs []Request) int {
	for i := len(reqs) - 1; i >= 0; i-- {
		if reqs[i].Flags&netlink.Acknowledge != 0 {
			return i
		}
	}
	return -1
}

// Query asks for data: one object, or all of them with netlink.Dump. A dump
// that a concurrent change tore (NLM_F_DUMP_INTR) is asked for again, many times
// if it must be: on a host with much to do, where containers come and go, there
// is a change between its parts more often than not.
func (c *Conn) Query(r Request) ([]netlink.Message, error) {
	for try := 1; ; try++ {
		answers, torn, err := c.query(r)
		if err != nil || !torn {
			return answers, err
		}
		if try == maxTorn {
			return nil, &Error{What: r.What, Cmd: r.Cmd, Err: errTorn}
		}
	}
}

const maxTorn = 50

var errTorn = fmt.Errorf("the list changed while it was read, %d times", maxTorn)

func (c *Conn) query(r Request) (all []netlink.Message, torn bool, err error) {
	seq, err := c.send([]Request{r})
	if err != nil {
		return nil, false, err
	}
	for {
		msgs, err := c.receive(0)
		if err != nil {
			return nil, false, &Error{What: r.What, Cmd: r.Cmd, Err: err}
		}
		for _, m := range msgs {
			if m.Header.Sequence != seq {
				continue
			}
			torn = torn || m.Header.Flags&netlink.DumpInterrupted != 0
			switch {
			case m.Header.Type == netlink.Error, m.Header.Type == netlink.Done:
				// Both begin with an errno, 0 for the end of what went well.
				return all, torn, r.Answer(m)
			case m.Header.Flags&netlink.Multi == 0:
				return append(all, m), torn, nil
			}
			all = append(all, m)
		}
	}
}

// Join makes the kernel tell this socket of events of a group, such as
// unix.RTNLGRP_LINK. what is the watching in an error's words.
func (c *Conn) Join(group uint32, what string) error {
	// A socket gets no events before it is bound to a port id.
	err := unix.Bind(c.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	if err == nil || errors.Is(err, unix.EINVAL) { // EINVAL: it has been, by sending
		err = unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, int(group))
	}
	if err != nil {
		return &Error{What: what, Err: err}
	}
	return nil
}

// Receive waits for the next events. ENOBUFS means that some were lost.
func (c *Conn) Receive(what string) ([]netlink.Message, error) {
	msgs, err := c.receive(0)
	if err != nil {
		return nil, &Error{What: what, Err: err}
	}
	return msgs, nil
}

// ReceiveWithin is Receive that gives up after a while: EAGAIN.
func (c *Conn) ReceiveWithin(d time.Duration, what string) ([]netlink.Message, error) {
	tv := unix.NsecToTimeval(max(d, time.Microsecond).Nanoseconds())
	if err := unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		return nil, &Error{What: what, Err: err}
	}
	return c.Receive(what)
}

// send puts requests into one sendto(2), with sequence numbers that go up by
// one, and returns the first of them.
func (c *Conn) send(reqs []Request) (first uint32, err error) {
	first = c.seq + 1
	c.seq += uint32(len(reqs))
	b := marshal(reqs, first)
	fail := func(err error) error { return &Error{What: reqs[0].What, Cmd: reqs[0].Cmd, Err: err} }

	// A message that is larger than the send buffer is refused with EMSGSIZE
	// (netlink_sendmsg). The default is 208 KiB.
	const unasked = 64 << 10
	if len(b) > unasked {
		if err := unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, len(b)); err != nil {
			return 0, fail(fmt.Errorf("a send buffer of %d bytes: %w", len(b), err))
		}
	}
	// Answers are queued before sendto returns, and take less than 1 KiB each.
	// One that the receive buffer has no room for is lost, and ENOBUFS
	// received in its stead, which is also what comes of a refusal here.
	if answers := len(reqs) << 10; answers > unasked {
		_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, answers)
	}
	if c.tracer != nil {
		// A copy, so that without a tracer the caller's stays on its stack.
		c.tracer.Send(c, slices.Clone(reqs), b)
	}
	for {
		err := unix.Sendto(c.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		if err == nil {
			return first, nil
		}
		if !errors.Is(err, unix.EINTR) {
			return 0, fail(err)
		}
	}
}

// receive takes one datagram of messages.
func (c *Conn) receive(flags int) ([]netlink.Message, error) {
	if c.buf == nil {
		c.buf = make([]byte, bufferSize)
	}
	for {
		// With MSG_TRUNC the result is the datagram's length, whatever fits.
		n, _, err := unix.Recvfrom(c.fd, c.buf, flags|unix.MSG_TRUNC)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, err
		case n > len(c.buf):
			return nil, fmt.Errorf("an answer of %d bytes, and room for %d", n, len(c.buf))
		}
		if c.tracer != nil {
			c.tracer.Receive(c, c.buf[:n])
		}
		return Parse(c.buf[:n])
	}
}

// drain throws away the answers that follow a refusal. They are all there.
func (c *Conn) drain() {
	for {
		if _, err := c.receive(unix.MSG_DONTWAIT); err != nil {
			return
		}
	}
}

// Parse cuts a datagram into messages, and copies them out of the buffer. One
// that says to be longer than what is left is an error.
func Parse(b []byte) ([]netlink.Message, error) {
	var msgs []netlink.Message
	for len(b) >= nlmsgHdrLen {
		h := netlink.Header{
			Length:   binary.NativeEndian.Uint32(b),
			Type:     netlink.HeaderType(binary.NativeEndian.Uint16(b[4:])),
			Flags:    netlink.HeaderFlags(binary.NativeEndian.Uint16(b[6:])),
			Sequence: binary.NativeEndian.Uint32(b[8:]),
			PID:      binary.NativeEndian.Uint32(b[12:]),
		}
		if h.Length < nlmsgHdrLen || uint64(h.Length) > uint64(len(b)) {
			return nil, fmt.Errorf("a message of %d bytes in an answer of %d", h.Length, len(b))
		}
		data := append([]byte(nil), b[nlmsgHdrLen:h.Length]...)
		msgs = append(msgs, netlink.Message{Header: h, Data: data})
		b = b[min(align(int(h.Length)), len(b)):]
	}
	return msgs, nil
}

// align rounds up to NLMSG_ALIGNTO (4 bytes).
func align(n int) int { return (n + 3) &^ 3 }

func familyName(family int) string {
	switch family {
	case unix.NETLINK_ROUTE:
		return "route"
	case unix.NETLINK_NETFILTER:
		return "netfilter"
	}
	return fmt.Sprint("family ", family)
}
