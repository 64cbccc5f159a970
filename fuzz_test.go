//go:build linux

package main

import (
	"bufio"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"container/nat"
	"container/rtnl"
)

// Whatever -p takes, it prints, and takes again.
func FuzzParsePort(f *testing.F) {
	for _, s := range []string{
		"80:8000", "80:8000/tcp", "53:53/udp", "9:9/sctp", "127.0.0.1:80:8000", "0.0.0.0:1:65535",
		"", ":", "::", ":::", "/", "80", "80:", ":80", "0:80", "65536:1", "+1:1", "1:1/", "1:1/tcp/udp",
		"[::1]:80:80", "::1:80:80", "a:b:c", "080:0080", "1_0:10", "0x50:80", " 80:80", "80:80\n", "٣:٣",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePort(s)
		if err != nil {
			return
		}
		if p.HostPort == 0 || p.Port == 0 {
			t.Errorf("%q: a port 0 in %s", s, p)
		}
		if p.HostIP.IsValid() && (!p.HostIP.Is4() || p.HostIP.IsUnspecified()) {
			t.Errorf("%q: the host's address %s", s, p.HostIP)
		}
		if again, err := parsePort(p.String()); err != nil || again != p {
			t.Errorf("%q: %s is read as %s (error %v)", s, p, again, err)
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
		"::ffff:172.16.0.30 x", "172.16.0.30%eth0 x", "172.16.0.255 x",
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
		if !o.address.Is4() || !o.gateway.Contains(o.address) || o.address == o.gateway.Addr() || o.address == o.gateway.Masked().Addr() {
			t.Errorf("%q: address %s behind %s", s, o.address, o.gateway)
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
		if !w.address.IsValid() || w.pid <= 0 {
			t.Errorf("%q: %+v", s, w)
		}
		if !w.address.Is4() {
			return // an address with a zone could be of any length
		}
		alias := w.alias()
		if len(alias) > rtnl.MaxAlias || !utf8.ValidString(alias) {
			t.Errorf("%q: an alias of %d bytes: %q", s, len(alias), alias)
		}
		if again, ok := parseAlias(alias); !ok || again.address != w.address || again.pid != w.pid {
			t.Errorf("%q: %q is read as %+v, %t", s, alias, again, ok)
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
	}
	f.Fuzz(func(t *testing.T, text, port string) {
		p, err := parsePort(port)
		if err != nil {
			p = nat.Port{HostPort: 80}
		}
		if got := findSocket(bufio.NewScanner(strings.NewReader(text)), p); got != "" && !slices.Contains(strings.Fields(text), got) {
			t.Errorf("got the inode %q, which is none of the words of %q", got, text)
		}
	})
}
