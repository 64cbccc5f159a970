//go:build linux

package main

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"container/file"
	"container/nat"
)

// reserve binds the host's side of each published port and keeps it bound, so
// that no process of the host takes it, a port that one has is noticed before
// anything starts, and ss(8) shows who has it. Ports that are to be chosen get
// their numbers. Nothing ever arrives at these sockets, but for what the relay
// serves: nf_tables sends it on before, and a filter drops the rest.
func reserve(o *options) (*holding, error) {
	r := &holding{ports: slices.Clone(o.ports), fds: make([]int, 0, len(o.ports))}
	for i := range r.ports {
		p := &r.ports[i]
		chosen := p.HostPort == 0
		fd, err := bindFree(o, p)
		if err != nil {
			r.release()
			return nil, fmt.Errorf("port %s: %w", portWords(*p), err)
		}
		r.fds = append(r.fds, fd)
		v4, v6 := o.families(*p)
		o.x.held(fd, *p, v4, v6)
		if chosen {
			r.chosen = append(r.chosen, *p)
		}
	}
	return r, nil
}

// holding is published ports with the sockets that hold them; -1 where the
// kernel has no sockets of the protocol.
type holding struct {
	ports  []nat.Port
	chosen []nat.Port // those of them that were free
	fds    []int
}

// listen has the sockets listen, as far as their protocol knows that, once the
// rules are there. Until then whoever connects is refused, and tries again. A
// SYN that the filter drops would not be the last: connection tracking has taken
// it for one to the host itself, and when it is sent again nobody asks the rules.
// Its client would hear nothing for two minutes.
func (r *holding) listen(o *options) error {
	return r.listening(func(fd int, p nat.Port) error {
		o.x.call("listen(%d)  # %s", fd, p)
		err := unix.Listen(fd, unix.SOMAXCONN)
		if errors.Is(err, unix.EADDRINUSE) {
			err = &inUseError{x: o.x, port: p, ours: true} // since it was bound
		}
		if err != nil {
			return fmt.Errorf("port %s: %w", portWords(p), err)
		}
		return nil
	})
}

// hush has them refuse again, before the rules go.
func (r *holding) hush(o *options) {
	_ = r.listening(func(fd int, p nat.Port) error {
		o.x.call("shutdown(%d, SHUT_RD)  # %s: refuse from now on", fd, p)
		_ = unix.Shutdown(fd, unix.SHUT_RD) // SCTP has no such thing
		return nil
	})
}

func (r *holding) listening(do func(fd int, p nat.Port) error) error {
	if r == nil {
		return nil
	}
	for i, p := range r.ports {
		if r.fds[i] < 0 || p.Proto == unix.IPPROTO_UDP {
			continue
		}
		if err := do(r.fds[i], p); err != nil {
			return err
		}
	}
	return nil
}

func (r *holding) release() {
	if r == nil {
		return
	}
	for _, fd := range r.fds {
		closeFD(fd)
	}
	r.fds = nil
}

// relayed are the ports that the relay serves at the host's ::1.
func (r *holding) relayed(o *options) []relayed {
	var all []relayed
	for i, p := range r.ports {
		if _, v6 := o.families(p); relays(p, v6) {
			inside := o.addresses[len(o.addresses)-1].Addr()
			all = append(all, relayed{fd: r.fds[i], proto: p.Proto, to: netip.AddrPortFrom(inside, p.Port)})
		}
	}
	return all
}

// tell says what was chosen for the caller: the address, and ports.
func (r *holding) tell(o *options, w io.Writer) {
	if o.auto {
		fmt.Fprintf(w, "main: address %s\n", joined(addrs(o.addresses)))
	}
	for _, p := range r.chosen {
		fmt.Fprintf(w, "main: published %s\n", p)
	}
}

// families are those in which a port of the container is published.
func (o *options) families(p nat.Port) (v4, v6 bool) {
	for _, g := range o.wanted() {
		f := nat.FamilyOf(g)
		v4 = v4 || f == nat.IPv4 && p.In(f)
		v6 = v6 || f == nat.IPv6 && p.In(f)
	}
	return v4, v6
}

// wanted is an address of each family that the container will have one of.
func (o *options) wanted() []netip.Addr {
	if o.auto {
		return addrs(o.gateways)
	}
	return addrs(o.addresses)
}

// bindFree binds a port, and has the kernel choose one that is free if none is
// asked for.
func bindFree(o *options, p *nat.Port) (int, error) {
	fd, err := bindPort(o, *p)
	if err != nil || p.HostPort != 0 {
		return fd, err
	}
	if fd < 0 {
		return fd, errors.New("a free port can't be found without sockets of this protocol: name one")
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return closeFD(fd), os.NewSyscallError("getsockname", err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		p.HostPort = uint16(sa.Port)
	case *unix.SockaddrInet6:
		p.HostPort = uint16(sa.Port)
	}
	return fd, nil
}

// portWords is the host's side of a port: "80/tcp".
func portWords(p nat.Port) string {
	s := fmt.Sprintf("%d/%s", p.HostPort, p.ProtoName())
	if p.HostIP.IsValid() {
		s = nat.HostWords(p.HostIP) + ":" + s
	}
	return s
}

func bindPort(o *options, p nat.Port) (int, error) {
	kind := unix.SOCK_STREAM
	if p.Proto == unix.IPPROTO_UDP {
		kind = unix.SOCK_DGRAM
	}
	// One socket of IPv6 holds the port in both families.
	family := unix.AF_INET
	v4, v6 := o.families(p)
	if v6 {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(p.Proto))
	if errors.Is(err, unix.EPROTONOSUPPORT) && p.Proto == unix.IPPROTO_SCTP {
		// Without SCTP sockets no process of the host can take the port.
		return -1, nil
	}
	if errors.Is(err, unix.EMFILE) {
		err = fmt.Errorf("%w: each port takes one (ulimit -Hn)", err)
	}
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if v6 && !v4 {
		err = os.NewSyscallError("setsockopt IPV6_V6ONLY", unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1))
	}
	if err == nil {
		err = holdPort(o, fd, p, v6)
	}
	if err != nil {
		return closeFD(fd), err
	}
	return fd, nil
}

func holdPort(o *options, fd int, p nat.Port, v6 bool) error {
	var addr unix.Sockaddr
	if v6 {
		a := &unix.SockaddrInet6{Port: int(p.HostPort)}
		if p.HostIP.IsValid() {
			a.Addr = p.HostIP.As16()
		}
		addr = a
	} else {
		a := &unix.SockaddrInet4{Port: int(p.HostPort)}
		if p.HostIP.IsValid() {
			a.Addr = p.HostIP.As4()
		}
		addr = a
	}
	// A listening TCP socket collides with every other, as this one will (listen),
	// while connections of the past that are in TIME_WAIT should not be in the way.
	if p.Proto != unix.IPPROTO_UDP {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return os.NewSyscallError("setsockopt SO_REUSEADDR", err)
		}
	}
	// The address comes with the bridge, which this run may be about to make.
	if p.HostIP.IsValid() && p.HostIP == o.gateway(p.HostIP).Addr() {
		level, option := unix.IPPROTO_IP, unix.IP_FREEBIND
		if v6 {
			level, option = unix.IPPROTO_IPV6, unix.IPV6_FREEBIND
		}
		if err := unix.SetsockoptInt(fd, level, option, 1); err != nil {
			return os.NewSyscallError("setsockopt FREEBIND", err)
		}
	}
	// Kernels without CONFIG_NET socket filters would only answer connections
	// that the rules fail to divert.
	filter := dropAll
	if relays(p, v6) {
		filter = toLoopback()
	}
	_ = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})

	err := unix.Bind(fd, addr)
	if errors.Is(err, unix.EADDRINUSE) {
		return &inUseError{x: o.x, port: p}
	}
	if err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	return nil
}

// dropAll keeps none of a packet: ret #0.
var dropAll = []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}

// relays tells whether a port is the relay's business: one that is published at
// the host's ::1.
func relays(p nat.Port, v6 bool) bool {
	return v6 && p.Proto != unix.IPPROTO_SCTP && (!p.HostIP.IsValid() || p.HostIP.IsUnspecified() || p.HostIP.IsLoopback())
}

// inUseError is a port that somebody on the host has.
type inUseError struct {
	x    *narrator
	port nat.Port
	ours bool // it is published by this run, so a process has it
}

func (e *inUseError) Error() string {
	by := ""
	if !e.ours {
		by = publisher(e.x, e.port)
	}
	if by == "" {
		by = cmp.Or(portOwner(e.port), "another process")
	}
	return "it is in use by " + by
}

func (e *inUseError) Unwrap() error { return unix.EADDRINUSE }

// portOwner is the process that has the socket of a bound port, in words.
func portOwner(p nat.Port) string {
	inode := boundSocket(p)
	if inode == "" {
		return ""
	}
	pids, _ := file.List("/proc")
	for _, pid := range pids {
		if pid[0] < '0' || pid[0] > '9' {
			continue
		}
		dir := "/proc/" + pid + "/fd/"
		fds, _ := file.List(dir)
		for _, fd := range fds {
			if to, err := os.Readlink(dir + fd); err == nil && to == "socket:["+inode+"]" {
				comm, _ := file.Read("/proc/" + pid + "/comm")
				return fmt.Sprintf("pid %s, %s", pid, strings.TrimSpace(string(comm)))
			}
		}
	}
	return ""
}

// boundSocket is the inode of the socket that has a port, from
// /proc/net/{tcp,udp}{,6} (proc_pid_net(5)).
func boundSocket(p nat.Port) string {
	for _, suffix := range []string{"", "6"} {
		table, err := file.Read("/proc/self/net/" + p.ProtoName() + suffix)
		if err != nil {
			continue
		}
		if inode := findSocket(string(table), p); inode != "" {
			return inode
		}
	}
	return ""
}

// findSocket reads lines "sl local_address rem_address st … inode …".
func findSocket(table string, p nat.Port) string {
	const local, state, inode = 1, 3, 9
	const listen, unconnected = "0A", "07"
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) <= inode || f[state] != listen && f[state] != unconnected {
			continue
		}
		addr, port, ok := strings.Cut(f[local], ":")
		if n, err := strconv.ParseUint(port, 16, 16); !ok || err != nil || uint16(n) != p.HostPort {
			continue
		}
		if at, ok := parseProcAddr(addr); !ok || !inTheWay(at, p) {
			continue
		}
		return f[inode]
	}
	return ""
}

// inTheWay tells whether a socket at an address keeps another from a port's.
func inTheWay(at netip.Addr, p nat.Port) bool {
	switch {
	case !p.HostIP.IsValid():
		return true
	case at.IsUnspecified():
		// IPv6's stands for IPv4's as well, mostly.
		return at.Is6() || p.HostIP.Is4()
	case p.HostIP.IsUnspecified():
		return at.Is4() == p.HostIP.Is4()
	}
	return at == p.HostIP
}

// parseProcAddr reads an address of /proc/net/tcp or tcp6, which print the
// numbers of 32 bits that its bytes are on this host.
func parseProcAddr(s string) (netip.Addr, bool) {
	var b []byte
	for ; len(s) >= 8; s = s[8:] {
		n, err := strconv.ParseUint(s[:8], 16, 32)
		if err != nil {
			return netip.Addr{}, false
		}
		b = binary.NativeEndian.AppendUint32(b, uint32(n))
	}
	a, ok := netip.AddrFromSlice(b)
	return a.Unmap(), ok && s == ""
}
