//go:build linux

package nat

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"container/integration/need"
	"container/nl"
)

// The command that a request names makes the same change.
func TestGateCommands(t *testing.T) {
	need.Root(t)
	const text = `
		table ip a { chain f { type filter hook forward priority 0; policy drop; } }
		table inet b { chain f { type filter hook forward priority 0; reject; } }`
	var opened, closed string
	t.Run("messages", func(t *testing.T) {
		netns(t)
		load(t, text)
		open(t, "br0")
		opened = rulesetJSON(t)
		closeAll(t)
		closed = rulesetJSON(t)
	})
	t.Run("commands", func(t *testing.T) {
		netns(t)
		load(t, text)
		for _, g := range gates(t, "br0") {
			run(t, "sh", "-c", g.Remedy()) // which is the requests' commands
		}
		same(t, "the ruleset", rulesetJSON(t), opened)
		all, err := Opened(dial(t))
		check(t, err)
		for _, o := range all {
			run(t, "sh", "-c", o.Close().Cmd)
		}
		same(t, "the ruleset", rulesetJSON(t), closed)
	})
}

// What iptables-nft shows of chains of its own, as ufw makes them, after they
// were opened; and that it can save and restore, check and delete the rules.
func TestGateOfIPTables(t *testing.T) {
	for tool, end := range map[string]string{"iptables-nft": "icmp-port-unreachable", "ip6tables-nft": "icmp6-port-unreachable"} {
		t.Run(tool, func(t *testing.T) {
			need.Tool(t, tool)
			netns(t)
			for _, args := range []string{
				"-P FORWARD DROP",
				"-N ufw-before-forward",
				"-N ufw-reject-forward",
				"-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
				"-A ufw-before-forward -p tcp --dport 22 -j ACCEPT",
				"-A FORWARD -j ufw-before-forward",
				"-A FORWARD -m limit --limit 3/min -j LOG",
				"-A FORWARD -j ufw-reject-forward",
			} {
				run(t, tool, strings.Fields(args)...)
			}
			show := func() string { t.Helper(); return run(t, tool, "-S", "FORWARD") }
			const ours = `-A FORWARD -i br0 -m comment --comment "container: br0" -j ACCEPT
-A FORWARD -o br0 -m comment --comment "container: br0" -j ACCEPT
`
			empty := show()
			open(t, "br0")
			same(t, "with a policy", show(), empty+ours)

			closeAll(t)
			same(t, "closed again", show(), empty)

			// As when ufw is to reject by default.
			run(t, tool, "-A", "ufw-reject-forward", "-j", "REJECT")
			open(t, "br0")
			const last = "-A FORWARD -j ufw-reject-forward\n"
			want := strings.ReplaceAll(empty, last, ours+last)
			same(t, "with a chain that rejects", show(), want)
			closeAll(t)

			run(t, tool, "-F", "ufw-reject-forward")
			run(t, tool, "-A", "FORWARD", "-j", "REJECT")
			open(t, "br0")
			reject := "-A FORWARD -j REJECT --reject-with " + end + "\n"
			want = empty + ours + reject
			same(t, "with a rule that rejects", show(), want)

			// Restored, they have iptables' own form.
			feed(t, run(t, tool+"-save"), tool+"-restore")
			same(t, "restored", show(), want)
			open(t, "br0")
			same(t, "restored, and opened again", show(), want)
			closeAll(t)
			same(t, "restored, and closed", show(), empty+reject)

			open(t, "br0")
			for _, side := range []string{"-i", "-o"} {
				rule := []string{"FORWARD", side, "br0", "-m", "comment", "--comment", "container: br0", "-j", "ACCEPT"}
				run(t, tool, append([]string{"-C"}, rule...)...)
				run(t, tool, append([]string{"-D"}, rule...)...)
			}
			same(t, "deleted by "+tool, show(), empty+reject)
		})
	}
}

// A table of a socket's own, as firewalld's is from 2.1 on, can be looked at
// and not changed.
func TestGateOfAnOwner(t *testing.T) {
	for table, want := range map[string]string{
		"firewalld": "firewall-cmd --zone=trusted --add-interface=br0",
		"other":     `process %d must accept iifname "br0" and oifname "br0" in chain inet other f`,
	} {
		t.Run(table, func(t *testing.T) {
			netns(t)
			owner := dial(t)
			reqs := []nl.Request{
				{
					Type: message(unix.NFT_MSG_NEWTABLE), Flags: add, What: "a table with an owner",
					Data: body(unix.NFPROTO_INET, 0, func(ae *netlink.AttributeEncoder) {
						ae.String(unix.NFTA_TABLE_NAME, table)
						ae.Uint32(unix.NFTA_TABLE_FLAGS, 2) // NFT_TABLE_F_OWNER
					}),
				},
				{
					Type: message(unix.NFT_MSG_NEWCHAIN), Flags: add, What: "its chain",
					Data: body(unix.NFPROTO_INET, 0, func(ae *netlink.AttributeEncoder) {
						ae.String(unix.NFTA_CHAIN_TABLE, table)
						ae.String(unix.NFTA_CHAIN_NAME, "f")
						nested(ae, unix.NFTA_CHAIN_HOOK, func(ae *netlink.AttributeEncoder) {
							ae.Uint32(unix.NFTA_HOOK_HOOKNUM, unix.NF_INET_FORWARD)
							ae.Uint32(unix.NFTA_HOOK_PRIORITY, 10)
						})
						ae.Uint32(unix.NFTA_CHAIN_POLICY, 0) // NF_DROP
						ae.String(unix.NFTA_CHAIN_TYPE, "filter")
					}),
				},
			}
			if err := Commit(owner, reqs); err != nil {
				t.Fatal(err)
			}
			name, err := unix.Getsockname(owner.FD())
			check(t, err)
			id := name.(*unix.SockaddrNetlink).Pid

			all := gates(t, "br0")
			if len(all) != 1 || all[0].Owner != id {
				t.Fatalf("got the gates %+v, want one with the owner %d", all, id)
			}
			if strings.Contains(want, "%d") {
				want = fmt.Sprintf(want, id)
			}
			if got := all[0].Remedy(); got != want {
				t.Errorf("got the remedy %q, want %q", got, want)
			}
			err = refuse(t, unix.EPERM, all[0].Open())
			if want := "operation not permitted (the table has an owner: " + want + ")"; !strings.HasSuffix(err.Error(), want) {
				t.Errorf("got the error %q, want %q at its end", err, want)
			}
		})
	}
}

// What was found is gone, or another, when it is to be changed.
func TestGateIsGone(t *testing.T) {
	netns(t)
	const text = `table inet fw { chain f { type filter hook forward priority 0; drop; } }`
	load(t, text)
	gen, err := Generation(dial(t))
	check(t, err)
	g := gates(t, "br0")
	if len(g) != 1 {
		t.Fatalf("got the gates %s, want one", g)
	}
	run(t, "nft", "flush", "chain", "inet", "fw", "f")
	refuse(t, unix.ENOENT, g[0].Open()) // the rule at the position
	run(t, "nft", "delete", "table", "inet", "fw")
	refuse(t, unix.ENOENT, g[0].Open())

	load(t, text)
	g = gates(t, "br0")
	if err := dial(t).Do(BatchAt(gen, g[0].Open())...); !errors.Is(err, unix.ERESTART) {
		t.Errorf("got the error %v, want %v", err, unix.ERESTART)
	}
	gen, err = Generation(dial(t))
	check(t, err)
	check(t, dial(t).Do(BatchAt(gen, g[0].Open())...))
	same(t, "the chain", chainLines(t, "inet fw f"), fromBr0+"\n"+toBr0+"\ndrop")
}

// An opened gate lets packets pass, and a closed one doesn't:
//
//	client 192.0.2.1 ── c0  this namespace  br0 ── server 198.51.100.1
//
// The firewall answers what it refuses, so nobody waits for what doesn't come.
func TestGateLetsPass(t *testing.T) {
	netns(t)
	client, server := another(t), another(t)
	for _, args := range []string{
		"link add c0 type veth peer name c1 netns " + client.thread,
		"link add br0 type bridge",
		"link add s0 type veth peer name s1 netns " + server.thread,
		"link set s0 master br0",
		"address add 192.0.2.2/24 dev c0",
		"address add 198.51.100.2/24 dev br0",
		"link set c0 up", "link set s0 up", "link set br0 up",
	} {
		run(t, "ip", strings.Fields(args)...)
	}
	run(t, "sysctl", "-qw", "net.ipv4.ip_forward=1")
	var l net.Listener
	server.do(func() {
		for _, args := range []string{"address add 198.51.100.1/24 dev s1", "link set s1 up", "route add default via 198.51.100.2"} {
			run(t, "ip", strings.Fields(args)...)
		}
		var err error
		l, err = net.Listen("tcp4", "198.51.100.1:8000")
		check(t, err)
	})
	defer l.Close()
	client.do(func() {
		for _, args := range []string{"address add 192.0.2.1/24 dev c1", "link set c1 up", "route add default via 192.0.2.2"} {
			run(t, "ip", strings.Fields(args)...)
		}
	})
	call := func() (err error) {
		client.do(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			var c net.Conn
			if c, err = new(net.Dialer).DialContext(ctx, "tcp4", "198.51.100.1:8000"); err == nil {
				err = c.Close()
			}
		})
		return err
	}
	load(t, `table inet fw { chain r { reject with icmpx port-unreachable; }
		chain f { type filter hook forward priority 0; policy accept; jump r; } }`)
	if err := call(); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("got the error %v from a closed gate, want %v", err, syscall.ECONNREFUSED)
	}
	open(t, "br0")
	if err := call(); err != nil {
		t.Errorf("the gate is open: %v", err)
	}
	closeAll(t)
	if err := call(); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got the error %v from a closed gate, want %v", err, syscall.ECONNREFUSED)
	}
}

// namespace is another network namespace, and a thread in there.
type namespace struct {
	thread string
	work   chan func()
}

func another(t *testing.T) namespace {
	t.Helper()
	n := namespace{work: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: see netns
		err := unix.Unshare(unix.CLONE_NEWNET)
		n.thread = fmt.Sprint(unix.Gettid())
		ready <- err
		for f := range n.work {
			f()
		}
	}()
	check(t, <-ready)
	t.Cleanup(func() { close(n.work) })
	return n
}

// do runs f in the namespace and waits for it. A failure that ends f's
// goroutine ends the thread, and with it the test.
func (n namespace) do(f func()) {
	done := make(chan struct{})
	n.work <- func() { defer close(done); f() }
	<-done
}
