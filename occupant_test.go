//go:build linux

package main

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"container/rtnl"
)

func TestAlias(t *testing.T) {
	for want, w := range map[string]occupant{
		"container 172.16.0.30 pid 4242 bash":             {addrList("172.16.0.30"), 4242, "bash", true},
		"container fd00:16::30 pid 1 sleep 5":             {addrList("fd00:16::30"), 1, "sleep 5", true},
		"container 172.16.0.30,fd00:16::30 pid 4242 bash": {addrList("172.16.0.30,fd00:16::30"), 4242, "bash", true},
		"container-without-nat 172.16.0.30 pid 4242 bash": {addrList("172.16.0.30"), 4242, "bash", false},
	} {
		if got := w.alias(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got, ok := parseAlias(want); !ok || !reflect.DeepEqual(got, w) {
			t.Errorf("%q is read as %+v, %t; want %+v", want, got, ok, w)
		}
	}
}

// An alias says the same when it is read again, whatever the command's name;
// but what could not be printed, or would be too long, is lost.
func TestAliasRoundTrip(t *testing.T) {
	const before = "container 172.16.0.30,fd00:16::30 pid 4242 "
	const room = rtnl.MaxAlias - len(before)
	for command, want := range map[string]string{
		"bash":                          "bash",
		"two words  and more ":          "two words  and more ",
		"":                              "",
		"größe":                         "größe",
		"a\nb\x00c\x1b[31m":             "a?b?c?[31m",
		"broken \xff\xfe utf-8":         "broken \ufffd\ufffd utf-8",
		strings.Repeat("x", room):       strings.Repeat("x", room),
		strings.Repeat("x", 4096):       strings.Repeat("x", room),
		strings.Repeat("ü", 4096):       strings.Repeat("ü", room/2),
		"x" + strings.Repeat("€", 4096): "x" + strings.Repeat("€", (room-1)/3),
	} {
		w := occupant{addrList("172.16.0.30,fd00:16::30"), 4242, command, true}
		alias := w.alias()
		if len(alias) > rtnl.MaxAlias || !utf8.ValidString(alias) {
			t.Errorf("%.40q: an alias of %d bytes: %q", command, len(alias), alias)
		}
		got, ok := parseAlias(alias)
		if !ok || !slices.Equal(got.addresses, w.addresses) || !got.nat || got.pid != w.pid || got.command != want {
			t.Errorf("%.40q:\n got %+v, %t\nwant %q", command, got, ok, want)
		}
	}
}

func TestParseAliasRefuses(t *testing.T) {
	for _, s := range []string{
		"", "container", bridgeAlias, "uplink to the office",
		"container 172.16.0.30 pid 4242",
		"container 172.16.0.30 pid 0 bash",
		"container 172.16.0.30 pid -1 bash",
		"container 172.16.0.30 pid 99999999999999999999 bash",
		"container 172.16.0.30 pid x bash",
		"container 172.16.0.300 pid 4242 bash",
		"container  pid 4242 bash",
		"container 172.16.0.30, pid 4242 bash",
		"container ,fd00:16::30 pid 4242 bash",
		"container 172.16.0.30, fd00:16::30 pid 4242 bash",
		"container 172.16.0.30/24 pid 4242 bash",
		"container-without-nat 172.16.0.30 pid 4242",
		"container-without 172.16.0.30 pid 4242 bash",
		"container 172.16.0.30 PID 4242 bash",
		"Container 172.16.0.30 pid 4242 bash",
		" container 172.16.0.30 pid 4242 bash",
	} {
		if w, ok := parseAlias(s); ok {
			t.Errorf("%q is taken for an alias of ours: %+v", s, w)
		}
	}
}

// An address of several is the container's as each is.
func TestOccupantHas(t *testing.T) {
	w := occupant{addresses: addrList("172.16.0.30,fd00:16::30")}
	for a, want := range map[string]bool{"172.16.0.30": true, "fd00:16::30": true, "172.16.0.3": false, "::ffff:172.16.0.30": false} {
		if got := w.has(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: got %t, want %t", a, got, want)
		}
	}
}

func TestAddressInUse(t *testing.T) {
	err := fmt.Errorf("a run: %w", &addressInUse{netip.MustParseAddr("172.16.0.30"), "veth1f3a (pid 4242, bash)"})
	if want := "a run: address 172.16.0.30 is in use by veth1f3a (pid 4242, bash)"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	var who *addressInUse
	if !errors.As(err, &who) || who.address.String() != "172.16.0.30" {
		t.Error("it is not told from other errors")
	}
}

// Names are unique to the run, and fit.
func TestVethName(t *testing.T) {
	form := regexp.MustCompile(`^veth[0-9a-f]{8}$`)
	seen := make(map[string]bool)
	for range 100 {
		name := vethName()
		if !form.MatchString(name) || len(name) > rtnl.MaxName {
			t.Fatalf("the name %q", name)
		}
		if seen[name] {
			t.Fatalf("the name %s twice in 100", name)
		}
		seen[name] = true
	}
}

func TestDescribe(t *testing.T) {
	for command, want := range map[string]string{
		"bash":                      "veth1f3a (pid 4242, bash)",
		"sleep 1000":                "veth1f3a (pid 4242, sleep)",
		"/usr/bin/nginx -g a/b":     "veth1f3a (pid 4242, nginx)",
		"/opt/x/serve --root /srv/": "veth1f3a (pid 4242, serve)",
	} {
		if got := describe(rtnl.Link{Name: "veth1f3a"}, occupant{pid: 4242, command: command}); got != want {
			t.Errorf("%s: got %q, want %q", command, got, want)
		}
	}
}
