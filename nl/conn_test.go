//go:build linux

package nl_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/nl"
	"container/rtnl"
)

var mac = []byte{0x02, 0x00, 0x5e, 0x00, 0x00, 0x01}

// noSuch is the index of no link.
const noSuch = 0x7ffffff0

// has tells whether a namespace has a link.
func has(t *testing.T, ns int, name string) bool {
	t.Helper()
	_, err := rtnl.Get(dial(t, ns), rtnl.GetLink(name))
	if err != nil && !errors.Is(err, rtnl.ErrNoLink) {
		t.Fatal(err)
	}
	return err == nil
}

// works checks that a connection is of use yet: that it asks and is answered.
func works(t *testing.T, c *nl.Conn) {
	t.Helper()
	l, err := rtnl.Get(c, rtnl.GetLinkIndex(rtnl.LoopbackIndex))
	if err != nil {
		t.Errorf("the connection is of no more use: %v", err)
	} else if l.Name != "lo" {
		t.Errorf("asked for lo, and the answer is %q: the answer to something else?", l.Name)
	}
}

func TestDialUnknownFamily(t *testing.T) {
	_, err := nl.Dial(99, nil)
	e := asError(t, err)
	if !errors.Is(err, unix.EPROTONOSUPPORT) {
		t.Errorf("got %v, want EPROTONOSUPPORT", err)
	}
	if want := "netlink socket: family 99"; e.What != want {
		t.Errorf("the error is about %q, want %q", e.What, want)
	}
}

// A socket keeps to the namespace that it was made in, whoever has it.
func TestNew(t *testing.T) {
	ns := netns(t)
	fd := -1
	if err := within(ns, func() (err error) {
		fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	c := nl.New(fd, unix.NETLINK_ROUTE, nil)
	defer c.Close()
	if c.FD() != fd {
		t.Errorf("the descriptor is %d, and was %d", c.FD(), fd)
	}
	if err := c.Do(rtnl.Bridge("br0", mac)); err != nil {
		t.Fatal(err)
	}
	if !has(t, ns, "br0") {
		t.Error("the bridge was made in another namespace than the socket's")
	}
	if e := asError(t, c.Do(unknownKind())); e.Message == "" {
		t.Errorf("a refusal without an explanation: %v", e)
	}
}

func TestClose(t *testing.T) {
	c := dial(t, netns(t))
	fd := c.FD()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); !errors.Is(err, unix.EBADF) {
		t.Errorf("the descriptor is open yet: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("the second time: %v", err)
	}

	r := rtnl.Up(rtnl.LoopbackIndex, "lo")
	err := c.Do(r)
	if e := asError(t, err); e.What != r.What || !errors.Is(err, unix.EBADF) {
		t.Errorf("Do of a closed connection: got %v, want EBADF", err)
	}
	_, err = c.Query(list)
	if e := asError(t, err); e.What != list.What || !errors.Is(err, unix.EBADF) {
		t.Errorf("Query of a closed connection: got %v, want EBADF", err)
	}
}

// Within no time nothing comes; what has come is there; and one that waits for
// longer gets what comes meanwhile.
func TestReceiveWithin(t *testing.T) {
	ns := netns(t)
	watch, c := dial(t, ns), dial(t, ns)
	if err := watch.Join(unix.RTNLGRP_LINK, "watch links"); err != nil {
		t.Fatal(err)
	}
	for _, d := range []time.Duration{-time.Second, 0, time.Microsecond, time.Millisecond} {
		_, err := watch.ReceiveWithin(d, "wait for a link")
		if e := asError(t, err); !errors.Is(err, unix.EAGAIN) || e.What != "wait for a link" {
			t.Errorf("within %s: got the error %v, want EAGAIN", d, err)
		}
	}

	tells := func(name string, d time.Duration) {
		t.Helper()
		for {
			msgs, err := watch.ReceiveWithin(d, "wait for a link")
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range msgs {
				if m.Header.Type == netlink.HeaderType(unix.RTM_NEWLINK) && bytes.Contains(m.Data, append([]byte(name), 0)) {
					return
				}
			}
		}
	}
	if err := c.Do(rtnl.Bridge("br0", mac)); err != nil {
		t.Fatal(err)
	}
	tells("br0", 0)
	for { // and what else there was to tell of it
		if _, err := watch.ReceiveWithin(0, "wait for a link"); err != nil {
			break
		}
	}
	made := make(chan error, 1)
	go func() { made <- c.Do(rtnl.Bridge("br1", mac)) }()
	tells("br1", time.Minute)
	if err := <-made; err != nil {
		t.Error(err)
	}

	// The socket asks and is answered as before.
	works(t, c)
	if err := watch.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := watch.ReceiveWithin(time.Minute, "wait for a link"); !errors.Is(err, unix.EBADF) {
		t.Errorf("of a closed connection: got the error %v, want EBADF", err)
	}
}

func TestDoNothing(t *testing.T) {
	c := dial(t, netns(t))
	if err := c.Do(); err != nil {
		t.Error(err)
	}
	works(t, c)
}

func TestDoExists(t *testing.T) {
	c := dial(t, netns(t))
	bridge := rtnl.Bridge("br0", mac)
	if err := c.Do(bridge); err != nil {
		t.Fatal(err)
	}
	err := c.Do(bridge)
	e := asError(t, err)
	if !errors.Is(err, unix.EEXIST) {
		t.Errorf("got %v, want EEXIST", err)
	}
	if e.What != "bridge br0: create" || e.Cmd != bridge.Cmd {
		t.Errorf("the error is about %q (%s)", e.What, e.Cmd)
	}
	if want := "bridge br0: create: file exists"; !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got  %q\nwant %q", err, want)
	}
	works(t, c)
}

// unknownKind asks for a link of a kind that no kernel has.
func unknownKind() nl.Request {
	r := rtnl.Bridge("br0", mac)
	r.Data = append(make([]byte, unix.SizeofIfInfomsg),
		cat(u16(4+4+8), u16(unix.NLA_F_NESTED|unix.IFLA_LINKINFO),
			u16(4+8), u16(unix.IFLA_INFO_KIND), []byte("nonesuch"))...)
	return r
}

func TestDoExplained(t *testing.T) {
	c := dial(t, netns(t))
	err := c.Do(unknownKind())
	e := asError(t, err)
	if !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("got %v, want EOPNOTSUPP", err)
	}
	if want := "Unknown device type"; e.Message != want {
		t.Errorf("got the explanation %q, want %q", e.Message, want)
	}
	want := "bridge br0: create: operation not supported: Unknown device type" +
		" (the kernel has no bridge support: CONFIG_BRIDGE, module bridge)"
	if err.Error() != want {
		t.Errorf("got  %q\nwant %q", err, want)
	}
	works(t, c)
}

// The kernel says at which byte of a request it stopped.
func TestDoOffset(t *testing.T) {
	c := dial(t, netns(t))
	r := rtnl.Up(rtnl.LoopbackIndex, "lo")
	r.Data = append(r.Data, cat(
		u16(8), u16(unix.IFLA_MTU), u32(1400),
		u16(6), u16(unix.IFLA_LINK), u16(1), u16(0), // a number of 2 bytes where 4 are due
	)...)
	e := asError(t, c.Do(r))
	if want := 16 + 16 + 8; e.Offset != want {
		t.Errorf("stopped at byte %d, want %d (%v)", e.Offset, want, e)
	}
}

func TestDoUnprivileged(t *testing.T) {
	ns := netns(t)
	var err error
	if fatal := within(ns, func() error {
		if err := dropNetAdmin(); err != nil {
			return err
		}
		c, derr := nl.Dial(unix.NETLINK_ROUTE, nil)
		if derr != nil {
			return derr
		}
		defer c.Close()
		err = c.Do(rtnl.Bridge("br0", mac))
		return nil
	}); fatal != nil {
		t.Fatal(fatal)
	}
	e := asError(t, err)
	if !errors.Is(err, unix.EPERM) {
		t.Errorf("got %v, want EPERM", err)
	}
	if want := "it takes CAP_NET_ADMIN in this network namespace"; e.Advice != want {
		t.Errorf("got the advice %q, want %q", e.Advice, want)
	}
	if has(t, ns, "br0") {
		t.Error("the bridge is there")
	}
}

// dropNetAdmin takes CAP_NET_ADMIN from the calling thread alone.
func dropNetAdmin() error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return err
	}
	data[0].Effective &^= 1 << unix.CAP_NET_ADMIN
	return unix.Capset(&hdr, &data[0])
}

// rtnetlink goes on after a request that failed. The answers of what follows
// must not be taken for answers to the next call.
func TestDoFails(t *testing.T) {
	bad := rtnl.Up(noSuch, "nonesuch")
	br0, br1 := rtnl.Bridge("br0", mac), rtnl.Bridge("br1", mac)
	silent := func(r nl.Request) nl.Request { return nl.Silent([]nl.Request{r})[0] }
	for _, tt := range []struct {
		name string
		reqs []nl.Request
	}{
		{"first", []nl.Request{bad, br0, br1}},
		{"between", []nl.Request{br0, bad, br1}},
		{"last", []nl.Request{br0, br1, bad}},
		{"first of two", []nl.Request{br0, bad, br1, rtnl.Up(noSuch, "another")}},
		// The kernel refuses aloud what asked for no answer, too.
		{"unasked", []nl.Request{br0, silent(bad), br1}},
		{"unasked among the unasked", []nl.Request{silent(br0), silent(bad), br1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ns := netns(t)
			c := dial(t, ns)
			err := c.Do(tt.reqs...)
			if e := asError(t, err); e.What != bad.What || !errors.Is(err, unix.ENODEV) {
				t.Errorf("got %v, want %s: ENODEV", err, bad.What)
			}
			if !has(t, ns, "br0") || !has(t, ns, "br1") {
				t.Error("what stands around the failed request was not done")
			}
			if err := c.Do(rtnl.Up(rtnl.LoopbackIndex, "lo")); err != nil {
				t.Errorf("the next call has the answer of this one: %v", err)
			}
			works(t, c)
		})
	}
}

func TestDoUnasked(t *testing.T) {
	ns := netns(t)
	c := dial(t, ns)
	err := c.Do(nl.Silent([]nl.Request{rtnl.Bridge("br0", mac), rtnl.Bridge("br1", mac)})...)
	if err != nil {
		t.Fatal(err)
	}
	if !has(t, ns, "br0") || !has(t, ns, "br1") {
		t.Error("the bridges were not made")
	}
	works(t, c)
}

// More answers than a socket's buffer holds by default, which are queued
// before the first can be taken.
func TestDoMany(t *testing.T) {
	c := dial(t, netns(t))
	reqs := make([]nl.Request, 3000)
	for i := range reqs {
		reqs[i] = rtnl.Up(rtnl.LoopbackIndex, "lo")
	}
	if err := c.Do(reqs...); err != nil {
		t.Fatal(err)
	}
	works(t, c)
}

// A request larger than a socket's buffer is by default.
func TestDoLarge(t *testing.T) {
	c := dial(t, netns(t))
	large := func(r nl.Request) nl.Request {
		const size = 60_000
		for len(r.Data) < 1<<20 {
			unknown := make([]byte, size) // what the kernel doesn't know it passes over
			copy(unknown, cat(u16(size), u16(0x3f00)))
			r.Data = append(r.Data, unknown...)
		}
		return r
	}
	if err := c.Do(large(rtnl.Up(rtnl.LoopbackIndex, "lo"))); err != nil {
		t.Error(err)
	}
	err := c.Do(large(rtnl.Up(noSuch, "nonesuch")))
	if !errors.Is(err, unix.ENODEV) {
		t.Errorf("got %v, want ENODEV", err)
	}
	works(t, c)
}

func TestQueryFails(t *testing.T) {
	c := dial(t, netns(t))
	r := rtnl.GetLink("nonesuch")
	_, err := c.Query(r)
	e := asError(t, err)
	if !errors.Is(err, unix.ENODEV) {
		t.Errorf("got %v, want ENODEV", err)
	}
	if e.What != r.What || e.Cmd != r.Cmd {
		t.Errorf("the error is about %q (%s)", e.What, e.Cmd)
	}
	works(t, c)
}

func TestQueryDump(t *testing.T) {
	c := dial(t, netns(t))
	if err := c.Do(rtnl.Bridge("br0", mac), rtnl.Bridge("br1", mac)); err != nil {
		t.Fatal(err)
	}
	answers, err := c.Query(list)
	if err != nil {
		t.Fatal(err)
	}
	if len(answers) < 3 {
		t.Errorf("got %d answers of lo and two bridges", len(answers))
	}
	for _, m := range answers {
		if m.Header.Type != netlink.HeaderType(unix.RTM_NEWLINK) {
			t.Errorf("an answer of type %d, want %d", m.Header.Type, unix.RTM_NEWLINK)
		}
	}
}

// answers counts what comes back.
type answers int

func (*answers) Send(*nl.Conn, []nl.Request, []byte) {}
func (n *answers) Receive(*nl.Conn, []byte)          { *n++ }

// Of several requests that ask for an answer one gets it, and any that is refused.
func TestDoIsAnsweredOnce(t *testing.T) {
	var heard answers
	c, err := nl.Dial(unix.NETLINK_ROUTE, &heard)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	nothing := nl.Request{Type: unix.NLMSG_NOOP, Flags: netlink.Request | netlink.Acknowledge, What: "nothing"}
	reqs := []nl.Request{nothing, nothing, nothing}
	if err := c.Do(reqs...); err != nil {
		t.Fatal(err)
	}
	if heard != 1 {
		t.Errorf("%d answers, want 1", heard)
	}
	if reqs[0].Flags != nothing.Flags {
		t.Error("the caller's requests were changed")
	}
	// Above RTM_MAX there is none.
	reqs[1] = nl.Request{Type: 0xfff0, Flags: nothing.Flags, What: "unknown"}
	if err := c.Do(reqs...); asError(t, err).What != "unknown" {
		t.Errorf("got %v, want it of the second", err)
	}
	works(t, c)
}
