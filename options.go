//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
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
	address  netip.Addr
	gateway  netip.Prefix // the bridge's own address and its network
	bridge   string
	ports    []nat.Port
	hostname string
	dns      []netip.Addr

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
}

// hasRoot tells whether the container has a tree of its own.
func (o *options) hasRoot() bool { return o.rootfs != "" && path.Clean(o.rootfs) != "/" }

// flags declares the flags of a run, which set o.
func flags(o *options) *flag.FlagSet {
	o.gateway = netip.MustParsePrefix("172.16.0.100/24")
	fs := flag.NewFlagSet("main", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&o.bridge, "bridge", "br0", "the bridge `NAME`, made if missing")
	fs.Func("gateway", "the bridge's own address as `CIDR`, the container's gateway and prefix (default 172.16.0.100/24)", func(s string) (err error) {
		o.gateway, err = parseGateway(s)
		return err
	})
	fs.StringVar(&o.hostname, "hostname", "container", "the container's host `NAME`")
	list(fs, &o.dns, "dns", "a resolver's `IP` for the container (default the host's); may be repeated", parseResolver)
	list(fs, &o.ports, "p", "publish a port, as `[HOSTIP:]HOSTPORT:PORT[/tcp|udp|sctp]`; may be repeated", parsePort)
	fs.StringVar(&o.rootfs, "rootfs", "", "the `DIR` that is the container's / (default the host's own tree)")
	fs.BoolVar(&o.readOnly, "read-only", false, "mount the container's / read-only")
	list(fs, &o.volumes, "v", "mount `SRC:DST[:ro]`, a file or directory of the host; may be repeated", parseVolume)
	list(fs, &o.added, "cap-add", "give a `CAPABILITY`, or ALL; may be repeated", parseCap)
	list(fs, &o.dropped, "cap-drop", "take a `CAPABILITY`, or ALL; may be repeated", parseCap)
	fs.BoolVar(&o.privileged, "privileged", false, "all capabilities, no seccomp filter, nothing hidden or read-only in /proc and /sys")
	fs.Func("memory", "limit memory to `SIZE`, as 64m or 1g", func(s string) (err error) {
		o.limits.Memory, err = cgroup.ParseSize(s)
		return err
	})
	fs.Func("cpus", "limit to `N` CPUs, as 0.5", func(s string) (err error) {
		o.limits.CPUs, err = cgroup.ParseCPUs(s)
		return err
	})
	fs.Func("pids-limit", "limit to `N` processes and threads", func(s string) (err error) {
		o.limits.PIDs, err = parsePIDs(s)
		return err
	})
	o.flags(fs)
	return fs
}

// flags declares the flags that run and exec have in common.
func (o *processOptions) flags(fs *flag.FlagSet) {
	list(fs, &o.env, "e", "set `K=V` in the command's environment, or K to the caller's value; may be repeated", parseEnv)
	fs.StringVar(&o.workdir, "w", "", "the command's working `DIR` (default /, or the caller's own without -rootfs)")
	fs.StringVar(&o.user, "u", "0", "run the command as `UID[:GID]`, or names from the container's /etc/passwd and /etc/group")
	fs.BoolVar(&o.terminal, "t", isTerminal(unix.Stdin) && isTerminal(unix.Stdout), "a terminal of its own (the default when standard input and output are terminals)")
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

func printFlags(w io.Writer) {
	fs := flags(new(options))
	fs.SetOutput(w)
	fs.PrintDefaults()
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
	if len(words) == 0 {
		return nil, errors.New("an ADDRESS and a COMMAND are missing: main 172.16.0.30 bash")
	}
	var err error
	if o.address, err = parseAddress(words[0]); err != nil {
		return nil, err
	}
	if o.argv = words[1:]; len(o.argv) == 0 || o.argv[0] == "" {
		return nil, fmt.Errorf("a COMMAND is missing: main %s bash", words[0])
	}
	if err := checkBridgeName(o.bridge); err != nil {
		return nil, err
	}
	if err := checkHostname(o.hostname); err != nil {
		return nil, err
	}
	if err := checkAddress(o.address, o.gateway); err != nil {
		return nil, err
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	return o, checkPorts(o.ports)
}

func (o *processOptions) check() error {
	if o.workdir != "" && !path.IsAbs(o.workdir) {
		return fmt.Errorf("-w %s: it takes a path from / on", o.workdir)
	}
	return nil
}

func parseAddress(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%q is not an address", s)
	}
	if !a.Is4() {
		return netip.Addr{}, fmt.Errorf("address %s: containers have IPv4 addresses here", s)
	}
	return a, nil
}

func parseGateway(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil || !p.Addr().Is4() {
		return netip.Prefix{}, errors.New("not an IPv4 address with a prefix length, as 172.16.0.100/24")
	}
	if p.Bits() > 30 {
		return netip.Prefix{}, errors.New("no room for a container beside the gateway: /30 is the smallest network")
	}
	if p.Bits() == 0 || p.Addr().IsLoopback() || p.Addr().IsMulticast() || p.Addr().IsUnspecified() {
		return netip.Prefix{}, errors.New("not the address of a network of hosts")
	}
	if what := reserved(p.Addr(), p); what != "" {
		return netip.Prefix{}, fmt.Errorf("it is the network's %s", what)
	}
	return p, nil
}

// reserved says what an address of a network is if it can't be a host's.
func reserved(a netip.Addr, p netip.Prefix) string {
	switch {
	case a == p.Masked().Addr():
		return "own address"
	case !p.Contains(a.Next()):
		return "broadcast address"
	}
	return ""
}

// checkAddress refuses addresses that a container can't have.
func checkAddress(a netip.Addr, gateway netip.Prefix) error {
	if !gateway.Contains(a) {
		return fmt.Errorf("address %s is outside the bridge's network %s", a, gateway.Masked())
	}
	if a == gateway.Addr() {
		return fmt.Errorf("address %s is the gateway's own", a)
	}
	if what := reserved(a, gateway); what != "" {
		return fmt.Errorf("address %s is the network's %s", a, what)
	}
	return nil
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

// parsePort reads [HOSTIP:]HOSTPORT:PORT[/PROTO].
func parsePort(s string) (nat.Port, error) {
	p := nat.Port{Proto: unix.IPPROTO_TCP}
	rest, proto, given := strings.Cut(s, "/")
	if given {
		switch proto {
		case "tcp":
		case "udp":
			p.Proto = unix.IPPROTO_UDP
		case "sctp":
			p.Proto = unix.IPPROTO_SCTP
		default:
			return p, fmt.Errorf("protocol %q: it takes tcp, udp or sctp", proto)
		}
	}
	fields := strings.Split(rest, ":")
	switch len(fields) {
	case 2:
	case 3:
		ip, err := netip.ParseAddr(fields[0])
		if err != nil || !ip.Is4() {
			return p, fmt.Errorf("%q is not an IPv4 address of the host", fields[0])
		}
		if !ip.IsUnspecified() {
			p.HostIP = ip
		}
		fields = fields[1:]
	default:
		return p, errors.New("it takes [HOSTIP:]HOSTPORT:PORT[/tcp|udp|sctp]")
	}
	var err error
	if p.HostPort, err = parsePortNumber(fields[0]); err != nil {
		return p, err
	}
	p.Port, err = parsePortNumber(fields[1])
	return p, err
}

func parsePortNumber(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 || s[0] == '+' {
		return 0, fmt.Errorf("%q is not a port: they go from 1 to 65535", s)
	}
	return uint16(n), nil
}

// checkPorts refuses a port that is published twice.
func checkPorts(ports []nat.Port) error {
	type number struct {
		port  uint16
		proto uint8
	}
	seen := make(map[number][]nat.Port, len(ports))
	for _, p := range ports {
		n := number{p.HostPort, p.Proto}
		for _, q := range seen[n] {
			if p.HostIP == q.HostIP || !p.HostIP.IsValid() || !q.HostIP.IsValid() {
				return fmt.Errorf("port %s: %s publishes it already", p, q)
			}
		}
		seen[n] = append(seen[n], p)
	}
	return nil
}
