//go:build linux

package main

import (
	"strings"
	"testing"
)

func TestRefuseLoan(t *testing.T) {
	for _, c := range []struct {
		name string
		id   identity
		want string // how the refusal begins, "" for none
	}{
		{"root", identity{}, ""},
		{"root, of another group", identity{egid: 5}, ""},
		{"root, by another program's right", identity{secure: true, caps: allCaps}, ""},
		{"a user", identity{uid: 1000, euid: 1000, gid: 1000, egid: 1000}, ""},
		{"a user with capabilities of their own", identity{uid: 1000, euid: 1000, caps: defaultCaps}, ""},
		{"a user in a domain of their own", identity{uid: 1000, euid: 1000, secure: true}, ""},
		{"set-user-ID root", identity{uid: 1000, secure: true, caps: allCaps}, "this file is set-user-ID"},
		{"set-user-ID another", identity{uid: 1000, euid: 1001, secure: true}, "this file is set-user-ID"},
		{"set-user-ID another, by root", identity{euid: 1001}, "this file is set-user-ID"},
		{"set-group-ID", identity{uid: 1000, euid: 1000, gid: 1000, secure: true}, "this file is set-group-ID"},
		{"capabilities", identity{uid: 1000, euid: 1000, gid: 5, egid: 5, secure: true, caps: 1}, "this file has capabilities"},
	} {
		err := c.id.refuseLoan()
		if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	id, err := ownIdentity()
	if err != nil || id.refuseLoan() != nil {
		t.Errorf("this test: %+v, %v, %v", id, err, id.refuseLoan())
	}
}
