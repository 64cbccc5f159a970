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
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"container/cgroup"
	"container/nat"
	"container/nl"
	"container/rtnl"
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

var inShell = strings.NewReplacer(
	fmt.Sprint(standInIndex), "$index",
	fmt.Sprint(standInPID), "$pid",
	fmt.Sprint(" mtu ", standInMTU), " ${mtu:+mtu $mtu}",
	fmt.Sprint(standInNumber), "$number",
	"'"+standInAlias+"'", `"$alias"`,
	standInGroup, "$veth",
	standInMAC.String(), "$mac",
	hostMAC(standInMAC).String(), "fe${mac#02}",
	"fe80::31:41ff:fe59:2653", "$linklocal",
	"0xfe80000000000000003141fffe592653", "$target",
	"@SETTING@=@VALUE@", "$2=$3",
)

// shellText is a script that grows.
type shellText struct {
	strings.Builder
	indent string
}

// line adds a line, or several.
func (s *shellText) line(text string) {
	for l := range strings.SplitSeq(text, "\n") {
		if l != "" {
			s.WriteString(s.indent + l)
		}
		s.WriteByte('\n')
	}
}

func (s *shellText) linef(format string, args ...any) { s.line(fmt.Sprintf(format, args...)) }

// function adds a function, with the comment above it that says why.
func (s *shellText) function(name, why string, body func()) {
	s.line("")
	s.comment(why)
	s.line(name + "() {")
	s.indent += "    "
	body()
	s.indent = strings.TrimSuffix(s.indent, "    ")
	s.line("}")
}

func (s *shellText) comment(text string) {
	for l := range strings.SplitSeq(text, "\n") {
		s.line(strings.TrimSuffix("# "+l, " "))
	}
}

// heredoc adds a command and the text that is its standard input. The shell
// expands nothing in a text that is literal.
func (s *shellText) heredoc(command, mark, text string, literal bool) {
	for slices.Contains(strings.Split(text, "\n"), mark) {
		mark += "_"
	}
	word := mark
	if literal {
		word = "'" + mark + "'"
	}
	s.line(command + " <<" + word)
	s.WriteString(strings.TrimSuffix(text, "\n") + "\n" + mark + "\n")
}

// do adds what requests do, a line each, with words before each line.
func (s *shellText) do(before string, reqs ...nl.Request) {
	for _, r := range reqs {
		s.line(before + inShell.Replace(r.Cmd))
	}
}

// transaction adds one of nf_tables: nft(8) sends what it reads in one piece.
func (s *shellText) transaction(before string, put *strings.Replacer, reqs []nl.Request) {
	var text strings.Builder
	for _, r := range reqs {
		text.WriteString(put.Replace(inShell.Replace(inHeredoc.Replace(nftLine(r.Cmd)))) + "\n")
	}
	s.heredoc(before+"nft -f -", "NFT", text.String(), false)
}

var inHeredoc = strings.NewReplacer(`\`, `\\`, `$`, `\$`, "`", "\\`")

// nftLine is a command line of nft(8) as nft reads it from a file: without its
// name, and what the shell would take quotes from without these.
func nftLine(cmd string) string {
	words, quoted, ok := strings.Cut(strings.TrimPrefix(cmd, "nft "), "'")
	if !ok {
		return words
	}
	return words + strings.ReplaceAll(strings.TrimSuffix(quoted, "'"), `'\''`, "'")
}

// word makes one word of a string, for a shell.
func word(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

var plainWord = regexp.MustCompile(`^[0-9A-Za-z/._,:+@%-][0-9A-Za-z/._,:+@%=-]*$`)

// firstGroup is the descriptor of the container's first cgroup; there are three
// at most.
const firstGroup = 6

func shellWords(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = word(s)
	}
	return strings.Join(quoted, " ")
}

// sysctl is the command that sets a setting, which is named by its path below
// /proc/sys: a dot in a link's name would be taken for one between two parts.
func sysctl(name, value string) string {
	if !strings.Contains(name, ".") {
		name = strings.ReplaceAll(name, "/", ".")
	}
	return "sysctl -qw " + word(name+"="+value)
}

// sketch is what a script is made of.
type sketch struct {
	shellText
	o       *options
	c       *command
	claim   nat.Claim
	free    *strings.Replacer // of the ports that are to be chosen
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

// settle is plan for a script: it looks at nothing that takes a privilege, and
// leaves to the script what may be otherwise when it runs.
func (s *sketch) settle() (*command, error) {
	o := s.o
	root, err := openRoot(o)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if o.hasRoot() {
		if o.rootfs, err = filepath.Abs(o.rootfs); err != nil {
			return nil, err
		}
	}
	for i := range o.volumes {
		if o.volumes[i].source, err = filepath.Abs(o.volumes[i].source); err != nil {
			return nil, err
		}
	}
	if o.workdir == "" && o.hasRoot() {
		o.workdir, s.workdir = "/", "/"
	}
	lookIn := o.workdir
	if lookIn == "" {
		if lookIn, err = os.Getwd(); err != nil {
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
	c, err := p.settle(int(root.Fd()), o.hostname, addrs(o.addresses), caps)
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
		if !strings.Contains(e, "=") && e != "PATH" && variable.MatchString(e) {
			e += "=" + callers
		}
		all = append(all, e)
	}
	return all
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

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

// choosePorts gives each port that is to be chosen a number that none of the
// others has, which the script puts its own choice for.
func (s *sketch) choosePorts() {
	taken := map[uint16]bool{0: true}
	for _, p := range s.o.ports {
		taken[p.HostPort] = true
	}
	var pairs []string
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
	s.free = strings.NewReplacer(pairs...)
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
	slices.Sort(all)
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

// toolFunctions sees to it that the tools are the real ones.
func (s *shellText) toolFunctions(names []string) {
	s.line("")
	s.comment("busybox's shell has small programs of these names inside, which it would prefer.")
	s.line("for tool in " + strings.Join(names, " ") + `; do
    file=
    IFS=:
    for dir in $PATH; do
        [ -n "$file" ] || [ ! -x "$dir/$tool" ] || file=$dir/$tool
    done
    unset IFS
    [ -n "$file" ] || die "this takes the program $tool"
    eval "$tool=\$file; $tool() { \"\$$tool\" \"\$@\"; }"
done`)
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
		s.do("", rtnl.Bridge(br, bridgeMAC(o.gateways)))
		s.do("", rtnl.SetAlias(br, bridgeAlias))
		s.comment("A published port is to be reached at 127.0.0.1 too. What else this lets through, the\nruleset's chain loopback drops.")
		s.line(sysctl(routeLocalnet(o.bridge), "1"))
		s.indent = "    "
		s.line("fi")
		for _, g := range gateways {
			s.linef(`if [ -z "$(ip -o addr show dev %s to %s)" ]; then`, br, g.Addr())
			s.indent += "    "
			s.linef(`ip link show dev %s | grep -q 'alias %s' ||`, br, bridgeAlias)
			s.linef(`    die "bridge %s has not the address %s, and somebody else made it"`, strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(o.bridge), g)
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

// namespaces is the container's side: what its first process does.
func (s *sketch) namespaces() {
	in := new(sketch)
	in.o, in.c, in.workdir = s.o, s.c, s.workdir
	in.inside()
	s.function("inside", `What the container's first process does, in namespaces of its own, until it starts the command.`, func() {
		s.indent = ""
		s.heredoc("    cat", "INSIDE", in.String(), true)
		s.indent = "    "
	})
	s.function("contain", `Namespaces of its own for mounts, host name, System V IPC, network, processes: unshare(2) makes the
first four, and for the last there must be a new process (--fork), which is PID 1. What is mounted in
there does not show outside (--mount makes all of it private). In its cgroup, and seen from there,
the container is in the root of all cgroups.`, func() {
		flags := "--mount --uts --ipc --net --pid"
		if s.o.network == hostNetwork {
			flags = "--mount --uts --ipc --pid"
		}
		s.linef(`unshare %s --fork --kill-child sh -euc '`, flags)
		s.indent = "        "
		for _, l := range s.enter {
			s.line(strings.ReplaceAll(inShell.Replace(l), "'", `'\''`))
		}
		last := `exec "$0" --cgroup sh "$tmp/inside"' "$unshare"`
		for i := range s.after {
			last += fmt.Sprintf(" %d<&-", firstGroup+i)
		}
		s.line(last)
		s.indent = "    "
	})
}

// inside is container, filesystem and run in a shell's words.
func (s *sketch) inside() {
	o := s.o
	s.line(`set -eu
trap '[ $? = 0 ] || exit 125' EXIT # until there is a command, whose status it is
die() { echo "$*" >&2; exit 125; }`)
	var tools []string
	for _, t := range s.tools() {
		if slices.Contains([]string{"capsh", "env", "ip", "mount", "script", "setpriv", "sysctl"}, t) {
			tools = append(tools, t)
		}
	}
	s.toolFunctions(tools)
	s.line("")
	if s.bridged() {
		s.comment("Tell those outside who we are: the host's number of this process. (To itself it is PID 1.)")
		s.line(`read -r pid rest </proc/self/stat
echo "$pid" >&3
exec 3>&-
`)
	}
	if o.network == noNetwork {
		s.do("", rtnl.Up(rtnl.LoopbackIndex, "lo"))
	}
	s.line(sysctl("kernel/hostname", o.hostname))
	s.tree()
	if s.bridged() {
		s.line("")
		s.comment("Wait for the network.")
		s.line("read -r go <&5\nexec 5<&-")
	}
	s.command()
}

// tree is filesystem.
func (s *sketch) tree() {
	o := s.o
	s.line("")
	if o.hasRoot() {
		s.comment("The container's tree, while it is not yet the root. Only a mount can become one. (A symbolic link\nin it that begins with / still leads to the host's tree here; main mounts when it no longer does.)")
		s.line("root=" + word(o.rootfs))
	} else {
		s.comment("The container's tree is the host's own, with fresh kernel file systems on it.")
		s.line("root=")
	}
	s.comment("Whatever is mounted over their names, this directory stays where we are, and 9 leads nowhere.")
	s.line(`cd "$tmp"
exec 9>/dev/null`)
	restricts := !o.privileged || o.readOnly || slices.ContainsFunc(o.volumes, func(v volume) bool { return v.readOnly })
	if restricts {
		s.function("restrict", `restrict TOP OPTIONS: all that is mounted at TOP or below. (mount_setattr(2) does it at once.) In
the list a space is \040. What lies hidden below another mount can't be named, nor be reached.`, func() {
			s.line(`sed 's/^[^ ]* [^ ]* [^ ]* [^ ]* \([^ ]*\) .*/\1/' /proc/self/mountinfo | while read -r at; do
    at=$(printf %b "$at")
    case "$at" in
    "$1" | "${1%/}"/*) mount -o "remount,bind,$2" "$at" 2>&9 || : ;;
    esac
done`)
		})
	}
	s.line("")
	for i, v := range o.volumes {
		if i == 0 {
			s.comment("The volumes, as long as their names mean the host's files.")
		}
		s.linef(`if [ -d %s ]; then mkdir volume%d; else : >volume%d; fi`, word(v.source), i, i)
		s.linef(`mount --rbind %s volume%d`, word(v.source), i)
	}
	if o.hasRoot() {
		s.line(`mount --rbind "$root" "$root"
mkdir -p "$root/proc" "$root/sys" "$root/dev" "$root/etc"
for name in hostname hosts resolv.conf; do
    [ -e "$root/etc/$name" ] || [ -L "$root/etc/$name" ] || : >"$root/etc/$name"
done`)
		for i, v := range o.volumes {
			if !strings.HasPrefix(v.target, "/dev/") {
				s.mountPoint(v, i)
			}
		}
		if o.workdir != "/" && o.readOnly {
			s.linef(`mkdir -p "$root"%s`, word(o.workdir))
		}
	}
	var take []string
	if !o.privileged {
		take = append(take, "nodev")
	}
	if o.readOnly {
		take = append(take, "ro")
	}
	if len(take) > 0 {
		why := "Devices are those of its own /dev, whatever nodes it finds or makes elsewhere."
		if o.readOnly {
			why = "Nothing of the tree can be written."
			if !o.privileged {
				why += " And devices are those of its own /dev."
			}
		}
		s.comment(why)
		s.linef(`restrict "${root:-/}" %s`, strings.Join(take, ","))
	}

	s.line("")
	s.comment("/proc of its own processes, /sys of its own network.")
	flags := "nosuid,nodev,noexec"
	s.linef(`mount -t proc -o %s proc "$root/proc"`, flags)
	if !o.privileged {
		s.comment("What changes the host is read-only.")
		s.linef(`for at in %s; do
    [ -e "$root$at" ] || continue
    mount --bind "$root$at" "$root$at"
    mount -o remount,bind,ro,%s "$root$at"
done`, strings.Join(readOnlyPaths, " "), flags)
		flags += ",ro"
	}
	s.linef(`mount -t sysfs -o %s sysfs "$root/sys"
mount -t cgroup2 -o %s cgroup2 "$root/sys/fs/cgroup" 2>&9 || : # where there is version 2`, flags, flags)

	s.line("")
	s.comment("/dev with nothing of the host's in it.")
	s.linef(`mount -t tmpfs -o nosuid,noexec,mode=0755,size=64k tmpfs "$root/dev"`)
	for _, d := range devices {
		s.linef(`mknod -m 666 "$root/dev/%s" c %d %d`, d.name, d.major, d.minor)
	}
	if !o.privileged {
		var names []string
		for _, d := range devices {
			names = append(names, d.name)
		}
		s.comment("Each node is a mount of its own, so that others that it makes there are of no use.")
		s.linef(`for name in %s; do
    mount --bind "$root/dev/$name" "$root/dev/$name"
done
mount -o remount,bind,nosuid,nodev,noexec "$root/dev"`, strings.Join(names, " "))
	}
	s.line(`ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue"
mount -t devpts -o nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o nosuid,nodev,noexec,mode=1777,size=64m tmpfs "$root/dev/shm"
mount -t mqueue -o nosuid,nodev,noexec mqueue "$root/dev/mqueue" 2>&9 || : # CONFIG_POSIX_MQUEUE`)
	if !o.privileged {
		s.line("")
		s.comment("What tells of the host is hidden: a directory under an empty one, a file under /dev/null.")
		s.linef(`for at in %s; do
    if [ -d "$root$at" ]; then
        mount -t tmpfs -o ro,nosuid,nodev,noexec tmpfs "$root$at"
    elif [ -e "$root$at" ]; then
        mount --bind "$root/dev/null" "$root$at"
    fi
done`, strings.Join(maskedPaths, " "))
	}
	for i, v := range o.volumes {
		s.attach(v, i)
	}
	s.names()
	if o.hasRoot() && o.workdir != "/" && !o.readOnly {
		s.linef(`mkdir -p "$root"%s`, word(o.workdir))
	}
}

// mountPoint makes what a volume is mounted on.
func (s *sketch) mountPoint(v volume, i int) {
	s.linef(`if [ -d volume%d ]; then mkdir -p "$root"%s; else mkdir -p "$root"%s; [ -e "$root"%s ] || : >"$root"%s; fi`,
		i, word(v.target), word(path.Dir(v.target)), word(v.target), word(v.target))
}

func (s *sketch) attach(v volume, i int) {
	s.line("")
	if s.o.makes(v) {
		s.mountPoint(v, i)
	}
	s.linef(`mount --no-canonicalize --move volume%d "$root"%s`, i, word(v.target))
	if !s.o.privileged {
		s.linef(`[ -b %s ] || [ -c %s ] || restrict "$root"%s nodev`, word(v.source), word(v.source), word(v.target))
	}
	if v.readOnly {
		s.linef(`restrict "$root"%s ro`, word(v.target))
	}
}

// names is the files that tell names.
func (s *sketch) names() {
	o := s.o
	own := func(name string) bool {
		return !slices.ContainsFunc(o.volumes, func(v volume) bool { return v.target == name })
	}
	if !slices.ContainsFunc(nameFiles, own) {
		return
	}
	s.function("over", "over NAME: what was written to /dev/NAME lies over /etc/NAME, which stays as it is below.", func() {
		s.line(`[ ! -e "$root/etc/$1" ] || mount --bind "$root/dev/$1" "$root/etc/$1"
rm "$root/dev/$1"`)
	})
	if own("/etc/hostname") {
		s.linef(`echo %s >"$root/dev/hostname"`, word(o.hostname))
		s.line("over hostname")
	}
	if own("/etc/hosts") {
		s.heredoc(`cat >"$root/dev/hosts"`, "HOSTS", string(hosts(addrs(o.addresses), o.hostname)), true)
		s.line("over hosts")
	}
	if own("/etc/resolv.conf") {
		if len(o.dns) > 0 {
			var given []string
			for _, a := range o.dns {
				given = append(given, a.String())
			}
			s.heredoc(`cat >"$root/dev/resolv.conf"`, "RESOLV", string(withNameservers(nil, given)), true)
		} else {
			s.comment("The host's resolvers, but not those at its own loopback address.")
			s.linef(`: >"$root/dev/resolv.conf"
for file in %s; do
    [ -r "$file" ] || continue
    sed '/^[[:space:]]*nameserver[[:space:]]*\(127\.\|::1$\|0\.0\.0\.0$\|::$\)/d' "$file" >"$root/dev/resolv.conf"
    ! grep -q '^[[:space:]]*nameserver' "$root/dev/resolv.conf" || break
done
grep -q '^[[:space:]]*nameserver' "$root/dev/resolv.conf" ||
    printf 'nameserver %%s\n' %s >>"$root/dev/resolv.conf"`, strings.Join(resolverFiles, " "), strings.Join(publicResolvers, " "))
		}
		s.line("over resolv.conf")
	}
}

// command is what the second process does, and what PID 1 does after.
func (s *sketch) command() {
	s.line("")
	s.line(`umask 022
ulimit -Sn 1024 2>&9 || :
exec 9>&-`)
	var run string
	if s.o.hasRoot() {
		s.comment("The tree comes to lie over the host's, and chroot(2) goes there. (main uses pivot_root(2); with it\nthe host's tools would be gone before they are done here.)")
		s.line(`cd "$root"
mount --move "$root" /`)
		run = s.capsh()
	} else {
		if s.workdir != "" {
			s.linef("cd %s", word(s.workdir))
		} else {
			s.line(`cd "$from"`)
		}
		run = s.setpriv() + " env -i " + s.env() + " " + shellWords(s.o.argv)
	}
	s.comment(s.whyCaps())
	if s.c.terminal {
		if s.o.hasRoot() {
			s.line("export capsh")
		}
		s.comment("The terminal is a pty of the container's own /dev/pts" + map[bool]string{true: " (here of the host's, for -rootfs)"}[s.o.hasRoot()] + ", which script(1) opens.")
		if s.c.user.uid != 0 {
			run = fmt.Sprintf(`chown %d "$(tty)" && exec %s`, s.c.user.uid, run)
		}
		run = "script -qec " + word(run) + " /dev/null"
	}
	s.line("trap - EXIT")
	s.line(run + " || exit $?")
	s.line("exit 0")
}

func (s *sketch) whyCaps() string {
	if s.o.privileged {
		return "Who the command is. It has all capabilities."
	}
	return `Who the command is, and what root may do in here: a capability that is out of the bounding set comes
back by no program, and no_new_privs takes from set-user-ID programs what they would give.`
}

// setpriv is become, bound, setCaps and noNewPrivs.
func (s *sketch) setpriv() string {
	u := s.c.user
	words := []string{"setpriv", fmt.Sprintf("--reuid %d --regid %d", u.uid, u.gid)}
	if len(u.groups) > 0 {
		words = append(words, "--groups "+groupList(u.groups))
	} else {
		words = append(words, "--clear-groups")
	}
	words = append(words, "--inh-caps=-all")
	if s.c.caps != allCaps {
		set := "-all"
		for _, name := range capWords(s.c.caps) {
			set += ",+" + name
		}
		words = append(words, "--bounding-set "+set)
	}
	if s.c.confined {
		words = append(words, "--no-new-privs")
	}
	return strings.Join(words, " ")
}

// capsh is the same for a tree that may have no tools.
func (s *sketch) capsh() string {
	u := s.c.user
	words := []string{`"$capsh" --chroot=.`}
	if drop := capWords(allCaps &^ s.c.caps); len(drop) > 0 {
		words = append(words, "--drop=cap_"+strings.Join(drop, ",cap_"))
	}
	words = append(words, "--inh=")
	if s.c.confined {
		words = append(words, "--no-new-privs")
	}
	words = append(words, "--groups="+groupList(u.groups), fmt.Sprintf("--gid=%d --uid=%d", u.gid, u.uid))
	args := s.o.argv[1:]
	file := word(s.c.paths[0])
	if len(s.c.paths) > 1 {
		// On a volume, perhaps.
		s.line("command=" + file)
		s.linef(`for file in %s; do
    if [ -x ".$file" ]; then command=$file; break; fi
done`, shellWords(s.c.paths))
		file = `"$command"`
	}
	if s.o.workdir != "/" {
		words = append(words, `--shell=/bin/sh -- -c 'cd "$0" && unset PWD OLDPWD SHLVL && exec "$@"'`, word(s.o.workdir), file)
	} else {
		words = append(words, "--shell="+file, "--")
	}
	return "env -i " + s.env() + " " + strings.Join(append(words, shellWords(args)), " ")
}

func groupList(groups []uint32) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(groups), " ", ","), "[]")
}

// capWords are the names of capabilities as tools have them, without cap_.
func capWords(set capabilities) []string {
	var names []string
	for i, name := range capNames {
		if set&(1<<i) != 0 {
			names = append(names, strings.ToLower(name))
		}
	}
	return names
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
		line := inShell.Replace(inHeredoc.Replace(nftLine(req.Cmd)))
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
			s.line(inShell.Replace(l) + " || :")
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
			l = inShell.Replace(l)
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
