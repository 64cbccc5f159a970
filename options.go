//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"container/cgroup"
	"container/nat"
	"container/rtnl"
)

// options is what a run was asked for.
type options struct {
	network   string         // "bridge", "none" or "host"
	auto      bool           // the addresses are to be chosen
	addresses []netip.Prefix // one, or an IPv4 and an IPv6 one, in this order
	gateways  []netip.Prefix // the bridge's own address and its network, the same
	bridge    string
	nat       bool
	isolated  bool
	mtu       uint32 // 0 is the uplink's
	mac       net.HardwareAddr
	ports     []nat.Port
	hostname  string
	dns       []netip.Addr

	script bool // print what would be done, and do nothing

	rootfs   string // "" is the host's own tree
	readOnly bool
	volumes  []volume
	limits   cgroup.Limits

	processOptions
}

// processOptions is what a run or an exec was asked for its command.
type processOptions struct {
	argv       []string
	env        []string
	workdir    string
	user       string
	privileged bool
	added      []capabilities
	dropped    []capabilities
	terminal   bool

	narration
	x *narrator // that of narration; nil tells nothing
}

// hasRoot tells whether the container has a tree of its own.
func (o *options) hasRoot() bool { return o.rootfs != "" && path.Clean(o.rootfs) != "/" }

// flags declares the flags of a run, which set o.
func flags(o *options) *flag.FlagSet {
	o.gateways = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, 0, 100}), 24)}
	fs := flag.NewFlagSet("main", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&o.bridge, "bridge", "br0", "the bridge `NAME`, made if missing (default br0)")
	fs.Func("gateway", "the bridge's own address as `CIDR[,CIDR6]`: the container's gateway, and the network it is in (default 172.16.0.100/24)", func(s string) (err error) {
		o.gateways, err = parseGateways(s)
		return err
	})
	o.network = bridged
	fs.Func("network", "the network's `MODE`: bridge, none (lo alone) or host (the host's own); the last two take no ADDRESS (default bridge)", func(s string) error {
		if s != bridged && s != noNetwork && s != hostNetwork {
			return errors.New("it takes bridge, none or host")
		}
		o.network = s
		return nil
	})
	fs.BoolVar(&o.nat, "nat", true, "masquerade, publish and guard by nf_tables (default true; -nat=false leaves it alone)")
	fs.BoolVar(&o.isolated, "isolate", false, "no traffic between this container and the others on the bridge")
	fs.Func("mtu", "the veth's MTU of `N` bytes (default the uplink's)", func(s string) (err error) {
		o.mtu, err = parseMTU(s)
		return err
	})
	fs.Func("mac", "the container's hardware `ADDRESS` (default a random one)", func(s string) (err error) {
		o.mac, err = parseMAC(s)
		return err
	})
	fs.StringVar(&o.hostname, "hostname", "", "the container's host `NAME` (default container; with -network host the host's)")
	list(fs, &o.dns, "dns", "a resolver's `IP` (default the host's resolvers); may be repeated", parseResolver)
	fs.Func("p", "publish a port: `[HOSTIP:]HOSTPORT[-END]:PORT[-END][/tcp|udp|sctp]`, a free one where HOSTPORT is left out or 0; may be repeated", func(s string) error {
		ports, err := parsePorts(s)
		o.ports = append(o.ports, ports...)
		return err
	})
	fs.StringVar(&o.rootfs, "rootfs", "", "the `DIR` that is the container's / (default the host's own tree)")
	fs.BoolVar(&o.readOnly, "read-only", false, "mount the container's / read-only")
	list(fs, &o.volumes, "v", "mount a file or directory of the host: `SRC:DST[:ro]`; may be repeated", parseVolume)
	list(fs, &o.added, "cap-add", "give a `CAPABILITY`, with CAP_ or without, or ALL; may be repeated", parseCap)
	list(fs, &o.dropped, "cap-drop", "take a `CAPABILITY` away, or ALL; may be repeated", parseCap)
	fs.BoolVar(&o.privileged, "privileged", false, "all capabilities, no seccomp filter, nothing hidden or read-only in /proc and /sys")
	fs.Func("memory", "limit memory to `SIZE`: bytes, or 64m, 1g (default no limit)", func(s string) (err error) {
		o.limits.Memory, err = cgroup.ParseSize(s)
		return err
	})
	fs.Func("cpus", "limit to the time of `N` CPUs, as 0.5 (default no limit)", func(s string) (err error) {
		o.limits.CPUs, err = cgroup.ParseCPUs(s)
		return err
	})
	fs.Func("pids-limit", "limit to `N` processes and threads (default no limit)", func(s string) (err error) {
		o.limits.PIDs, err = parsePIDs(s)
		return err
	})
	fs.BoolVar(&o.script, "n", false, "print what would be done, as a shell script, and do nothing; it takes no root")
	o.flags(fs)
	return fs
}

// flags declares the flags that run and exec have in common.
func (o *processOptions) flags(fs *flag.FlagSet) {
	list(fs, &o.env, "e", "set `K=V` in the command's environment, or K alone to the caller's value; may be repeated", parseEnv)
	o.narration.flags(fs)
	fs.StringVar(&o.workdir, "w", "", "the command's working `DIR` (default /, or the caller's own without -rootfs)")
	fs.StringVar(&o.user, "u", "0", "run the command as `UID[:GID]`, or names from the container's /etc/passwd and /etc/group (default 0)")
	fs.BoolVar(&o.terminal, "t", isTerminal(unix.Stdin) && isTerminal(unix.Stdout), "a terminal of its own (default when standard input and output are terminals; -t=false for none)")
}

// list declares a flag that may be repeated.
func list[T any](fs *flag.FlagSet, to *[]T, name, usage string, parse func(string) (T, error)) {
	fs.Func(name, usage, func(s string) error {
		v, err := parse(s)
		*to = append(*to, v)
		return err
	})
}

func parseEnv(s string) (string, error) {
	if name, _, _ := strings.Cut(s, "="); name == "" {
		return "", errors.New("it takes NAME=VALUE or NAME")
	}
	return s, nil
}

func parseResolver(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return a, errors.New("not an address")
	}
	return a, nil
}

func parsePIDs(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 1 {
		return 0, errors.New("it takes a number from 1 on")
	}
	return n, nil
}

// parseOptions reads a run's command line. Everything that can be known to be
// wrong from the words alone is refused.
func parseOptions(args []string) (*options, error) {
	o := new(options)
	fs := flags(o)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	words := fs.Args()
	var err error
	if o.network == bridged {
		err = o.parseWords(words)
	} else {
		o.argv = words
		err = o.checkWithout()
	}
	if err != nil {
		return nil, err
	}
	if o.hostname == "" {
		o.hostname = "container"
		if o.network == hostNetwork {
			if o.hostname, err = os.Hostname(); err != nil {
				return nil, err
			}
		}
	}
	if err := checkHostname(o.hostname); err != nil {
		return nil, err
	}
	return o, o.check()
}

// What -network takes.
const (
	bridged     = "bridge"
	noNetwork   = "none"
	hostNetwork = "host"
)

// parseWords reads ADDRESS COMMAND [ARG...], and checks what goes with an
// address.
func (o *options) parseWords(words []string) error {
	if len(words) == 0 {
		return errors.New("an ADDRESS and a COMMAND are missing: main 172.16.0.30 bash")
	}
	if o.auto = words[0] == "auto"; !o.auto {
		var err error
		if o.addresses, err = parseAddresses(words[0]); err != nil {
			return err
		}
	}
	if o.argv = words[1:]; len(o.argv) == 0 || o.argv[0] == "" {
		return fmt.Errorf("a COMMAND is missing: main %s bash", words[0])
	}
	if err := checkBridgeName(o.bridge); err != nil {
		return err
	}
	for i, p := range o.addresses {
		var err error
		if o.addresses[i], err = o.checkAddress(p); err != nil {
			return err
		}
	}
	if o.mtu != 0 && o.mtu < ipv6MinMTU && o.hasIPv6() {
		return fmt.Errorf("-mtu %d: IPv6 takes %d at least", o.mtu, ipv6MinMTU)
	}
	if !o.nat {
		switch {
		case len(o.ports) > 0:
			return fmt.Errorf("-p %s: publishing a port takes nf_tables, which -nat=false leaves alone", o.ports[0])
		case o.isolated:
			return errors.New("-isolate takes nf_tables, which -nat=false leaves alone")
		}
	}
	return o.checkPorts()
}

// ipv6MinMTU is IPV6_MIN_MTU in linux/ipv6.h (RFC 8200 5).
const ipv6MinMTU = 1280

// checkWithout refuses what makes no sense without a network of the container's
// own, or outside a bridge.
func (o *options) checkWithout() error {
	if len(o.argv) == 0 || o.argv[0] == "" {
		return fmt.Errorf("a COMMAND is missing: main -network %s bash", o.network)
	}
	if _, err := parseAddresses(o.argv[0]); err == nil || o.argv[0] == "auto" {
		return fmt.Errorf("-network %s: there is no ADDRESS: leave %s out", o.network, o.argv[0])
	}
	var flag string
	switch {
	case len(o.ports) > 0:
		flag = "-p"
	case o.isolated:
		flag = "-isolate"
	case o.mtu != 0:
		flag = "-mtu"
	case o.mac != nil:
		flag = "-mac"
	default:
		return nil
	}
	return fmt.Errorf("%s: with -network %s the container has no link of its own", flag, o.network)
}

func (o *processOptions) check() error {
	if o.workdir != "" && !path.IsAbs(o.workdir) {
		return fmt.Errorf("-w %s: it takes a path from / on", o.workdir)
	}
	return nil
}

// parseMTU reads an MTU that a veth and IPv4 take: ETH_MIN_MTU and ETH_MAX_MTU
// in linux/if_ether.h.
func parseMTU(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n < 68 {
		return 0, errors.New("it takes a number from 68 to 65535")
	}
	return uint32(n), nil
}

// checkBridgeName refuses what dev_valid_name (net/core/dev.c) does.
func checkBridgeName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return fmt.Errorf("bridge %q: not a name of a link", name)
	case len(name) > rtnl.MaxName:
		return fmt.Errorf("bridge %q: a link's name has at most %d bytes, and this has %d", name, rtnl.MaxName, len(name))
	case strings.ContainsAny(name, "/: \t\n\v\f\r\x00"):
		return fmt.Errorf("bridge %q: a link's name has no slash, colon or space in it", name)
	case name == "all" || name == "default" || name == "lo":
		return fmt.Errorf("bridge %q: the kernel keeps this name for itself", name)
	}
	return nil
}

// maxHostname is __NEW_UTS_LEN in linux/utsname.h.
const maxHostname = 64

func checkHostname(name string) error {
	if name == "" || len(name) > maxHostname || strings.ContainsAny(name, "/ \t\n\x00") {
		return fmt.Errorf("hostname %q: it takes 1 to %d bytes without slashes and spaces", name, maxHostname)
	}
	return nil
}
