//go:build linux

package rtnl

import (
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"container/nl"
)

// Watcher hears of every change of a link in the caller's network namespace.
type Watcher struct{ c *nl.Conn }

// Watch opens a socket that is in the group RTNLGRP_LINK.
func Watch(t nl.Tracer) (*Watcher, error) {
	c, err := Dial(t)
	if err != nil {
		return nil, err
	}
	if err := c.Join(unix.RTNLGRP_LINK, "links: watch"); err != nil {
		_ = c.Close()
		return nil, err
	}
	return &Watcher{c}, nil
}

// AwaitNeighbour is NeighbourOf that waits for an answer, if there is none yet,
// but no longer than patience. Who has not answered then is not IsValid.
func AwaitNeighbour(c *nl.Conn, index uint32, dev string, a netip.Addr, patience time.Duration) (Neighbour, error) {
	const what = "neighbours: watch"
	w, err := Dial(c.Tracer())
	if err != nil {
		return Neighbour{}, err
	}
	defer w.Close()
	if err := w.Join(unix.RTNLGRP_NEIGH, what); err != nil {
		return Neighbour{}, err
	}
	// What happened before the watch began is not told, so ask once more.
	for end := time.Now().Add(patience); ; {
		n, err := NeighbourOf(c, index, dev, a)
		if err != nil && !errors.Is(err, ErrNoNeighbour) || n.IsValid() {
			return n, err
		}
		left := time.Until(end)
		if left <= 0 {
			return n, nil
		}
		if _, err := w.ReceiveWithin(left, what); err != nil && !errors.Is(err, unix.EAGAIN) {
			return n, err
		}
	}
}

// AwaitLink returns what a link is, when that is as it should be; ErrNoLink when
// it is gone. Whether it is as it should be may depend on more than the kernel
// tells of, so it is asked about now and then, too.
func AwaitLink(c *nl.Conn, index uint32, should func(Link) bool) (Link, error) {
	const what, nowAndThen = "links: watch", 100 * time.Millisecond
	var w *nl.Conn
	for {
		l, err := Get(c, GetLinkIndex(index))
		if err != nil || should(l) {
			return l, err
		}
		if w == nil {
			if w, err = Dial(c.Tracer()); err != nil {
				return l, err
			}
			defer w.Close()
			if err := w.Join(unix.RTNLGRP_LINK, what); err != nil {
				return l, err
			}
			continue // what happened before is not told
		}
		if _, err := w.ReceiveWithin(nowAndThen, what); err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.ENOBUFS) {
			return l, err
		}
	}
}

// AwaitLocal returns when the link that an IPv6 address was given to has it for
// good: also without duplicate address detection, the kernel does that in a work
// queue (addrconf_dad_work, net/ipv6/addrconf.c), and until then answers to
// nobody who asks for it, and drops what is sent there.
//
// The connection is one to the network namespace of the link, and hears of
// routes from then on.
func AwaitLocal(c *nl.Conn, a netip.Addr) error {
	const what = "routes: watch"
	r, err := RouteTo(c, a)
	if err != nil && !errors.Is(err, ErrNoRoute) || r.Local {
		return err
	}
	if err := c.Join(unix.RTNLGRP_IPV6_ROUTE, what); err != nil {
		return err
	}
	// What happened before the watch began is not told, so ask once more.
	for {
		r, err := RouteTo(c, a)
		if err != nil && !errors.Is(err, ErrNoRoute) || r.Local {
			return err
		}
		if _, err := c.Receive(what); err != nil {
			return err
		}
	}
}

// Close closes the socket.
func (w *Watcher) Close() error { return w.c.Close() }

// Next waits for the next change of one link and tells what the link is then;
// ErrNoLink when it was deleted.
func (w *Watcher) Next(index uint32) (Link, error) {
	for {
		msgs, err := w.c.Receive("links: watch")
		if err != nil {
			return Link{}, err
		}
		for _, m := range msgs {
			l, err := ParseLink(m.Data)
			// A bridge also tells of its ports in messages of family
			// AF_BRIDGE, which hold other attributes, and which call a port
			// deleted that has only left the bridge.
			if err != nil || l.Index != index || m.Data[0] != unix.AF_UNSPEC {
				continue
			}
			if m.Header.Type == unix.RTM_DELLINK {
				return Link{}, ErrNoLink
			}
			return l, nil
		}
	}
}
