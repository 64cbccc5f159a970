//go:build linux

package main

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"container/rtnl"
)

func TestAlias(t *testing.T) {
	w := occupant{netip.MustParseAddr("172.16.0.30"), 4242, "bash"}
	if got, want := w.alias(), "container 172.16.0.30 pid 4242 bash"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// An alias says the same when it is read again, whatever the command's name;
// but what could not be printed, or would be too long, is lost.
func TestAliasRoundTrip(t *testing.T) {
	room := rtnl.MaxAlias - len("container 172.16.0.30 pid 4242 ")
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
		w := occupant{netip.MustParseAddr("172.16.0.30"), 4242, command}
		alias := w.alias()
		if len(alias) > rtnl.MaxAlias || !utf8.ValidString(alias) {
			t.Errorf("%.40q: an alias of %d bytes: %q", command, len(alias), alias)
		}
		got, ok := parseAlias(alias)
		if !ok || got.address != w.address || got.pid != w.pid || got.command != want {
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
		"container 172.16.0.30 PID 4242 bash",
		"Container 172.16.0.30 pid 4242 bash",
		" container 172.16.0.30 pid 4242 bash",
	} {
		if w, ok := parseAlias(s); ok {
			t.Errorf("%q is taken for an alias of ours: %+v", s, w)
		}
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
	got := describe(rtnl.Link{Name: "veth1f3a"}, occupant{pid: 4242, command: "bash"})
	if want := "veth1f3a (pid 4242, bash)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
