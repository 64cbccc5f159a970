//go:build linux

package rtnl_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"container/integration/need"
)

// TestCmdDoes runs each request's Cmd with the real ip(8) in one world, sends
// the request in another, and compares what ip lists in both:
//
//	    world a                       world b
//	setup by ip                   setup by ip
//	sh -c request.Cmd             Conn.Do(request)
//	ip -d -j link, addr, route == ip -d -j link, addr, route
//
// Both are also compared with what there was before: a request and a Cmd that
// both do nothing are alike too.
func TestCmdDoes(t *testing.T) {
	for _, d := range deeds {
		t.Run(d.name, func(t *testing.T) {
			if d.writes {
				need.Tool(t, "sysctl")
			}
			a, b := newWorld(t, d.setup), newWorld(t, d.setup)
			before := b.state(t, d.probe)

			cmd := d.req(t, a).Cmd
			a.sh(t, cmd)
			b.do(t, d.req(t, b))

			byCmd, byRequest := a.state(t, d.probe), b.state(t, d.probe)
			if diff := cmp.Diff(byCmd, byRequest); diff != "" {
				t.Errorf("%s (-by ip +by the request):\n%s", cmd, diff)
			}
			if cmp.Equal(before, byRequest) {
				t.Error("nothing has changed")
			}
		})
	}
}

// state is what ip(8) tells of a world and its peer, and what probe writes.
func (w world) state(t *testing.T, probe string) map[string]any {
	t.Helper()
	state := make(map[string]any)
	for name, ns := range map[string]netns{"host": w.netns, "container": w.peer} {
		for _, line := range []string{
			"ip -d -j link show",
			"ip -j addr show",
			"ip -j -4 route show table all",
			"ip -j -6 route show table all",
		} {
			var v any
			if out := ns.sh(t, line); len(strings.TrimSpace(string(out))) != 0 {
				if err := json.Unmarshal(out, &v); err != nil {
					t.Fatalf("%s: %v\n%s", line, err, out)
				}
			}
			state[name+": "+line] = steady(v)
		}
	}
	if probe != "" {
		state[probe] = strings.Split(string(w.sh(t, probe)), "\n")
	}
	return state
}

// unsteady are the keys of what differs between two worlds that are alike.
var unsteady = []string{
	// The kernel numbers links and namespaces as they come.
	"ifindex", "link_index", "link_netnsid",

	// That a link has a carrier or has it no more, the kernel works out a
	// little later (net/core/link_watch.c), and all of these follow.
	"operstate", "state", "linkdown",

	// The random hardware address that a veth has had at first.
	"permaddr",
}

// steady is what ip(8) tells, less what is unsteady.
func steady(v any) any {
	switch v := v.(type) {
	case []any:
		var kept []any
		for _, e := range v {
			if !late(e) {
				kept = append(kept, steady(e))
			}
		}
		return kept
	case map[string]any:
		kept := make(map[string]any)
		for key, e := range v {
			switch {
			case slices.Contains(unsteady, key), strings.HasSuffix(key, "_timer"):
			case key == "address" && random(e):
				kept[key] = "random"
			default:
				kept[key] = steady(e)
			}
		}
		return kept
	}
	return v
}

// late tells whether an element of a list is there only some time after: a
// flag that follows the carrier, or the route to an IPv6 address of one's own,
// which has a work queue too (addrconf_dad_work, net/ipv6/addrconf.c).
func late(e any) bool {
	switch e := e.(type) {
	case string:
		return slices.Contains([]string{"NO-CARRIER", "LOWER_UP", "M-DOWN", "linkdown"}, e)
	case map[string]any:
		dst, _ := e["dst"].(string)
		return e["type"] == "local" && strings.Contains(dst, ":")
	}
	return false
}

// random tells whether a hardware address is one that the kernel chose.
func random(address any) bool {
	s, ok := address.(string)
	return ok && s != "00:00:00:00:00:00" && !strings.HasPrefix(s, "02:00:5e:")
}
