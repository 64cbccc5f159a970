//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"container/nat"
	"container/nl"
	"container/rtnl"
)

// bridgeAlias is how a bridge says that it was made here, and may be taken
// away by "main down".
const bridgeAlias = "container: made by main, taken away by main down"

// bridgeGroup says the same from the bridge's first moment on, when it has no
// alias yet: the group of links that it is made in. The number is "main" in
// ASCII.
const bridgeGroup = 0x6d61696e

// isOurs tells whether a bridge was made here. One that somebody has given an
// alias of his own is his.
func isOurs(br rtnl.Link) bool {
	return br.Kind == "bridge" && (strings.HasPrefix(br.Alias, bridgeAlias) || br.Alias == "" && br.Group == bridgeGroup)
}

// leaving, with a process's number behind it (leaver), is in the alias of one
// that this "main down" is about to take away.
const leaving = bridgeAlias + ", which is process "

// stays tells whether a bridge, as it is found when the container's lease is in
// the table, is not being taken away (see down).
func stays(br rtnl.Link) error {
	_, word, _ := strings.Cut(br.Alias, leaving)
	// A down that was killed at it takes nothing away any more, nor does who
	// has got its number since.
	if isProcess(word) {
		return errCameBetween(br.Name)
	}
	return nil
}

// leaver is a process in words that are no other's.
func leaver(pid int) string { return fmt.Sprintf("%d, started at %d", pid, startOf(pid)) }

// failing, with a process's number behind it, is in the alias of a bridge whose
// maker, that process, has failed, and is about to take it away again, unless
// somebody is on it by now.
const failing = bridgeAlias + ", whose maker has failed: process "

// abandoned tells whether a bridge's maker is at that.
func abandoned(br rtnl.Link) bool {
	_, word, _ := strings.Cut(br.Alias, failing)
	return isProcess(word)
}

// isProcess tells whether a process is there that has such a number (leaver).
func isProcess(word string) bool {
	number, _, _ := strings.Cut(word, ",")
	pid, _ := strconv.Atoi(number)
	return pid > 0 && alive(pid) && word == leaver(pid)
}

func errCameBetween(bridge string) error {
	return fmt.Errorf("bridge %s: main down has come between; try again", bridge)
}

// findBridge finds the bridge, or makes it. One that somebody else made is used
// as it is.
//
// It may be taken away by then, if its maker has failed: another is made.
func (n *network) findBridge(u *undo) error {
	for try := 1; ; try++ {
		err := n.tryBridge(u)
		if try == tries || !n.isGone(err) {
			return err
		}
	}
}

// tries is how often a bridge may be taken away from under a run by others that
// made it and failed, until the run fails, too.
const tries = 20

func (n *network) tryBridge(u *undo) error {
	name := n.o.bridge
	n.br, n.ours, n.found, n.networks = rtnl.Link{}, false, false, nil
	br, err := rtnl.Get(n.route, rtnl.GetLink(name))
	if errors.Is(err, rtnl.ErrNoLink) {
		if err = n.makeBridge(u); !errors.Is(err, unix.EEXIST) {
			return err
		}
		// Another run was faster: what it made is good for this one too.
		br, err = rtnl.Get(n.route, rtnl.GetLink(name))
	}
	if err != nil {
		return err
	}
	n.br = br
	err = n.checkBridge()
	n.found = n.ours
	return err
}

// remains returns when the bridge is not about to be taken away by its maker;
// rtnl.ErrNoLink when it was.
//
// A maker first writes into the alias what it is about to do, and then looks for
// ports. A run that has become a port looks at the alias afterwards: so one of
// the two notices the other.
func (n *network) remains() error {
	br, err := rtnl.AwaitLink(n.route, n.br.Index, func(br rtnl.Link) bool { return !abandoned(br) })
	if err == nil {
		n.br = br
	}
	return err
}

// isGone tells whether an error may be due to the bridge's not being there any
// more, and it isn't.
func (n *network) isGone(err error) bool {
	if err != nil && n.br.Index != 0 {
		_, err = rtnl.Get(n.route, rtnl.GetLinkIndex(n.br.Index))
	}
	return errors.Is(err, rtnl.ErrNoLink)
}

// newBridge makes a bridge of ours.
func newBridge(name string, gateways []netip.Prefix) nl.Request {
	return rtnl.GroupedBridge(name, bridgeMAC(gateways), bridgeGroup)
}

func (n *network) makeBridge(u *undo) error {
	n.hold()
	err := withModules(n.x, linkModules, func() error {
		return n.route.Do(newBridge(n.o.bridge, n.o.gateways))
	})
	if err != nil {
		return err
	}
	br, err := rtnl.Get(n.route, rtnl.GetLink(n.o.bridge))
	if err != nil {
		return err
	}
	n.br, n.ours = br, true
	u.add(func() { _ = removeIdleBridge(n.x, br) })
	for _, g := range n.gateways() {
		if _, err := n.checkGateway(g); err != nil {
			return err
		}
	}
	n.networks = n.gateways()
	return n.completeBridge(n.gateways())
}

// gateways are those of the families that the container has addresses of.
func (n *network) gateways() []netip.Prefix {
	if n.o.auto {
		return n.o.gateways
	}
	var all []netip.Prefix
	for _, a := range n.addresses {
		all = append(all, n.o.gateway(a.Addr()))
	}
	return all
}

// completeBridge gives a bridge of ours what it needs beside its making, and is
// content with what is there already.
func (n *network) completeBridge(gateways []netip.Prefix) error {
	br := n.br
	reqs := []nl.Request{
		rtnl.SetAlias(br.Name, bridgeAlias),
		// For a published port to be reached at 127.0.0.1. What else it opens,
		// the ruleset's chain "loopback" closes.
		rtnl.Set(br.Index, br.Name, rtnl.RouteLocalnet),
	}
	if err := n.route.Do(reqs...); err != nil {
		return err
	}
	for _, g := range gateways {
		all := []netip.Prefix{g}
		if g.Addr().Is6() {
			// The host takes no routes from its containers.
			if err := n.x.set(acceptRA(br.Name), "0"); err != nil && !errors.Is(err, unix.ENOENT) {
				return err
			}
			// The kernel asks for neighbours from a link-local address, and the
			// one that it makes is tentative for over a second.
			all = append(all, bridgeLinkLocal)
		}
		for _, a := range all {
			if err := n.route.Do(rtnl.Address(br.Index, br.Name, a)); err != nil && !errors.Is(err, unix.EEXIST) {
				return err
			}
		}
	}
	return nil
}

// bridgeLinkLocal is the link-local address of every bridge of ours, fe80::1.
var bridgeLinkLocal = netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: 1}), 64)

// bridgeMAC is the bridge's hardware address, made of its IPv4 address, or the
// end of its IPv6 one, behind 02:42, as Docker's are: a bridge that is taken
// away and made again keeps it, and so does every neighbour's entry for the
// gateway. Bit 1 of the first byte says that nobody assigned it (IEEE 802).
func bridgeMAC(gateways []netip.Prefix) net.HardwareAddr {
	addr := gateways[0].Addr().AsSlice()
	return append(net.HardwareAddr{0x02, 0x42}, addr[len(addr)-4:]...)
}

// removeIdleBridge takes back a bridge that a failed run made, unless others
// are on it by now (see remains).
func removeIdleBridge(x *narrator, br rtnl.Link) error {
	c, err := rtnl.Dial(x.tracer())
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Do(rtnl.SetAlias(br.Name, failing+leaver(os.Getpid()))); err != nil {
		return err
	}
	ports, err := rtnl.Ports(c, br.Index, br.Name)
	if err != nil || len(ports) > 0 {
		return errors.Join(err, c.Do(rtnl.SetAlias(br.Name, bridgeAlias)))
	}
	return c.Do(rtnl.DeleteLink(br.Index, br.Name))
}

// checkBridge makes sure that an existing link is a bridge, and finds out which
// of the gateways it is itself. One of ours is completed, if the run that is
// making it, or made it, did not get so far, or had other families.
func (n *network) checkBridge() error {
	br := n.br
	if br.Kind != "bridge" {
		kind := br.Kind
		if kind == "" {
			kind = "device"
		}
		return fmt.Errorf("bridge %s: that is a %s, not a bridge", br.Name, kind)
	}
	n.ours = isOurs(br)
	var missing []netip.Prefix
	for _, g := range n.gateways() {
		has, err := n.checkGateway(g)
		switch {
		case err != nil:
			return err
		case has:
			n.networks = append(n.networks, g)
		case n.ours:
			n.networks = append(n.networks, g)
			missing = append(missing, g)
		}
	}
	if len(missing) > 0 {
		return n.completeBridge(missing)
	}
	if !br.IsUp() {
		return fmt.Errorf("bridge %s: it is down (ip link set dev %s up)", br.Name, br.Name)
	}
	return nil
}

// checkGateway tells whether the bridge has a gateway's address. If it hasn't,
// either it is ours and to be given it, or a router on its wire has it.
func (n *network) checkGateway(g netip.Prefix) (bool, error) {
	br := n.br
	list, err := rtnl.Addresses(n.route, uint8(nat.FamilyOf(g.Addr())))
	if err != nil {
		return false, err
	}
	var has, asks bool
	var others []string
	for _, a := range list {
		onBridge := a.Index == br.Index
		switch {
		case onBridge && a.Prefix == g:
			has = true
		case onBridge && a.Scope == unix.RT_SCOPE_LINK:
			asks = asks || !a.IsTentative()
		case onBridge:
			others = append(others, a.Prefix.String())
		case a.Prefix.Addr() == g.Addr():
			return false, fmt.Errorf("bridge %s: the gateway %s is the address of another link, with index %d", br.Name, g.Addr(), a.Index)
		}
		for _, own := range n.addresses {
			if own.Addr() == a.Prefix.Addr() {
				return false, fmt.Errorf("address %s is the host's own, of the link with index %d", own.Addr(), a.Index)
			}
		}
	}
	switch {
	case has, n.ours && len(others) == 0:
		return has, nil
	case len(others) > 0 && n.ours:
		return false, errOtherAddress(br, others, g)
	}
	// In IPv6 the kernel asks from a link-local address only.
	leads := n.hasUplink
	if asks || g.Addr().Is4() {
		leads = func() (bool, error) { return n.leadsTo(g.Addr()) }
	}
	is, err := leads()
	switch {
	case err != nil || is:
		return false, err
	case len(others) > 0:
		return false, errOtherAddress(br, others, g)
	}
	return false, fmt.Errorf("bridge %s: it has no address, and somebody else made it (ip addr add %s dev %s)", br.Name, g, br.Name)
}

func errOtherAddress(br rtnl.Link, others []string, g netip.Prefix) error {
	return fmt.Errorf("bridge %s: it has the address %s, not %s (-gateway tells the bridge's own address)", br.Name, strings.Join(others, ", "), g)
}

// leadsTo tells whether somebody on the bridge's wire answers for a gateway.
func (n *network) leadsTo(gateway netip.Addr) (bool, error) {
	if !n.br.IsRunning() {
		return false, nil
	}
	if err := rtnl.Solicit(n.route, n.br.Index, n.br.Name, gateway); err != nil {
		return false, err
	}
	who, err := rtnl.AwaitNeighbour(n.route, n.br.Index, n.br.Name, gateway, answerTime)
	return who.IsValid(), err
}

// hasUplink tells whether the bridge has a port that is no container's.
func (n *network) hasUplink() (bool, error) {
	ports, err := rtnl.Ports(n.route, n.br.Index, n.br.Name)
	if err != nil {
		return false, err
	}
	for _, p := range ports {
		if _, ours := parseAlias(p.Alias); !ours {
			return true, nil
		}
	}
	return false, nil
}
