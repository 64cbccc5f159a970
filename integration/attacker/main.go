//go:build linux

// Command attacker does what an intruder would: it puts frames on a link that an
// honest kernel would not, and tries ways out of a container. The tests run it
// inside containers, and where nothing is in its way, to see that what it tries
// would work there.
//
//	attacker arp DEV OP ETHSRC ETHDST SENDERMAC SENDERIP TARGETMAC TARGETIP
//	attacker udp DEV ETHSRC ETHDST SRC:PORT DST:PORT TEXT
//	attacker na  DEV ETHSRC ETHDST SRC DST TARGET MAC      a neighbour advertisement: TARGET is at MAC
//	attacker ns  DEV ETHSRC ETHDST SRC DST TARGET MAC      a neighbour solicitation: SRC is at MAC
//	attacker ra  DEV ETHSRC ETHDST SRC DST PREFIX          a router advertisement
//	attacker redirect DEV ETHSRC ETHDST SRC DST TARGET TO  an ICMPv6 redirect: TO is behind TARGET
//
//	attacker escape [ATTEMPT...]                           try ways out, a line each
//	attacker swap A B PAUSE                                say "ready", and exchange two files until the input ends
//	attacker write TRIES FILE...                           "through" when one of them opens for writing
//	attacker search PID A B                                "through" when a process has A and B, joined, in its memory
//	attacker connect NAME                                  "through" when somebody listens at an abstract address
//	attacker kill PID                                      "through" when there is such a process
//
// OP is request or reply. The MAC "own" is the link's, "all" is everyone's, and
// "none" is zero. A verb of IPv6 with "+options" behind it ("ra+options") hides
// the message behind a destination options header.
package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "attacker:", err)
		os.Exit(1)
	}
}

func run(words []string) error {
	takes := map[string]int{"arp": 8, "udp": 6, "na": 7, "ns": 7, "ra": 6, "redirect": 7}
	if len(words) == 0 {
		return fmt.Errorf("a verb is missing")
	}
	if words[0] == "escape" {
		return escape(words[1:])
	}
	if try := intrusions[words[0]]; try != nil {
		return try(words[1:])
	}
	verb, hidden := strings.CutSuffix(words[0], "+options")
	if n, known := takes[verb]; !known || len(words)-1 != n {
		return fmt.Errorf("%q is no verb, or takes other words than %q", words[0], words[1:])
	}
	dev, err := net.InterfaceByName(words[1])
	if err != nil {
		return err
	}
	r := reader{words: words[2:], own: dev.HardwareAddr}
	var f frame
	switch verb {
	case "arp":
		op := r.op()
		f = frame{src: r.mac(), dst: r.mac(), typ: ethARP}
		f.payload = arp(op, r.mac(), r.ip(), r.mac(), r.ip())
	case "udp":
		f = frame{src: r.mac(), dst: r.mac()}
		f.typ, f.payload = udp(r.ipPort(), r.ipPort(), []byte(r.word()))
	default:
		f = frame{src: r.mac(), dst: r.mac(), typ: ethIPv6}
		src, dst := r.ip(), r.ip()
		var msg []byte
		switch verb {
		case "na":
			msg = neighbourAdvertisement(r.ip(), r.mac())
		case "ns":
			msg = neighbourSolicitation(r.ip(), r.mac())
		case "ra":
			msg = routerAdvertisement(f.src, r.prefix())
		case "redirect":
			msg = redirect(r.ip(), r.ip())
		}
		f.payload = icmp6(src, dst, msg, hidden)
	}
	if r.err != nil {
		return r.err
	}
	return f.send(dev.Index)
}

// reader takes words one by one, and keeps the first error.
type reader struct {
	words []string
	own   net.HardwareAddr
	err   error
}

func (r *reader) word() string {
	w := r.words[0]
	r.words = r.words[1:]
	return w
}

func (r *reader) note(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) op() uint16 {
	switch w := r.word(); w {
	case "request":
		return arpRequest
	case "reply":
		return arpReply
	default:
		r.note(fmt.Errorf("%q is neither request nor reply", w))
		return 0
	}
}

func (r *reader) mac() net.HardwareAddr {
	switch w := r.word(); w {
	case "own":
		return r.own
	case "all":
		return net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	case "none":
		return make(net.HardwareAddr, 6)
	default:
		m, err := net.ParseMAC(w)
		if err == nil && len(m) != 6 {
			err = fmt.Errorf("%q is no MAC of Ethernet", w)
		}
		r.note(err)
		return m
	}
}

func (r *reader) ip() netip.Addr {
	a, err := netip.ParseAddr(r.word())
	r.note(err)
	return a
}

func (r *reader) ipPort() netip.AddrPort {
	a, err := netip.ParseAddrPort(r.word())
	r.note(err)
	return a
}

func (r *reader) prefix() netip.Prefix {
	p, err := netip.ParsePrefix(r.word())
	r.note(err)
	return p
}
