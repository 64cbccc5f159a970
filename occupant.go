//go:build linux

package main

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"container/rtnl"
)

// occupant is what the alias of a host's veth says of the container behind
// it: "container 172.16.0.30 pid 4242 sleep 1000".
type occupant struct {
	addresses []netip.Addr
	pid       int    // of the container's first process
	command   string // its command line, as far as there is room for it
	nat       bool   // it has its addresses by lease
}

// The first word of an alias: of a container that nf_tables knows, and of one
// that it doesn't (-nat=false).
const (
	aliasWord = "container"
	aliasBare = "container-without-nat"
)

func (w occupant) alias() string {
	word := aliasWord
	if !w.nat {
		word = aliasBare
	}
	printable := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, w.command)
	s := fmt.Sprintf("%s %s pid %d %s", word, joined(w.addresses), w.pid, printable)
	if len(s) > rtnl.MaxAlias {
		s = strings.ToValidUTF8(s[:rtnl.MaxAlias], "")
	}
	return s
}

// parseAlias reads an alias; false when it is none of ours.
func parseAlias(s string) (occupant, bool) {
	f := strings.SplitN(s, " ", 5)
	if len(f) != 5 || f[0] != aliasWord && f[0] != aliasBare || f[2] != "pid" {
		return occupant{}, false
	}
	w := occupant{command: f[4], nat: f[0] == aliasWord}
	for word := range strings.SplitSeq(f[1], ",") {
		a, err := netip.ParseAddr(word)
		if err != nil {
			return occupant{}, false
		}
		w.addresses = append(w.addresses, a)
	}
	var err error
	if w.pid, err = strconv.Atoi(f[3]); err != nil || w.pid <= 0 {
		return occupant{}, false
	}
	return w, true
}

// has tells whether an address is the container's.
func (w occupant) has(a netip.Addr) bool { return slices.Contains(w.addresses, a) }

// describe is a container in an error's words: "veth1f3a (pid 4242, bash)".
func describe(l rtnl.Link, w occupant) string {
	name, _, _ := strings.Cut(w.command, " ")
	return fmt.Sprintf("%s (pid %d, %s)", l.Name, w.pid, path.Base(name))
}

// addressInUse is an address that somebody has.
type addressInUse struct {
	address netip.Addr
	by      string
}

func (e *addressInUse) Error() string {
	return fmt.Sprintf("address %s is in use by %s", e.address, e.by)
}
