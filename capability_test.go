//go:build linux

package main

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseCap(t *testing.T) {
	for _, s := range []string{"NET_ADMIN", "net_admin", "CAP_NET_ADMIN", "cap_net_admin"} {
		if c, err := parseCap(s); err != nil || c != 1<<unix.CAP_NET_ADMIN {
			t.Errorf("%s: got %#x (error %v), want %#x", s, c, err, 1<<unix.CAP_NET_ADMIN)
		}
	}
	if c, err := parseCap("all"); err != nil || c != allCaps {
		t.Errorf("all: got %#x (error %v), want %#x", c, err, allCaps)
	}
	for _, s := range []string{"", "NET", "CAP_", "NET ADMIN", "12"} {
		if c, err := parseCap(s); err == nil {
			t.Errorf("%q: got %#x and no error", s, c)
		}
	}
}

// Each number has its name: a hole would be a capability that can't be asked
// for.
func TestCapNames(t *testing.T) {
	for i, name := range capNames {
		if c, err := parseCap(name); name == "" || err != nil || c != 1<<i {
			t.Errorf("capability %d: its name %q gives %#x (error %v)", i, name, c, err)
		}
	}
	if len(capNames) != unix.CAP_LAST_CAP+1 {
		t.Errorf("%d names, and the last capability is %d", len(capNames), unix.CAP_LAST_CAP)
	}
}

func TestGrant(t *testing.T) {
	const chown, admin = capabilities(1 << unix.CAP_CHOWN), capabilities(1 << unix.CAP_SYS_ADMIN)
	list := func(c ...capabilities) []capabilities { return c }
	for _, c := range []struct {
		name       string
		add, drop  []capabilities
		privileged bool
		want       capabilities
	}{
		{name: "default", want: 0xa80425fb}, // what Docker's CapPrm shows
		{name: "privileged", privileged: true, want: allCaps},
		{name: "add", add: list(admin), want: defaultCaps | admin},
		{name: "drop", drop: list(chown), want: defaultCaps &^ chown},
		{name: "drop all, add one", drop: list(allCaps), add: list(chown), want: chown},
		{name: "add all, drop one", add: list(allCaps), drop: list(chown), want: allCaps &^ chown},
		{name: "add and drop one", add: list(chown), drop: list(chown), want: defaultCaps},
		{name: "drop what isn't there", drop: list(admin), want: defaultCaps},
	} {
		if got, err := grant(c.add, c.drop, c.privileged, allCaps); err != nil || got != c.want {
			t.Errorf("%s: got %#x (error %v), want %#x", c.name, got, err, c.want)
		}
	}
	// Nobody can give what he hasn't got: of ALL it is what there is.
	if got, err := grant(nil, nil, true, defaultCaps); err != nil || got != defaultCaps {
		t.Errorf("privileged, by one with less: got %#x (error %v)", got, err)
	}
	if got, err := grant(list(admin), nil, false, defaultCaps); err == nil || err.Error() != "-cap-add SYS_ADMIN: the caller hasn't got it to give" {
		t.Errorf("more than the caller has: got %#x and the error %v", got, err)
	}
}
