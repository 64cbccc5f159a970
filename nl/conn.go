//go:build linux

package nl

import (
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Conn is a netlink socket.
type Conn struct {
	c *netlink.Conn
}

// Dial opens a netlink socket of a family (unix.NETLINK_ROUTE,
// unix.NETLINK_NETFILTER). netns is a descriptor of the network namespace it
// talks to, which may be a pidfd (setns(2), Linux 5.8); 0 is the caller's own.
//
// It fails with EPROTONOSUPPORT where the kernel lacks the family.
func Dial(family, netns int) (*Conn, error) {
	c, err := netlink.Dial(family, &netlink.Config{NetNS: netns})
	if err != nil {
		return nil, &Error{What: "netlink socket: " + familyName(family), Err: errnoOf(err)}
	}
	// Words beside the errno. Kernels before 4.12 have none, and do the work
	// as well without, so a refusal is of no interest.
	_ = c.SetOption(netlink.ExtendedAcknowledge, true)
	return &Conn{c: c}, nil
}

// Close closes the socket. On a netfilter socket whose namespace has lately
// seen a delete, the kernel waits for RCU in there: 8 ms and more.
func (c *Conn) Close() error { return c.c.Close() }

// WithFD calls f with the socket's descriptor, for a process that is to
// inherit it.
func (c *Conn) WithFD(f func(fd int) error) error {
	rc, err := c.c.SyscallConn()
	if err != nil {
		return err
	}
	var ferr error
	if err := rc.Control(func(fd uintptr) { ferr = f(int(fd)) }); err != nil {
		return err
	}
	return ferr
}

// Do sends the requests in one system call and takes the answers of those
// that ask for one (NLM_F_ACK). The error is an *Error that names the first
// request to fail.
//
// What follows the failed one in the same call may have been done (rtnetlink
// goes on) or not (an nf_tables batch is all or nothing). When answers of
// later requests may still be queued, Do closes the connection rather than
// let them be taken for answers to something else.
func (c *Conn) Do(reqs ...Request) error {
	if len(reqs) == 0 {
		return nil // not a sendmsg of no bytes, which is ENODATA
	}
	last := -1
	msgs := make([]netlink.Message, len(reqs))
	size, answers := 0, 0
	for i, r := range reqs {
		msgs[i] = r.Message()
		size += int(msgs[i].Header.Length)
		if r.Flags&netlink.Acknowledge != 0 {
			last = i
			answers++
		}
	}
	if err := c.room(size, answers); err != nil {
		return err
	}
	if _, err := c.c.SendMessages(msgs); err != nil {
		return &Error{What: reqs[0].What, Cmd: reqs[0].Cmd, Err: errnoOf(err)}
	}
	for i, r := range reqs {
		if r.Flags&netlink.Acknowledge == 0 {
			continue
		}
		if _, err := c.c.Receive(); err != nil {
			failed := culprit(err, msgs, i)
			if failed != last {
				_ = c.Close()
			}
			return wrap(reqs[failed], err)
		}
	}
	return nil
}

// culprit is which of the messages an error answers: the one with its sequence
// number, which is not always the one whose answer is due. The kernel sends an
// errno for a request that asked for no answer, too (netlink_rcv_skb).
func culprit(err error, sent []netlink.Message, due int) int {
	var op *netlink.OpError
	if errors.As(err, &op) && op.Sequence != 0 {
		for i, m := range sent {
			if m.Header.Sequence == op.Sequence {
				return i
			}
		}
	}
	return due
}

// room makes the socket's buffers hold one call of size bytes and its answers,
// which are queued before the call returns. A netlink message larger than the
// send buffer is refused with EMSGSIZE (netlink_sendmsg); an answer that finds
// no room is lost, and what is received in its place is ENOBUFS.
func (c *Conn) room(size, answers int) error {
	const (
		unasked = 64 << 10 // well below the defaults, net.core.[rw]mem_default
		answer  = 1 << 10  // what a struct nlmsgerr takes as an sk_buff, at most
	)
	// The kernel doubles what is asked for to pay for its own bookkeeping,
	// and a large message is one allocation that needs no more.
	if size > unasked {
		if err := c.c.SetWriteBuffer(size); err != nil {
			return fmt.Errorf("netlink socket: a send buffer of %d bytes: %w", size, err)
		}
	}
	if size := answers * answer; size > unasked {
		if err := c.c.SetReadBuffer(size); err != nil {
			return fmt.Errorf("netlink socket: a receive buffer of %d bytes: %w", size, err)
		}
	}
	return nil
}

// Query asks for data: one object, or all of them with netlink.Dump. A dump
// that a concurrent change tore (NLM_F_DUMP_INTR) is asked for again, five
// times at most.
func (c *Conn) Query(r Request) ([]netlink.Message, error) {
	m := r.Message()
	for try := 1; ; try++ {
		answers, err := c.c.Execute(m)
		if err != nil {
			return nil, wrap(r, err)
		}
		if !torn(answers) {
			return answers, nil
		}
		if try == 5 {
			return nil, &Error{What: r.What, Cmd: r.Cmd, Err: errTorn}
		}
	}
}

// Join makes the kernel tell this socket of events of a group, such as
// unix.RTNLGRP_LINK. A socket that asks nothing else has nothing to confuse
// them with. what is the watching in an error's words.
func (c *Conn) Join(group uint32, what string) error {
	if err := c.c.JoinGroup(group); err != nil {
		return &Error{What: what, Err: errnoOf(err)}
	}
	return nil
}

// Receive waits for the next events. ENOBUFS means that some were lost.
func (c *Conn) Receive(what string) ([]netlink.Message, error) {
	msgs, err := c.c.Receive()
	if err != nil {
		return nil, &Error{What: what, Err: errnoOf(err)}
	}
	return msgs, nil
}

var errTorn = errors.New("the list changed while it was read, five times")

func torn(ms []netlink.Message) bool {
	for _, m := range ms {
		if m.Header.Flags&netlink.DumpInterrupted != 0 {
			return true
		}
	}
	return false
}

func familyName(family int) string {
	switch family {
	case unix.NETLINK_ROUTE:
		return "route"
	case unix.NETLINK_NETFILTER:
		return "netfilter"
	}
	return fmt.Sprint("family ", family)
}
