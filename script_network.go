//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"

	"container/nat"
	"container/rtnl"
)

// choosePorts gives each port that is to be chosen a number that none of the
// others has, which the script puts its own choice for.
func (s *sketch) choosePorts() {
	taken := map[uint16]bool{0: true}
	for _, p := range s.o.ports {
		taken[p.HostPort] = true
	}
	var pairs replacer
	next := uint16(65535)
	s.o.ports = slices.Clone(s.o.ports)
	for i := range s.o.ports {
		p := &s.o.ports[i]
		if p.HostPort != 0 {
			continue
		}
		for taken[next] {
			next--
		}
		taken[next] = true
		p.HostPort = next
		s.chosen = append(s.chosen, *p)
		// The host's port stands last in a key.
		pairs = append(pairs, fmt.Sprintf(" . %d : ", next), fmt.Sprintf(" . $port%d : ", len(s.chosen)))
	}
	s.free = pairs
}

// bridge is what findBridge does.
func (s *sketch) bridge() {
	o, br := s.o, word(s.o.bridge)
	gateways := s.claim.Networks
	s.function("bridge", `The bridge is the switch that the containers are plugged into. Its own address is their gateway. It
has a hardware address of its own, for otherwise it would change with every port that comes and goes;
made of its address, so that the neighbours' ARP entries last when it is made anew.`, func() {
		for _, a := range s.claim.Addresses {
			s.linef(`[ -z "$(ip -o addr show to %s)" ] || die "address %s is the host's own"`, a, a)
		}
		s.linef("if ! ip link show dev %s >/dev/null 2>&1; then", br)
		s.indent += "    "
		s.do("", newBridge(br, o.gateways))
		s.do("", rtnl.SetAlias(br, bridgeAlias))
		s.comment("A published port is to be reached at 127.0.0.1 too. What else this lets through, the\nruleset's chains prerouting and input drop.")
		s.line(sysctl(routeLocalnet(o.bridge), "1"))
		s.indent = "    "
		s.line("fi")
		for _, g := range gateways {
			s.linef(`if [ -z "$(ip -o addr show dev %s to %s)" ]; then`, br, g.Addr())
			s.indent += "    "
			s.linef(`ip link show dev %s | grep -q 'alias %s' ||`, br, bridgeAlias)
			s.linef(`    die "bridge %s has not the address %s, and somebody else made it"`, inQuotes(o.bridge), g)
			if g.Addr().Is6() {
				s.comment("The host takes no routes from its containers.")
				s.line(sysctl(acceptRA(o.bridge), "0"))
			}
			s.do("", rtnl.Address(0, br, g))
			if g.Addr().Is6() {
				s.comment("The kernel asks for IPv6 neighbours from a link-local address. This one is in use at once.")
				s.line(rtnl.Address(0, br, bridgeLinkLocal).Cmd + " 2>/dev/null || :")
			}
			s.indent = "    "
			s.line("fi")
		}
	})
}

// ruleset is the tables.
func (s *sketch) ruleset() {
	s.function("ruleset", `The rules are the same for every container, and there are few: what a container adds is elements of
the sets and maps, so ten thousand published ports cost a packet no more than one. In the tables ip
and ip6: chain prerouting leads what comes to a published port to its container, output does so for
the host itself; postrouting gives what leaves for the world the host's address; forward lets in
what is published and nothing else; cut answers who goes on writing to a container that is gone.
(main does without cut where the kernel can't.) Table bridge looks at each frame that a container
sends, and drops what has an address that is not the container's. Each table is one transaction.`, func() {
		for _, f := range s.claim.Families() {
			s.transaction(fmt.Sprintf("nft list table %s %s >/dev/null 2>&1 || ", f, nat.Table), s.free, append(f.Ruleset(), f.Optional()...))
		}
	})
}

// connect is what attach does: the host's side of the container's network.
func (s *sketch) connect() {
	o, br := s.o, word(s.o.bridge)
	s.function("connect", `The container waits; from outside it gets its network. This ends with it, if it fails.`, func() {
		s.line(`read -r pid || die "the container ended early"
connected=
trap '[ -n "$connected" ] || { kill -KILL "$pid" 2>/dev/null || :; exit 125; }' EXIT
in="nsenter --target $pid --net"
`)
		s.comment("Addresses and routes are given to the container, not taken from routers.")
		s.linef("if [ -e /proc/sys/net/ipv6 ]; then\n    $in %s", sysctl("net/ipv6/conf/default/accept_ra", "0"))
		if o.hasIPv6() {
			s.comment("    It tells its neighbours when it has an address.")
			s.line("    $in " + sysctl("net/ipv6/conf/default/ndisc_notify", "1"))
		}
		s.line("fi\n")
		s.veth(br)
		if o.nat {
			s.take()
		}
		s.line("")
		s.addresses(br)
		s.line("\nconnected=yes\necho go >&5")
	})
}

// veth is makeVeth.
func (s *sketch) veth(br string) {
	o := s.o
	mtu := o.mtu
	if mtu == 0 {
		mtu = standInMTU
		s.comment("A packet that fits the container's link is to fit the way to the world, too.")
		s.line(`mtu=
for to in ` + anywhere4.String() + " " + anywhere6.String() + `; do
    [ -z "$mtu" ] || continue
    dev=$(ip -o route get "$to" 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p')
    [ -n "$dev" ] && [ "$dev" != lo ] || continue
    mtu=$(ip -o link show dev "$dev" | sed -n 's/.* mtu \([0-9]*\) .*/\1/p')
    [ "$mtu" -le 65535 ] || mtu=
done`)
		if o.hasIPv6() {
			s.linef(`[ "${mtu:-%d}" -ge %d ] || mtu=%d # what IPv6 takes at least`, ipv6MinMTU, ipv6MinMTU, ipv6MinMTU)
		}
		s.line("")
	}
	s.comment(`A veth is a cable: one end here, up and in the bridge, the other in the container's network
namespace, from its making on. The hardware address here is a high one, for a bridge that was given
none takes the lowest of its ports'. The alias says what is behind it ("main ls" reads that). The
port may send a frame back where it came from (hairpin): a container that calls its own published
port.`)
	who := occupant{addresses: s.claim.Addresses, pid: standInPID, command: strings.Join(o.argv, " "), nat: o.nat}
	before, after, _ := strings.Cut(who.alias(), fmt.Sprint(standInPID))
	s.line("alias=" + word(before) + `"$pid"` + word(after))
	s.do("",
		rtnl.Veth("$veth", hostMAC(s.claim.MAC), br, 0, mtu, rtnl.VethPeer{Name: insideName, PID: standInPID, MAC: s.claim.MAC}),
		rtnl.SetPort(rtnl.Port{Name: "$veth", Alias: standInAlias, Hairpin: true, Guard: true, ForwardGroups: forwardedGroups(o.nat)}),
	)
}

// take is the claim.
func (s *sketch) take() {
	s.line("")
	s.comment(`The claim, one transaction: who has the address (by the index of the veth), which ports lead to it,
what may be said at its port. Nobody else can have the same: "create" is refused for a key that is
there. So two runs at once can't take one address or port, and there is no lock and no file.`)
	s.line(`index=$(ip -o link show dev "$veth")
index=${index%%:*}`)
	s.transaction("", s.free, s.claim.Take())
	s.line(`echo "$index" >"$tmp/index"`)
	for i, p := range s.chosen {
		text := p.String()
		before, after, _ := strings.Cut(text, fmt.Sprintf("%d:%d/", p.HostPort, p.Port))
		s.linef(`echo "published %s$port%d:%d/%s" >&2`, before, i+1, p.Port, after)
	}
	for _, g := range s.claim.Networks {
		if g.Addr().Is4() {
			s.line("forward4")
		} else {
			s.line("forward6")
		}
	}
}

// addresses is join.
func (s *sketch) addresses(br string) {
	o := s.o
	s.comment("In the container: lo, then the address, then the way to everything else.")
	s.do("$in ", rtnl.Up(rtnl.LoopbackIndex, "lo"))
	s.line("$in " + rtnl.Set(0, insideName, rtnl.ARPNotify).Cmd + " >/dev/null")
	mode := rtnl.None
	if o.hasIPv6() {
		mode = rtnl.EUI64
	}
	line := "$in " + rtnl.SetAddrGenMode(0, insideName, mode).Cmd
	switch {
	case o.mtu == 0:
		s.linef(`[ ! -e /proc/sys/net/ipv6 ] || [ "${mtu:-%d}" -lt %d ] || %s`, ipv6MinMTU, ipv6MinMTU, line)
	case o.mtu >= ipv6MinMTU:
		s.line("[ ! -e /proc/sys/net/ipv6 ] || " + line)
	}
	s.do("$in ", rtnl.Up(0, insideName))
	for _, p := range o.addresses {
		s.do("$in ", rtnl.Address(0, insideName, p))
	}
	for _, p := range o.addresses {
		s.do("$in ", rtnl.DefaultRoute(o.gateway(p.Addr()).Addr()))
	}
	for _, p := range o.addresses {
		if p.Addr().Is6() {
			s.comment("The kernel takes a moment to make an IPv6 address its own.")
			s.linef(`until $in ip -o -6 route show table local | grep -q '^local %s '; do kill -0 "$pid"; done`, p.Addr())
		}
	}
	s.comment("And to notice that the cable is plugged in. Before, the bridge would drop the first packets.")
	s.linef(`until ip -d -o link show dev "$veth" | grep -q 'bridge_slave state forwarding'; do kill -0 "$pid"; done
until ip -o link show dev %s | grep -q LOWER_UP; do kill -0 "$pid"; done`, br)
	s.comment("A neighbour may know somebody else at this address: setting the hardware address announces it.")
	s.do("$in ", rtnl.Announce(0, insideName, s.claim.MAC))
}

// settings is forward.
func (s *sketch) settings() {
	s.function("remember", `remember FAMILY SETTING VALUE: as the comment of an element, for down to put it back. What has been
there before is what it was at first, and stays.`, func() {
		req := nat.IPv4.Remember(standInNumber, []nat.Sysctl{{Name: "@SETTING@", Value: "@VALUE@"}})[0]
		line := inShell(inHeredoc(nftLine(req.Cmd)))
		line = strings.Replace(line, "element ip ", "element $1 ", 1)
		s.line(`nft "` + strings.ReplaceAll(line, `"`, `\"`) + `" 2>/dev/null || :` + "\nnumber=$((number + 1))")
	})
	for _, g := range s.claim.Networks {
		if g.Addr().Is4() {
			s.function("forward4", `A host that is no router drops what is for others. Turning that on turns it on for every interface,
and the acceptance of redirects off; turning it off again, the other way round: so those that this
would not put back are remembered behind it.`, func() {
				s.linef(`if [ "$(cat /proc/sys/%s)" = 0 ]; then
    number=%d
    remember ip %s 0
    value=$(cat /proc/sys/%s)
    [ "$value" = 1 ] || remember ip %s "$value"
    for file in /proc/sys/net/ipv4/conf/*/forwarding; do
        value=$(cat "$file") || continue # an interface that has just gone
        [ "$value" = 0 ] || remember ip "${file#/proc/sys/}" "$value"
    done
    %s
fi`, ipForward, forwarding, ipForward, acceptRedirects, acceptRedirects, sysctl(ipForward, "1"))
				s.comment("A bridge of somebody else's may lack this.")
				name := word(routeLocalnet(s.o.bridge))
				s.linef(`if [ "$(cat /proc/sys/%s)" = 0 ]; then
    number=$(ip -o link show dev %s)
    number=$((%d + ${number%%%%:*}))
    remember ip %s 0
    %s
fi`, name, word(s.o.bridge), ofLink, name, sysctl(routeLocalnet(s.o.bridge), "1"))
			})
			continue
		}
		s.function("forward6", `In IPv6 a router takes no routes from other routers' advertisements and forgets those that it has,
unless accept_ra is 2: so that is set first, wherever they were taken. (Nothing comes to the host by
a container's veth, which is a bridge's port.)`, func() {
			s.linef(`if [ "$(cat /proc/sys/%s)" = 0 ]; then
    number=%d
    remember ip6 %s 0
    for dir in /proc/sys/net/ipv6/conf/*; do
        case "${dir##*/}" in lo | "$veth") continue ;; esac
        forwards=$(cat "$dir/forwarding") || continue
        if [ "$forwards" != 0 ]; then
            remember ip6 "${dir#/proc/sys/}/forwarding" "$forwards"
        elif [ "$(cat "$dir/accept_ra")" = 1 ] && [ "${dir##*/}" != all ]; then
            remember ip6 "${dir#/proc/sys/}/accept_ra" 1
            echo 2 >"$dir/accept_ra"
        fi
    done
    %s
fi`, ipv6Forward, forwarding, ipv6Forward, sysctl(ipv6Forward, "1"))
		})
	}
}

// undo is what a run takes back.
func (s *sketch) undo() {
	s.function("undo", `The end, however it came: what was claimed goes. The namespaces have gone with their last process, and
with them what was mounted and the veth. The bridge and the rules stay for the next run.`, func() {
		if s.bridged() && s.o.nat {
			s.comment("Each element is added once more before it is deleted: if the key has come to be somebody else's,\nthat is refused, and with it the whole transaction.")
			s.line(`if [ -s "$tmp/index" ]; then
    read -r index <"$tmp/index"`)
			s.transaction("    ", s.free, s.claim.Release())
			s.line("fi")
		}
		if s.bridged() {
			s.line(`ip link del dev "$veth" 2>/dev/null || :`)
		}
		for _, l := range s.after {
			s.line(inShell(l) + " || :")
		}
		s.line(`rm -r "$tmp"`)
	})
}

// down is the verb's: what all runs share.
func (s *sketch) down() {
	o, br := s.o, word(s.o.bridge)
	s.function("down", `What all containers share, when there is none any more. ("main down" does it as well.)`, func() {
		if o.nat {
			s.linef(`for family in ip ip6; do
    nft list map "$family" %s lease 2>/dev/null | grep -q elements && die "containers run" || :
done
for family in ip ip6; do
    nft list set "$family" %s sysctl 2>/dev/null | tr '{,}' '\n\n\n' |
        sed -n 's/^[[:space:]]*\(0x[0-9a-f]*\) comment "\([^"]*\)".*/\1 \2/p' | sort | while read -r number setting; do
        [ ! -e "/proc/sys/${setting%%%%=*}" ] || echo "${setting#*=}" >"/proc/sys/${setting%%%%=*}"
    done
done
for family in ip ip6 bridge; do
    nft delete table "$family" %s 2>/dev/null || :
done`, nat.Table, nat.Table, nat.Table)
		}
		s.linef(`if ip link show dev %s 2>/dev/null | grep -q 'alias %s'; then
    ip link del dev %s
fi`, br, bridgeAlias, br)
	})
}

// life is the order of it all.
func (s *sketch) life() {
	s.function("up", `The order of it all.`, func() {
		s.line(`[ "$(id -u)" = 0 ] || die "this takes root"
tmp=$(mktemp -d)
trap undo EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
from=$PWD
export tmp from`)
		s.comment("A script that comes by a pipe has taken the command's input: that is the terminal, if there is one.")
		s.line(`[ -f "$0" ] || [ ! -t 2 ] || exec </dev/tty`)
		if s.bridged() {
			s.comment("Names and numbers that no other run has.")
		}
		switch {
		case s.bridged() && !s.o.nat:
			s.comment("Without a map of leases the link's name, which nobody else can have, is the lease.")
			s.line("veth=" + leasedName(s.claim.Addresses[0]))
			s.line("export veth")
		case s.bridged() || s.o.limits.Any():
			s.line(`veth=veth$(od -An -N4 -tx1 /dev/urandom | tr -d ' \n')
export veth`)
		}
		if s.bridged() && s.o.mac == nil {
			s.line(`mac=02$(od -An -N5 -tx1 /dev/urandom | tr ' ' :)`)
			if s.o.hasIPv6() {
				s.comment("The link-local address that is made of it (EUI-64), as an address and as a number.")
				s.line(`set -- $(echo "$mac" | tr : ' ')
linklocal=$(printf fe80::%x:%x:%x:%x 0x$2 0x${3}ff 0xfe$4 0x$5$6)
target=0xfe8000000000000000$2${3}fffe$4$5$6`)
			}
		}
		for i := range s.chosen {
			s.linef("port%d=$(free_port)", i+1)
		}
		fd := firstGroup
		for i, l := range s.before {
			if i == 0 {
				s.comment("The limits. A group that is locked is left alone by others, who remove empty ones.")
			}
			l = inShell(l)
			s.line(l)
			if dir, ok := strings.CutPrefix(l, "mkdir -p "); ok {
				s.linef("exec %d<%s\nflock -s %d", fd, dir, fd)
				fd++
			}
		}
		s.line(`inside >"$tmp/inside"`)
		if !s.bridged() {
			s.line("status=0\ncontain || status=$?\nexit \"$status\"")
			return
		}
		s.line("bridge")
		if s.o.nat {
			s.line("ruleset")
		}
		s.comment(`The two sides of it, side by side: the container tells its number by descriptor 3, and waits for a
word by 5, a FIFO that is open at both ends to either side, so that neither hangs without the other.`)
		s.line(`mkfifo "$tmp/go"
exec 4>&1 5<>"$tmp/go"
{
    status=0
    contain || status=$?
    echo "$status" >"$tmp/status"
} 3>&1 >&4 4>&- | connect
read -r status <"$tmp/status" || status=130
exit "$status"`)
	})
	if len(s.chosen) > 0 {
		s.function("free_port", `A port that no socket of the host has, out of those that the kernel chooses from.`, func() {
			s.line(`set -- $(cat /proc/sys/net/ipv4/ip_local_port_range)
while :; do
    port=$(($1 + $(od -An -N4 -tu4 /dev/urandom) % ($2 - $1 + 1)))
    [ -n "$(ss -Haln "sport = :$port" 2>/dev/null)" ] || break
done
echo "$port"`)
		})
	}
	s.line("")
	verbs := "up) up ;;"
	if s.bridged() {
		verbs += "\ndown) down ;;"
	}
	s.line(`case "${1-up}" in
` + verbs + `
*) die "it takes no argument, or down" ;;
esac`)
}
