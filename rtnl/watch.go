//go:build linux

package rtnl

import (
	"golang.org/x/sys/unix"

	"container/nl"
)

// Watcher hears of every change of a link in the caller's network namespace.
type Watcher struct{ c *nl.Conn }

// Watch opens a socket that is in the group RTNLGRP_LINK.
func Watch() (*Watcher, error) {
	c, err := Dial()
	if err != nil {
		return nil, err
	}
	if err := c.Join(unix.RTNLGRP_LINK, "links: watch"); err != nil {
		_ = c.Close()
		return nil, err
	}
	return &Watcher{c}, nil
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
