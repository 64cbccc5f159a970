//go:build linux

package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"container/nat"
)

// reserve binds the host's side of each published port and keeps it bound, so
// that no process of the host takes it, a port that one has is noticed before
// anything starts, and ss(8) shows who has it. Nothing ever arrives at these
// sockets: nf_tables sends it on before, and a filter drops what comes while
// the rules are not there. gateway is the bridge's own address, which the host
// may not have yet.
func reserve(ports []nat.Port, gateway netip.Addr) (*undo, error) {
	held := new(undo)
	for _, p := range ports {
		fd, err := bindPort(p, p.HostIP == gateway)
		if err != nil {
			held.all()
			return nil, fmt.Errorf("port %s: %w", portWords(p), err)
		}
		if fd >= 0 {
			held.add(func() { _ = unix.Close(fd) })
		}
	}
	return held, nil
}

// portWords is the host's side of a port: "80/tcp".
func portWords(p nat.Port) string {
	s := fmt.Sprintf("%d/%s", p.HostPort, p.ProtoName())
	if p.HostIP.IsValid() {
		s = p.HostIP.String() + ":" + s
	}
	return s
}

func bindPort(p nat.Port, comes bool) (int, error) {
	kind := unix.SOCK_STREAM
	if p.Proto == unix.IPPROTO_UDP {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, int(p.Proto))
	if errors.Is(err, unix.EPROTONOSUPPORT) && p.Proto == unix.IPPROTO_SCTP {
		// Without SCTP sockets no process of the host can take the port.
		return -1, nil
	}
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := holdPort(fd, p, comes); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func holdPort(fd int, p nat.Port, comes bool) error {
	addr := &unix.SockaddrInet4{Port: int(p.HostPort)}
	if p.HostIP.IsValid() {
		addr.Addr = p.HostIP.As4()
	}
	// A listening TCP socket collides with every other, while connections of
	// the past that are in TIME_WAIT should not be in the way.
	listens := p.Proto != unix.IPPROTO_UDP
	if listens {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return os.NewSyscallError("setsockopt SO_REUSEADDR", err)
		}
	}
	// The address comes with the bridge, which this run may be about to make.
	if comes {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_FREEBIND, 1); err != nil {
			return os.NewSyscallError("setsockopt IP_FREEBIND", err)
		}
	}
	// ret #0: keep none of the packet. Kernels without CONFIG_NET socket
	// filters would only answer connections that the rules fail to divert.
	drop := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}
	_ = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop[0]})

	err := unix.Bind(fd, addr)
	if err == nil && listens {
		err = unix.Listen(fd, 0)
	}
	if errors.Is(err, unix.EADDRINUSE) {
		return &inUseError{port: p}
	}
	if err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	return nil
}

// inUseError is a port that somebody on the host has.
type inUseError struct {
	port nat.Port
}

func (e *inUseError) Error() string {
	by := portOwner(e.port)
	if by == "" {
		by = "another process"
	}
	return "it is in use by " + by
}

func (e *inUseError) Unwrap() error { return unix.EADDRINUSE }

// portOwner finds whose a bound port is: the container's that published it, or
// the process's that has the socket.
func portOwner(p nat.Port) string {
	if who := publisher(p); who != "" {
		return who
	}
	inode := boundSocket(p)
	if inode == "" {
		return ""
	}
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && to == "socket:["+inode+"]" {
			pid := strings.Split(fd, "/")[2]
			comm, _ := os.ReadFile("/proc/" + pid + "/comm")
			return fmt.Sprintf("pid %s, %s", pid, strings.TrimSpace(string(comm)))
		}
	}
	return ""
}

// boundSocket is the inode of the socket that has a port, from
// /proc/net/{tcp,udp}{,6} (proc_pid_net(5)).
func boundSocket(p nat.Port) string {
	for _, suffix := range []string{"", "6"} {
		f, err := os.Open("/proc/self/net/" + p.ProtoName() + suffix)
		if err != nil {
			continue
		}
		inode := findSocket(bufio.NewScanner(f), p)
		_ = f.Close()
		if inode != "" {
			return inode
		}
	}
	return ""
}

// findSocket reads lines "sl local_address rem_address st … inode …".
func findSocket(lines *bufio.Scanner, p nat.Port) string {
	const local, state, inode = 1, 3, 9
	const listen, unconnected = "0A", "07"
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) <= inode || f[state] != listen && f[state] != unconnected {
			continue
		}
		addr, port, ok := strings.Cut(f[local], ":")
		if n, err := strconv.ParseUint(port, 16, 16); !ok || err != nil || uint16(n) != p.HostPort {
			continue
		}
		if p.HostIP.IsValid() && !isWildcard(addr) && !sameIPv4(addr, p.HostIP) {
			continue
		}
		return f[inode]
	}
	return ""
}

func isWildcard(hexAddr string) bool { return strings.Trim(hexAddr, "0") == "" }

// sameIPv4 compares an address with one of /proc/net/tcp, which prints the
// 32-bit number that the four bytes are on this host.
func sameIPv4(hexAddr string, a netip.Addr) bool {
	n, err := strconv.ParseUint(hexAddr, 16, 32)
	if err != nil || len(hexAddr) != 8 {
		return false
	}
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], uint32(n))
	return netip.AddrFrom4(b) == a
}
