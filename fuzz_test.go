//go:build linux

package main

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"container/nat"
	"container/rtnl"
)

// Whatever -p takes, it prints, and takes again.
func FuzzParsePorts(f *testing.F) {
	for _, s := range []string{
		"80:8000", "80:8000/tcp", "53:53/udp", "9:9/sctp", "127.0.0.1:80:8000", "0.0.0.0:1:65535",
		"", ":", "::", ":::", "/", "80", "80:", ":80", "0:80", "65536:1", "+1:1", "1:1/", "1:1/tcp/udp",
		"[::1]:80:80", "[::]:80:80/udp", "[fd00::1]:1:1", "::1:80:80", "[::1]:80", "[127.0.0.1]:1:1", "[fe80::1%x]:1:1", "a:b:c",
		"8000-8099:8000-8099", "1-65535:1-65535/udp", "8000-8099:80", "2-1:2-1", "1-:1-", "-1:-1", "1-2-3:1-2-3", "0-5:0-5",
		":8000-8009", "0:80-81/sctp", "127.0.0.1::80", "127.0.0.1:0:80", "[::1]::80-90", "080:0080", "1_0:10", "0x50:80", " 80:80", "80:80\n", "٣:٣",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ports, err := parsePorts(s)
		if err != nil {
			if err.Error() == "" {
				t.Errorf("%q: an error without words", s)
			}
			return
		}
		if len(ports) == 0 {
			t.Fatalf("%q: no port, and no error", s)
		}
		first := ports[0]
		for i, p := range ports {
			want := first
			want.Port += uint16(i)
			if first.HostPort != 0 {
				want.HostPort += uint16(i)
			}
			if p != want {
				t.Fatalf("%q: %s at %d behind %s", s, p, i, first)
			}
		}
		last := ports[len(ports)-1]
		if first.Port == 0 || last.Port < first.Port || last.HostPort < first.HostPort {
			t.Errorf("%q: from %s to %s", s, first, last)
		}
		if a := first.HostIP; a.Is4In6() || a.Zone() != "" {
			t.Errorf("%q: the host's address %s", s, a)
		}
		if again, err := parsePorts(first.String()); err != nil || len(again) != 1 || again[0] != first {
			t.Errorf("%q: %s is read as %s (error %v)", s, first, again, err)
		}
		if first.HostPort == 0 {
			return // ranges of these are told port by port
		}
		text := first.RangeString(uint16(len(ports)))
		if again, err := parsePorts(text); err != nil || !slices.Equal(again, ports) {
			t.Errorf("%q: %s is read as %s (error %v)", s, text, again, err)
		}
	})
}

// Each line of the input is a word.
func FuzzParseOptions(f *testing.F) {
	for _, s := range []string{
		"172.16.0.30 true", "-p 80:8000 -p 53:53/udp 172.16.0.30 nc -l -p 8000",
		"-bridge br7 -gateway 10.0.0.1/8 -hostname box -t=false 10.1.2.3 sh",
		"", "-", "--", "-- 172.16.0.30 true", "-h", "-p", "-t=x", "-gateway 0.0.0.0/0 1.2.3.4 x",
		"-gateway 255.255.255.254/30 255.255.255.253 x", "-gateway ::/0 :: x", "-bridge  172.16.0.30 x",
		"::ffff:172.16.0.30 x", "172.16.0.30%eth0 x", "172.16.0.255 x", "172.16.0.30/16 x", "172.16.0.127/25 x", "172.16.0.30/0 x",
		"-gateway 172.16.0.100/24,fd00:16::100/64 fd00:16::30,172.16.0.30 true", "-gateway fd00:16::100/64 fd00:16::30/48 true",
		"-gateway fd00:16::100/64 auto true", "auto true", "auto", "-p 80:80 -isolate -mtu 68 -mac 02:00:00:00:00:05 auto x",
		"-network none true", "-network host -w / true", "-network none -p 80:80 true", "-network bridge true", "-network x true",
		"-nat=false auto true", "-nat=false -p :80 auto true", "-p [::1]:80:80 -gateway fd00:16::100/64 auto x",
	} {
		f.Add(strings.ReplaceAll(s, " ", "\n"))
	}
	f.Fuzz(func(t *testing.T, s string) {
		o, err := parseOptions(strings.Split(s, "\n"))
		if err != nil {
			if err.Error() == "" {
				t.Errorf("%q: an error without words", s)
			}
			return
		}
		if o.network == bridged && o.auto != (len(o.addresses) == 0) || o.network != bridged && (o.auto || len(o.addresses)+len(o.ports) > 0) {
			t.Errorf("%q: addresses %s, ports %s, auto %t on the network %s", s, o.addresses, o.ports, o.auto, o.network)
		}
		for i, p := range o.addresses {
			a, g := p.Addr(), o.gateway(p.Addr())
			if !g.Contains(a) || a == g.Addr() || a == g.Masked().Addr() || !p.Contains(g.Addr()) || p.Bits() < 1 {
				t.Errorf("%q: address %s behind %s", s, p, g)
			}
			if a.Is4() && i > 0 || a.Is4In6() || a.Zone() != "" {
				t.Errorf("%q: addresses %s", s, o.addresses)
			}
		}
		for _, p := range o.ports {
			if v4, v6 := o.families(p); !v4 && !v6 {
				t.Errorf("%q: port %s is published in no family", s, p)
			}
		}
		if len(o.argv) == 0 || o.argv[0] == "" || o.bridge == "" || len(o.bridge) > rtnl.MaxName || o.hostname == "" {
			t.Errorf("%q: %+v", s, *o)
		}
	})
}

// An alias of ours is read as it was meant; nobody else's makes trouble.
func FuzzParseAlias(f *testing.F) {
	for _, s := range []string{
		"container 172.16.0.30 pid 4242 bash", "container 172.16.0.30 pid 4242 two words", "container 172.16.0.30 pid 4242 ",
		"container 172.16.0.30 pid 4242 \x00\x1b[31m\xff", "container ::1 pid 1 x", "container fe80::1%eth0 pid 1 x",
		"container 172.16.0.30,fd00:16::30 pid 4242 bash", "container-without-nat fd00:16::30 pid 4242 sleep 5",
		"container ,, pid 4242 bash", "container 172.16.0.30,, pid 4242 bash", "container 1.1.1.1,2.2.2.2,3.3.3.3 pid 1 x",
		"container 172.16.0.30 pid -1 bash", "container 172.16.0.30 pid 99999999999999999999 bash",
		"", "    ", bridgeAlias, "container 1.2.3.4 pid 1 " + strings.Repeat("ü", 200),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		w, ok := parseAlias(s)
		if !ok {
			return
		}
		if len(w.addresses) == 0 || w.pid <= 0 {
			t.Errorf("%q: %+v", s, w)
		}
		for _, a := range w.addresses {
			if !a.IsValid() {
				t.Errorf("%q: %+v", s, w)
			}
			if a.Zone() != "" || len(w.addresses) > 2 {
				return // none of ours, and perhaps of any length
			}
		}
		alias := w.alias()
		if len(alias) > rtnl.MaxAlias || !utf8.ValidString(alias) {
			t.Errorf("%q: an alias of %d bytes: %q", s, len(alias), alias)
		}
		if again, ok := parseAlias(alias); !ok || !slices.Equal(again.addresses, w.addresses) || again.nat != w.nat || again.pid != w.pid {
			t.Errorf("%q: %q is read as %+v, %t", s, alias, again, ok)
		}
	})
}

// Whatever ADDRESS takes, it prints, and takes again.
func FuzzParseAddresses(f *testing.F) {
	for _, s := range []string{
		"172.16.0.30", "fd00:16::30", "172.16.0.30,fd00:16::30", "fd00:16::30,172.16.0.30", "172.16.0.30/16", "fd00:16::30/64,172.16.0.30/0",
		"", ",", "172.16.0.30,", ",fd00:16::30", "172.16.0.30,172.16.0.31", "fd00::1,fd00::2", "1.1.1.1,::1,2.2.2.2", "auto", "172.16.0.30/",
		"172.16.0.30/33", "172.16.0.30/-1", "172.16.0.30/024", "::ffff:172.16.0.30", "::ffff:172.16.0.30/120", "fe80::1%eth0", "fe80::1%eth0/64",
		"172.16.0.30, fd00:16::30", "FD00::1", "0.0.0.0", "::", "1.2.3.4/24/24", "[fd00::1]",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		all, err := parseAddresses(s)
		if err != nil {
			if err.Error() == "" {
				t.Errorf("%q: an error without words", s)
			}
			return
		}
		if len(all) == 0 || len(all) > 2 || len(all) == 2 && (!all[0].Addr().Is4() || !all[1].Addr().Is6()) {
			t.Fatalf("%q: %s", s, all)
		}
		words := make([]string, len(all))
		for i, p := range all {
			if a := p.Addr(); !a.IsValid() || a.Is4In6() || a.Zone() != "" || p.Bits() > a.BitLen() {
				t.Errorf("%q: %s", s, p)
			}
			words[i] = p.String()
			if p.Bits() < 0 {
				words[i] = p.Addr().String()
			}
		}
		text := strings.Join(words, ",")
		if again, err := parseAddresses(text); err != nil || !slices.Equal(again, all) {
			t.Errorf("%q: %s is read as %s (error %v)", s, text, again, err)
		}
		if again, err := parseAddresses(joined(addrs(all))); err != nil || !slices.Equal(addrs(again), addrs(all)) {
			t.Errorf("%q: %s is read as %s (error %v)", s, joined(addrs(all)), again, err)
		}
	})
}

// What is found is a word of the file.
func FuzzFindSocket(f *testing.F) {
	for _, s := range []string{
		procNet(), procNet(procAddr("0.0.0.0")+" 0050 0A 8", procAddr("10.0.0.1")+" 0050 07 9"),
		procNet(strings.Repeat("0", 32) + " 0050 0A 8"), procNet("10 0050 0A 8"), procNet("Z 0050 0A 8"),
		"", "\n\n", "1 2 3 0A", "0: :0050 x 0A 4 5 6 7 8 9", "0: 0 x 0A 4 5 6 7 8 9", strings.Repeat("x", 1<<17),
	} {
		f.Add(s, "80:80")
		f.Add(s, "10.0.0.1:80:80/udp")
		f.Add(s, "[fd00::1]:80:80")
	}
	f.Fuzz(func(t *testing.T, text, port string) {
		p := nat.Port{HostPort: 80}
		if ports, err := parsePorts(port); err == nil {
			p = ports[0]
		}
		if got := findSocket(text, p); got != "" && !slices.Contains(strings.Fields(text), got) {
			t.Errorf("got the inode %q, which is none of the words of %q", got, text)
		}
	})
}
