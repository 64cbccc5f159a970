//go:build linux

package main

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"container/nat"
)

func TestMissing(t *testing.T) {
	list := func(f ...nat.Family) []nat.Family { return f }
	for _, c := range []struct{ there, wanted, want []nat.Family }{
		{nil, nil, nil},
		{list(nat.IPv4), nil, nil},
		{nil, list(nat.IPv4, nat.Bridge), list(nat.IPv4, nat.Bridge)},
		{list(nat.IPv4), list(nat.IPv4, nat.IPv6, nat.Bridge), list(nat.IPv6, nat.Bridge)},
		{list(nat.Bridge, nat.IPv6, nat.IPv4), list(nat.IPv4, nat.IPv6), nil},
		{list(nat.IPv6, nat.Bridge), list(nat.IPv4, nat.Bridge), list(nat.IPv4)},
	} {
		if got := missing(c.there, c.wanted); !slices.Equal(got, c.want) {
			t.Errorf("of %s, with %s there: got %s, want %s", c.wanted, c.there, got, c.want)
		}
	}
}

func TestNoFamily(t *testing.T) {
	for errno, want := range map[unix.Errno]bool{
		unix.EAFNOSUPPORT: true, unix.EOPNOTSUPP: true, unix.ENOENT: true,
		unix.EEXIST: false, unix.EPERM: false,
	} {
		if got := noFamily(fmt.Errorf("table bridge container: add: %w", errno)); got != want {
			t.Errorf("%v: got %t, want %t", errno, got, want)
		}
	}
	if noFamily(nil) || noFamily(errors.New("another kind")) {
		t.Error("it is seen where it is not")
	}
}
