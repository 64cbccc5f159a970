//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"container/nat"
	"container/nl"
	"container/rtnl"
)

// Settings are named by their path below /proc/sys: an interface's name may
// have the dots that sysctl(8) puts between the parts.
const (
	ipForward       = "net/ipv4/ip_forward"
	acceptRedirects = "net/ipv4/conf/all/accept_redirects"
)

func routeLocalnet(dev string) string { return "net/ipv4/conf/" + dev + "/route_localnet" }

// readSysctl makes the three system calls itself: package os would start Go's
// poller for the file, which costs a run more than the reading.
func readSysctl(name string) (string, error) {
	fd, err := unix.Open("/proc/sys/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", sysctlError(name, "read", err)
	}
	defer unix.Close(fd)
	var b [256]byte // no setting that is read here has more than a number
	n, err := ignoringEINTR(func() (int, error) { return unix.Read(fd, b[:]) })
	if err != nil {
		return "", sysctlError(name, "read", err)
	}
	return strings.TrimSpace(string(b[:n])), nil
}

func writeSysctl(name, value string) error {
	f, err := os.OpenFile("/proc/sys/"+name, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(value)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return sysctlError(name, "set to "+value, err)
	}
	return nil
}

func sysctlError(name, what string, err error) error {
	advice := ""
	switch {
	case errors.Is(err, unix.EROFS):
		advice = " (/proc/sys is read-only here: set it outside)"
	case errors.Is(err, unix.ENOENT):
		advice = " (is /proc mounted, and CONFIG_SYSCTL in the kernel?)"
	}
	var path *os.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return fmt.Errorf("sysctl %s: %s: %w%s", name, what, err, advice)
}

// forward makes the host a router, if it isn't, and published ports reachable
// at 127.0.0.1. What is changed is first written down in the table, for down
// to put it back.
//
// It must be called when the container's lease is in the table: down looks at
// the leases after it has put the settings back, so one of the two notices the
// other.
func forward(c *nl.Conn, br rtnl.Link) error {
	on, err := readSysctl(ipForward)
	if err != nil {
		return err
	}
	if on == "0" {
		old, err := beforeForwarding()
		if err != nil {
			return err
		}
		if err := change(c, forwarding, old, ipForward, "1"); err != nil {
			return err
		}
	}
	// Our own bridges are made with it; one of somebody else may lack it.
	name := routeLocalnet(br.Name)
	on, err = readSysctl(name)
	if err != nil || on != "0" {
		return err
	}
	return change(c, ofLink+br.Index, []nat.Sysctl{{Name: name, Value: on}}, name, "1")
}

// Under which numbers settings are remembered: those of forwarding together,
// and each link's by its index.
const (
	forwarding = 0
	ofLink     = 1 << 20
)

// change remembers what settings were, and sets one.
func change(c *nl.Conn, first uint32, old []nat.Sysctl, name, value string) error {
	// EEXIST: they are in the table since an earlier change, which somebody
	// has taken back since. What they were at first is what counts.
	if err := nat.Commit(c, nat.Remember(first, old)); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return writeSysctl(name, value)
}

// beforeForwarding is what the settings are that writing net.ipv4.ip_forward
// changes (inet_forward_change, net/ipv4/devinet.c): turned on, it turns
// forwarding on for every interface and accept_redirects of "all" off; turned
// off again, the other way round. So it is first in the list, and then come
// those which that would not put back.
func beforeForwarding() ([]nat.Sysctl, error) {
	old := []nat.Sysctl{{Name: ipForward, Value: "0"}}
	redirects, err := readSysctl(acceptRedirects)
	if err != nil {
		return nil, err
	}
	if redirects != "1" {
		old = append(old, nat.Sysctl{Name: acceptRedirects, Value: redirects})
	}
	devs, err := filepath.Glob("/proc/sys/net/ipv4/conf/*/forwarding")
	if err != nil {
		return nil, err
	}
	for _, path := range devs {
		name := strings.TrimPrefix(path, "/proc/sys/")
		value, err := readSysctl(name)
		if errors.Is(err, unix.ENOENT) {
			continue // an interface that went away meanwhile
		}
		if err != nil {
			return nil, err
		}
		if value != "0" {
			old = append(old, nat.Sysctl{Name: name, Value: value})
		}
	}
	return old, nil
}

// putBack sets settings to what they were, and gives what they were before
// that. Settings of interfaces that are gone are gone too.
func putBack(old []nat.Sysctl) (before []nat.Sysctl, err error) {
	for _, s := range old {
		value, err := readSysctl(s.Name)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return before, err
		}
		if value == s.Value {
			continue
		}
		if err := writeSysctl(s.Name, s.Value); err != nil {
			return before, err
		}
		before = append(before, nat.Sysctl{Name: s.Name, Value: value})
	}
	return before, nil
}
