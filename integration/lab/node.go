//go:build linux

package lab

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/nl"
	"container/rtnl"
)

// Node is a machine of the lab: a network namespace, and what was started in
// it. Methods that return no error fail the test that the lab was made for.
type Node struct {
	Name string

	t   testing.TB
	fd  int // of the network namespace
	tid int // of the thread that lives in it

	// The thread starts processes, one function at a time. They get a SIGKILL
	// when it ends, so none outlives a test binary that was itself killed.
	starts chan func()

	mu    sync.Mutex
	cmds  []*Cmd
	agent *Agent
}

// newNode makes a network namespace with a thread in it.
func newNode(t testing.TB, name string) (*Node, error) {
	n := &Node{Name: name, t: t, starts: make(chan func())}
	ready := make(chan error)
	go func() {
		// Never unlocked: Go ends the thread with its goroutine.
		runtime.LockOSThread()
		err := n.enter()
		ready <- err
		if err != nil {
			return
		}
		for f := range n.starts {
			f()
		}
	}()
	return n, <-ready
}

func (n *Node) enter() (err error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	n.tid = unix.Gettid()
	// Not /proc/self, which is the thread that the process began with.
	n.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	return err
}

// close ends what was started and leaves the namespace to the kernel.
func (n *Node) close() {
	n.mu.Lock()
	cmds := n.cmds
	n.mu.Unlock()
	for _, c := range cmds {
		c.end()
	}
	close(n.starts)
	_ = unix.Close(n.fd)
}

// onStarter runs f on the thread that starts processes.
func (n *Node) onStarter(f func() error) error {
	done := make(chan error)
	n.starts <- func() { done <- f() }
	return <-done
}

// Do runs f on a thread of its own that is in the namespace. Sockets that f
// makes belong there for good, also when they are used elsewhere later. (With
// package net: a numeric address, whose dialling needs no second goroutine.) f
// must return: t.Fatal is for the test's own goroutine.
func (n *Node) Do(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked, as above
		err := unix.Setns(n.fd, unix.CLONE_NEWNET)
		if err != nil {
			done <- fmt.Errorf("%s: setns: %w", n.Name, err)
			return
		}
		done <- f()
	}()
	return <-done
}

// must is Do for what can't fail unless something is broken.
func (n *Node) must(f func() error) {
	n.t.Helper()
	if err := n.Do(f); err != nil {
		n.t.Fatalf("%s: %v", n.Name, err)
	}
}

// Apply sends rtnetlink requests.
func (n *Node) Apply(reqs ...nl.Request) {
	n.t.Helper()
	n.must(withRtnl(func(c *nl.Conn) error { return c.Do(reqs...) }))
}

// Links is every link of the machine.
func (n *Node) Links() (links []rtnl.Link) {
	n.t.Helper()
	n.must(withRtnl(func(c *nl.Conn) (err error) {
		links, err = rtnl.List(c)
		return err
	}))
	return links
}

// Link is the link of a name, which must be there. A kernel from 6.13 on
// notices first what there is to notice about a link that is asked for by
// itself; others, and Links, take up to a second to tell of a lost carrier.
func (n *Node) Link(name string) (l rtnl.Link) {
	n.t.Helper()
	n.must(withRtnl(func(c *nl.Conn) (err error) {
		if l, err = rtnl.Get(c, rtnl.GetLink(name)); err != nil {
			return fmt.Errorf("link %s: %w", name, err)
		}
		return nil
	}))
	return l
}

// HasLink tells whether there is a link of a name.
func (n *Node) HasLink(name string) bool {
	n.t.Helper()
	err := n.Do(withRtnl(func(c *nl.Conn) error {
		_, err := rtnl.Get(c, rtnl.GetLink(name))
		return err
	}))
	if err != nil && !errors.Is(err, rtnl.ErrNoLink) {
		n.t.Fatalf("%s: %v", n.Name, err)
	}
	return err == nil
}

// withRtnl is f with a rtnetlink socket, for Do.
func withRtnl(f func(c *nl.Conn) error) func() error {
	return func() error {
		c, err := rtnl.Dial(nil)
		if err != nil {
			return err
		}
		defer c.Close()
		return f(c)
	}
}

// AwaitUp waits until a link is as far up as it will come. The kernel notices
// in a work queue that there is another end, and then sets its state and, with
// IPv6, adds the route to ff00::/8.
func (n *Node) AwaitUp(dev string) {
	n.t.Helper()
	Eventually(n.t, func() error {
		l := n.Link(dev)
		if state := n.operState(l.Index); state != ifOperUp {
			return fmt.Errorf("%s: link %s is in the state %d", n.Name, dev, state)
		}
		return n.Do(func() error {
			routes, err := os.ReadFile("/proc/thread-self/net/ipv6_route")
			if err == nil && !multicastRoute(string(routes), dev) {
				return fmt.Errorf("%s: link %s has no route to ff00::/8", n.Name, dev)
			}
			return nil
		})
	})
}

// ifOperUp is IF_OPER_UP in linux/if.h.
const ifOperUp = 6

// operState is a link's state as RFC 2863 has it. Asking for this one link has
// a kernel from 6.13 on notice first what there is to notice; others take up to
// a second.
func (n *Node) operState(index uint32) (state uint8) {
	n.t.Helper()
	n.must(func() error {
		c, err := rtnl.Dial(nil)
		if err != nil {
			return err
		}
		defer c.Close()
		answers, err := c.Query(rtnl.GetLinkIndex(index))
		if err != nil {
			return err
		}
		for _, m := range answers {
			ad, err := netlink.NewAttributeDecoder(m.Data[unix.SizeofIfInfomsg:])
			if err != nil {
				return err
			}
			for ad.Next() {
				if ad.Type() == unix.IFLA_OPERSTATE {
					state = ad.Uint8()
				}
			}
		}
		return nil
	})
	return state
}

// multicastRoute looks in the lines of /proc/net/ipv6_route for ff00::/8 by a
// link.
func multicastRoute(routes, dev string) bool {
	for line := range strings.Lines(routes) {
		f := strings.Fields(line)
		if len(f) > 9 && strings.HasPrefix(f[0], "ff00000000") && f[1] == "08" && f[9] == dev {
			return true
		}
	}
	return false
}

// HasIPv6 tells whether the kernel does.
func (n *Node) HasIPv6() bool {
	n.t.Helper()
	_, err := os.Stat("/proc/sys/net/ipv6")
	return err == nil
}

// Address gives a link, which is up, addresses, and returns when they are in
// use. The kernel makes an IPv6 one the machine's own in a work queue, also
// without duplicate address detection: that adds the route to it, and joins the
// group that neighbours ask for it in.
func (n *Node) Address(dev string, prefixes ...netip.Prefix) {
	n.t.Helper()
	index := n.Link(dev).Index
	for _, p := range prefixes {
		n.Apply(rtnl.Address(index, dev, p))
		if p.Addr().Is4() {
			continue
		}
		Eventually(n.t, func() error {
			return n.Do(func() error {
				routes, err := os.ReadFile("/proc/thread-self/net/ipv6_route")
				if err == nil && !localRoute(string(routes), p.Addr(), dev) {
					return fmt.Errorf("%s: link %s has no route to its address %s", n.Name, dev, p.Addr())
				}
				return err
			})
		})
	}
}

// localRoute looks in the lines of /proc/net/ipv6_route for an address that is
// a link's own.
func localRoute(routes string, addr netip.Addr, dev string) bool {
	for line := range strings.Lines(routes) {
		f := strings.Fields(line)
		if len(f) > 9 && f[0] == hex.EncodeToString(addr.AsSlice()) && f[1] == "80" && f[9] == dev && strings.HasPrefix(f[8], "8") { // RTF_LOCAL
			return true
		}
	}
	return false
}

// Route adds a route to a prefix by a gateway.
func (n *Node) Route(prefix netip.Prefix, gateway netip.Addr) {
	n.t.Helper()
	n.Apply(route(prefix, gateway))
}

// Unroute takes a route away again.
func (n *Node) Unroute(prefix netip.Prefix, gateway netip.Addr) {
	n.t.Helper()
	r := route(prefix, gateway)
	r.Type, r.Flags = unix.RTM_DELROUTE, netlink.Request|netlink.Acknowledge
	r.What = "route to " + prefix.String() + ": delete gateway " + gateway.String()
	r.Cmd = "ip route del " + prefix.String() + " via " + gateway.String()
	n.Apply(r)
}

// Bridge makes a bridge as an administrator would, with an address.
func (n *Node) Bridge(name string, prefix netip.Prefix) {
	n.t.Helper()
	n.Apply(rtnl.Bridge(name, net.HardwareAddr{0x02, 0, 0, 0, 0, 0x07}))
	n.Apply(rtnl.Address(n.Link(name).Index, name, prefix))
}

// Unloop takes 127.0.0.1/8 off lo, so that 127.0.0.0/8 can be routed as any
// other network.
func (n *Node) Unloop() {
	n.t.Helper()
	r := rtnl.Address(rtnl.LoopbackIndex, "lo", netip.MustParsePrefix("127.0.0.1/8"))
	r.Type, r.Flags = unix.RTM_DELADDR, netlink.Request|netlink.Acknowledge
	r.What, r.Cmd = "link lo: delete address 127.0.0.1/8", "ip addr del 127.0.0.1/8 dev lo"
	n.Apply(r)
}

// route is "ip route add PREFIX via GATEWAY". A container needs a default route
// alone, so rtnl has no other.
func route(prefix netip.Prefix, gateway netip.Addr) nl.Request {
	r := rtnl.DefaultRoute(gateway)
	r.What = "route to " + prefix.String() + ": add gateway " + gateway.String()
	r.Cmd = "ip route add " + prefix.String() + " via " + gateway.String()
	if prefix.Bits() == 0 {
		return r
	}
	// rtm_dst_len, the second byte of struct rtmsg; and RTA_DST, 4 or 16 bytes
	// behind a header of 4.
	dst := prefix.Masked().Addr().AsSlice()
	r.Data[1] = uint8(prefix.Bits())
	r.Data = binary.NativeEndian.AppendUint16(r.Data, uint16(4+len(dst)))
	r.Data = binary.NativeEndian.AppendUint16(r.Data, unix.RTA_DST)
	r.Data = append(r.Data, dst...)
	return r
}

// Sysctl reads a setting, named by its path below /proc/sys.
func (n *Node) Sysctl(name string) string {
	n.t.Helper()
	var value []byte
	n.must(func() (err error) {
		value, err = os.ReadFile("/proc/sys/" + name)
		return err
	})
	return strings.TrimSpace(string(value))
}

// SetSysctl sets a setting.
func (n *Node) SetSysctl(name, value string) {
	n.t.Helper()
	n.must(func() error { return os.WriteFile("/proc/sys/"+name, []byte(value), 0) })
}

// trySysctl sets a setting, if the kernel has it.
func (n *Node) trySysctl(name, value string) {
	n.t.Helper()
	n.must(func() error {
		return ignoreGone(os.WriteFile("/proc/sys/"+name, []byte(value), 0))
	})
}

// dump asks for all objects of a kind, over a socket of a netlink family.
func (n *Node) dump(family int, typ netlink.HeaderType, header int) (msgs []netlink.Message, err error) {
	err = n.Do(func() error {
		c, err := nl.Dial(family, nil)
		if err != nil {
			return err
		}
		defer c.Close()
		msgs, err = c.Query(nl.Request{
			Type:  typ,
			Flags: netlink.Request | netlink.Dump,
			Data:  make([]byte, header),
			What:  fmt.Sprintf("dump with message %#x", typ),
		})
		return err
	})
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil // a kernel without that
	}
	return msgs, err
}
