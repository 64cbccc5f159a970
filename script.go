//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"container/cgroup"
	"container/nat"
)

// The option -n: a run told as a POSIX shell script, in the words of ip(8),
// nft(8), mount(8) and their like. What it says of links, addresses and rules
// are the Cmd of the very requests that a run sends.

// wantsScript tells whether a command line has -n among the flags of a run.
func wantsScript(args []string) bool {
	o := new(options)
	// What is wrong with the rest is told by parseOptions.
	err := flags(o).Parse(args)
	return o.script && !errors.Is(err, flag.ErrHelp)
}

// printScript prints the script. It takes no privilege: what depends on the host
// is left to the script to find out.
func printScript(args []string, w io.Writer) error {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	text, err := script(o, args)
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, text)
	return err
}

// What a request has numbers and addresses for that are known only when the
// script runs. Each of these stands in for one of them until inShell puts the
// shell's variable in its place.
const (
	standInIndex  = uint32(1141592653)
	standInPID    = 271828182
	standInMTU    = 1618033988
	standInNumber = 1414213562
	standInAlias  = "@ALIAS@"
	standInGroup  = "veth@GROUP@"
)

var standInMAC = net.HardwareAddr{0x02, 0x31, 0x41, 0x59, 0x26, 0x53}

// sketch is what a script is made of.
type sketch struct {
	shellText
	o       *options
	c       *command
	claim   nat.Claim
	free    replacer // of the ports that are to be chosen
	chosen  []nat.Port
	workdir string // "" is the caller's own
	before  []string
	enter   []string
	after   []string
}

// script is the script for options, which args gave.
func script(o *options, args []string) (string, error) {
	s := &sketch{o: o, workdir: o.workdir}
	if o.auto {
		for _, g := range o.gateways {
			a, ok := free(g, map[netip.Addr]bool{g.Addr(): true})
			if !ok {
				return "", fmt.Errorf("auto: no free address in %s", g.Masked())
			}
			o.addresses = append(o.addresses, netip.PrefixFrom(a, g.Bits()))
		}
	}
	// In nft's strings nothing is escaped, and an asterisk is a wildcard.
	if o.network == bridged && o.nat && (strconv.Quote(o.bridge) != `"`+o.bridge+`"` || strings.Contains(o.bridge, "*")) {
		return "", fmt.Errorf("-n: bridge %q: nft(8) has no way to write such a name", o.bridge)
	}
	var err error
	if s.c, err = s.settle(); err != nil {
		return "", err
	}
	if o.limits.Any() {
		if s.before, s.enter, s.after, err = cgroup.Script(standInGroup, o.limits); err != nil {
			return "", err
		}
	}
	s.choosePorts()
	s.claim = nat.Claim{Bridge: o.bridge, Addresses: addrs(o.addresses), Index: standInIndex, MAC: o.mac, Isolated: o.isolated, Ports: o.ports}
	if s.claim.MAC == nil {
		s.claim.MAC = standInMAC
	}
	for _, a := range s.claim.Addresses {
		s.claim.Networks = append(s.claim.Networks, o.gateway(a))
	}
	s.write(args)
	return s.String(), nil
}

// absolute is a path from / on.
func absolute(name string) (string, error) {
	if path.IsAbs(name) {
		return path.Clean(name), nil
	}
	cwd, err := unix.Getwd()
	if err != nil {
		return "", fmt.Errorf("the working directory: %w", err)
	}
	return path.Join(cwd, name), nil
}

// settle is plan for a script: it looks at nothing that takes a privilege, and
// leaves to the script what may be otherwise when it runs.
func (s *sketch) settle() (*command, error) {
	o := s.o
	root, err := openRoot(o)
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	if o.hasRoot() {
		if o.rootfs, err = absolute(o.rootfs); err != nil {
			return nil, err
		}
	}
	for i := range o.volumes {
		if o.volumes[i].source, err = absolute(o.volumes[i].source); err != nil {
			return nil, err
		}
	}
	if o.workdir == "" && o.hasRoot() {
		o.workdir, s.workdir = "/", "/"
	}
	lookIn := o.workdir
	if lookIn == "" {
		if lookIn, err = unix.Getwd(); err != nil {
			return nil, fmt.Errorf("the working directory: %w", err)
		}
	}
	caps, err := grant(o.added, o.dropped, o.privileged, allCaps)
	if err != nil {
		return nil, err
	}
	p := o.processOptions
	p.workdir = lookIn
	p.env = s.givenEnv()
	c, err := p.settle(root, o.hostname, addrs(o.addresses), caps)
	var notFound *statusError
	switch {
	case errors.As(err, &notFound) && (len(o.volumes) > 0 || !o.hasRoot()):
		// It may be on a volume, or there when the script runs.
		c.paths = candidates(o.argv[0], getEnv(c.env, "PATH"))
	case err != nil:
		return nil, err
	}
	if p.terminal && !slices.ContainsFunc(o.env, func(e string) bool { return e == "TERM" || strings.HasPrefix(e, "TERM=") }) {
		c.env = setEnv(c.env, "TERM", "TERM="+callers)
	}
	return c, nil
}

// callers, as a value, is the one that the script's caller has.
const callers = "\x00"

// givenEnv is what -e gives. The value of a variable that is named alone is the
// script's to look up, but for PATH, by which the command is looked for here.
func (s *sketch) givenEnv() []string {
	var all []string
	for _, e := range s.o.env {
		if !strings.Contains(e, "=") && e != "PATH" && isVariable(e) {
			e += "=" + callers
		}
		all = append(all, e)
	}
	return all
}

// isVariable tells whether a shell could have a variable of a name.
func isVariable(name string) bool {
	for i, r := range name {
		letter := r == '_' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}

// env is the command's environment, as env(1) takes it.
func (s *sketch) env() string {
	var words []string
	for _, e := range s.c.env {
		name, value, _ := strings.Cut(e, "=")
		switch {
		case value != callers:
			words = append(words, word(e))
		case name == "TERM":
			words = append(words, `TERM="${TERM:-xterm}"`)
		default:
			words = append(words, fmt.Sprintf(`${%s+"%s=$%s"}`, name, name, name))
		}
	}
	return strings.Join(words, " ")
}

func (s *sketch) bridged() bool { return s.o.network == bridged }

// packages are whose programs they are.
func (s *sketch) packages() string {
	text := "util-linux"
	if s.o.hasRoot() {
		text = "libcap (capsh), " + text
	}
	if s.bridged() && s.o.nat {
		text = "nftables, " + text
	}
	return "iproute2, " + text + " and procps (sysctl)"
}

// tools are the programs that the script calls, with the package that has them.
func (s *sketch) tools() []string {
	all := []string{"mount", "sysctl", "unshare"}
	if s.o.network != hostNetwork {
		all = append(all, "ip")
	}
	if s.bridged() {
		all = append(all, "nsenter")
		if s.o.nat {
			all = append(all, "nft")
		}
		if len(s.chosen) > 0 {
			all = append(all, "ss")
		}
	}
	if s.o.hasRoot() {
		all = append(all, "capsh")
	} else {
		all = append(all, "env", "setpriv")
	}
	if s.c.terminal {
		all = append(all, "script")
	}
	if s.o.limits.Any() {
		all = append(all, "flock")
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i] < all[j] })
	return all
}

func (s *sketch) write(args []string) {
	s.head(args)
	if s.bridged() {
		s.bridge()
		if s.o.nat {
			s.ruleset()
		}
	}
	s.namespaces()
	if s.bridged() {
		s.connect()
		if s.o.nat {
			s.settings()
		}
	}
	s.undo()
	if s.bridged() {
		s.down()
	}
	s.life()
}

func (s *sketch) head(args []string) {
	s.line("#!/bin/sh")
	s.comment("What this does, in the words of a shell:\n\n    main " + shellWords(withoutN(args, len(s.o.argv))) + `

Run it as root:     sh FILE, or main -n … | sudo sh
and afterwards:     sh FILE down, which takes away what stays for the next run

It takes the programs of ` + s.packages() + `.
What main does and no script can:`)
	not := []string{
		"a seccomp filter that judges every system call of the container (-privileged has none)",
		"a container that dies with its runner, and a guardian that undoes the rest after kill -9",
		"an init that passes signals on; here PID 1 is a shell, with the host's tree for its root",
		"a session and a keyring of its own for the command, and a PID 1 that can't be traced",
	}
	if s.bridged() {
		not = append(not, "to ask on the bridge whether somebody else answers for the address, and to leave a bridge alone\n  whose gateway is a router elsewhere")
	}
	if len(s.o.ports) > 0 {
		not = append(not, "to hold the host's side of each port by a socket, so that no program of the host takes it")
		if slices.ContainsFunc(s.o.ports, func(p nat.Port) bool { _, v6 := s.o.families(p); return relays(p, v6) }) {
			not = append(not, "to relay what comes to the port at the host's [::1], which IPv6 can't route")
		}
		if publishesUDP(s.claim) {
			not = append(not, "to end UDP flows that lead to where the port went before: conntrack -D (conntrack-tools) can")
		}
	}
	if s.bridged() && s.o.nat {
		not = append(not, "to open the forward chains of other firewalls that drop what they don't know: two rules at the\n  end of each such chain,  iifname \""+s.o.bridge+"\" accept  and  oifname \""+s.o.bridge+"\" accept")
	}
	for _, n := range not {
		s.comment("- " + n)
	}
	s.line(`set -eu
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

die() { echo "$*" >&2; exit 125; }`)
	s.toolFunctions(s.tools())
	if s.o.auto {
		s.line("")
		s.comment("auto: the first address of the network. (main takes the first that nobody has. Here the lease\nis refused if somebody has it.)")
	}
}

// withoutN is a command line without the flag -n: one of the command's own, the
// last words, stays.
func withoutN(args []string, command int) []string {
	own := args[len(args)-command:]
	flags := slices.Clone(args[:len(args)-command])
	return append(slices.DeleteFunc(flags, func(a string) bool { return a == "-n" || a == "--n" }), own...)
}
