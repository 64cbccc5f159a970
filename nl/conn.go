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

// Do sends the requests in one system call and takes the answers of those
// that ask for one (NLM_F_ACK). The error is an *Error that names the first
// request to fail.
//
// What follows the failed one in the same call may have been done (rtnetlink
// goes on) or not (an nf_tables batch is all or nothing). When answers of
// later requests may still be queued, Do closes the connection rather than
// let them be taken for answers to something else.
func (c *Conn) Do(reqs ...Request) error {
	last := -1
	msgs := make([]netlink.Message, len(reqs))
	size := 0
	for i, r := range reqs {
		msgs[i] = r.Message()
		size += int(msgs[i].Header.Length)
		if r.Flags&netlink.Acknowledge != 0 {
			last = i
		}
	}
	if err := c.room(size); err != nil {
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
			if i != last {
				_ = c.Close()
			}
			return wrap(r, err)
		}
	}
	return nil
}

// room makes the socket's send buffer hold one call of size bytes. A netlink
// message larger than the buffer is refused with EMSGSIZE (netlink_sendmsg).
func (c *Conn) room(size int) error {
	const unasked = 64 << 10 // well below the default, net.core.wmem_default
	if size <= unasked {
		return nil
	}
	// The kernel doubles what is asked for to pay for its own bookkeeping,
	// and a large message is one allocation that needs no more.
	if err := c.c.SetWriteBuffer(size); err != nil {
		return fmt.Errorf("netlink socket: a send buffer of %d bytes: %w", size, err)
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
