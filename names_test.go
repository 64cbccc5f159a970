//go:build linux

package main

import (
	"net/netip"
	"slices"
	"testing"
)

func TestParseResolvConf(t *testing.T) {
	const file = "# a comment\nsearch example.org\nnameserver 127.0.0.53\nnameserver 10.0.0.1\n  nameserver\tfe80::1%eth0\nnameserver ::1\nnameserver 0.0.0.0\nnameserver nonsense\noptions edns0\n"
	servers, others := parseResolvConf([]byte(file))
	if want := []string{"10.0.0.1", "fe80::1%eth0"}; !slices.Equal(servers, want) {
		t.Errorf("nameservers %q, want %q", servers, want)
	}
	if want := "# a comment\nsearch example.org\noptions edns0\n"; string(others) != want {
		t.Errorf("the rest is %q, want %q", others, want)
	}
}

// -dns is all that is asked then.
func TestResolvConfGiven(t *testing.T) {
	got, err := resolvConf([]netip.Addr{netip.MustParseAddr("10.0.0.53"), netip.MustParseAddr("fd00::53")})
	if want := "nameserver 10.0.0.53\nnameserver fd00::53\n"; err != nil || string(got) != want {
		t.Errorf("got %q (error %v), want %q", got, err, want)
	}
}

func TestHosts(t *testing.T) {
	const local = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
	for addresses, want := range map[string]string{
		"":                        local,
		"172.16.0.30":             local + "172.16.0.30\tbox\n",
		"fd00:16::30":             local + "fd00:16::30\tbox\n",
		"172.16.0.30,fd00:16::30": local + "172.16.0.30\tbox\nfd00:16::30\tbox\n",
	} {
		if got := string(hosts(addrList(addresses), "box")); got != want {
			t.Errorf("%q: got %q, want %q", addresses, got, want)
		}
	}
}

func TestParseVolume(t *testing.T) {
	for s, want := range map[string]volume{
		"/a:/b":     {source: "/a", target: "/b"},
		"a:/b/../c": {source: "a", target: "/c"},
		"/a:/b/:ro": {source: "/a", target: "/b", readOnly: true},
		"/a:/b:rw":  {source: "/a", target: "/b"},
	} {
		if v, err := parseVolume(s); err != nil || v != want {
			t.Errorf("-v %s: got %+v (error %v), want %+v", s, v, err, want)
		}
	}
	for _, s := range []string{"", "/a", "/a:", ":/b", "/a:b", "/a:/", "/a:/b/..", "/a:/b:rx", "/a:/b:ro:ro"} {
		if v, err := parseVolume(s); err == nil {
			t.Errorf("-v %s: got %+v and no error", s, v)
		}
	}
}

func FuzzParseResolvConf(f *testing.F) {
	f.Add([]byte("nameserver 127.0.0.53\nnameserver 10.0.0.1\n"))
	f.Add([]byte("nameserver \nnameserver"))
	f.Fuzz(func(t *testing.T, b []byte) {
		servers, _ := parseResolvConf(b)
		for _, s := range servers {
			if a, err := netip.ParseAddr(s); err != nil || a.IsLoopback() {
				t.Errorf("%q is asked for names", s)
			}
		}
	})
}

func FuzzParseVolume(f *testing.F) {
	for _, s := range []string{"/a:/b", "/a:/b:ro", "a:/b/..", ":::", "/a:/b/../../c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := parseVolume(s)
		if err == nil && (v.source == "" || v.target == "/" || v.target[0] != '/') {
			t.Errorf("-v %q: got %+v", s, v)
		}
	})
}
