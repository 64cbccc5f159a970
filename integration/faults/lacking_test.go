//go:build linux && (amd64 || arm64)

package faults

import (
	"strings"
	"testing"

	"container/integration/need"
)

// Without a part of the kernel that it takes, a run says which, and leaves the
// host as it was; or it does without.
func TestLacking(t *testing.T) {
	need.Root(t)
	const port = "8080:8000"
	for _, c := range []struct {
		name  string
		flags []string
		want  string // in the error; "" if it runs
		after []string
	}{
		{"bridge", nil, "CONFIG_BRIDGE, module bridge", nil},
		{"veth", nil, "CONFIG_VETH, module veth", nil},
		{"masq", nil, "CONFIG_NFT_MASQ", nil},
		{"ct", nil, "CONFIG_NFT_CT", nil},
		{"fib", nil, "", nil},
		{"nat", nil, "", nil},
		{"reject", nil, "", nil},
		{"fib", []string{"-p", port}, "CONFIG_NFT_FIB, CONFIG_NFT_FIB_IPV4, module nft_fib_ipv4; only -p takes it", nil},
		{"nat", []string{"-p", port}, "CONFIG_NFT_NAT, module nft_nat; only -p takes it", nil},
		{"reject", []string{"-p", port}, "", nil},
		{"fib", []string{"-gateway", "172.16.0.100/24,fd00:16::100/64", "-p", port}, "CONFIG_NFT_FIB", nil},
		// What was there before stays.
		{"fib", []string{"-p", port}, "", []string{address, "true"}},
		{"masq", nil, "", []string{"-p", port, address, "true"}},
	} {
		t.Run(strings.Join(append([]string{c.name}, c.flags...), " "), func(t *testing.T) {
			t.Parallel()
			h := newHost(t, scenario{})
			rules := ""
			if c.after != nil {
				if err := h.main(append([]string{"-rootfs", h.tree}, c.after...)...); err != nil {
					t.Fatal(err)
				}
				rules = h.node.Ruleset()
			}
			to := []string{"-rootfs", h.tree, address, "true"}
			if strings.Contains(strings.Join(c.flags, " "), "fd00:") {
				to[2] += ",fd00:16::30"
			}
			o, err := h.trace(&Fault{deed: lack, name: c.name}, append(c.flags, to...)...)
			if err != nil {
				t.Fatal(err)
			}
			status := o.status.ExitStatus()
			switch {
			case o.hung:
				t.Error("it hangs")
			case !o.reached && c.after == nil:
				t.Errorf("the kernel was never asked for %s", c.name)
			case c.want == "" && (status != 0 || o.stderr != ""), c.want != "" && (status != 125 || !strings.Contains(o.stderr, c.want) || strings.Count(o.stderr, "\n") != 1):
				t.Errorf("status %s, error %q, want %q in it", words(o.status), o.stderr, c.want)
			}
			if err := h.noVethSoon(); err != nil {
				t.Error(err)
			}
			if c.after != nil {
				if now := h.node.Ruleset(); now != rules {
					t.Errorf("the ruleset is\n%s\nand was\n%s", now, rules)
				}
				return
			}
			if c.want == "" {
				if err := h.main("down"); err != nil {
					t.Error(err)
				}
			}
			if err := h.same(o); err != nil {
				t.Error(err)
			}
		})
	}
}
