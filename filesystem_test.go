//go:build linux

package main

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"container/integration/need"
)

// /proc, /sys and /dev come into a tree that isn't the host's in one piece each:
// once that tree is the root, nothing more is mounted in them, made read-only,
// or hidden by its name, which need not lead to the same place twice.
func TestKernelTreesComeWhole(t *testing.T) {
	if lacksOpenTree() {
		need.Skip(t, "needs open_tree(2)")
	}
	o := &options{rootfs: t.TempDir(), hostname: "box"}
	p := new(program)
	steps, err := p.filesystem(o)
	if err != nil {
		t.Fatal(err)
	}
	pivot := slices.IndexFunc(steps, func(s step) bool { return s.trap == unix.SYS_PIVOT_ROOT })
	if pivot < 0 {
		t.Fatal("there is no pivot_root")
	}
	var whole []string
	for _, s := range steps[pivot:] {
		switch s.trap {
		case unix.SYS_MOVE_MOUNT:
			whole = append(whole, strings.TrimPrefix(s.text, "mount "))
		case unix.SYS_MOUNT:
			if s.text != "remount /" && !strings.Contains(s.text, " to /etc/") {
				t.Errorf("in a tree that others may change: %s", s.text)
			}
		case unix.SYS_MOUNT_SETATTR:
			if s.text != "restrict mounts" {
				t.Errorf("in a tree that others may change: %s", s.text)
			}
		}
	}
	if !slices.Equal(whole, kernelPlaces) {
		t.Errorf("%q are mounted as they are, want %q", whole, kernelPlaces)
	}
	// What is hidden is hidden before that.
	before := 0
	for _, s := range steps[:pivot] {
		if strings.HasPrefix(s.text, "hide ") || strings.HasPrefix(s.text, "remount /proc/proc/") {
			before++
		}
	}
	if before < 3 {
		t.Errorf("%d steps hide or close something before the tree is the root", before)
	}
}

// A volume has its flags before it is mounted anywhere.
func TestVolumeIsRestrictedFirst(t *testing.T) {
	if lacksSetAttr() {
		need.Skip(t, "needs mount_setattr(2)")
	}
	p := new(program)
	var got []uint32
	steps, err := p.attach(volume{source: "/srv", target: "/data", readOnly: true, dir: true}, 3, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		got = append(got, s.trap)
	}
	if want := []uint32{unix.SYS_MOUNT_SETATTR, unix.SYS_MOVE_MOUNT, unix.SYS_CLOSE}; !slices.Equal(got, want) {
		t.Errorf("the calls are %d, want %d", got, want)
	}
}

// The filter stands before the fork, so that nobody in the container finds a
// process that it doesn't judge.
func TestFilterStandsBeforeTheFork(t *testing.T) {
	p := new(program)
	if err := p.run(&command{paths: []string{"/bin/true"}, argv: []string{"true"}, confined: true, caps: defaultCaps}); err != nil {
		t.Fatal(err)
	}
	has := func(steps []step) bool {
		return slices.ContainsFunc(steps, func(s step) bool { return s.trap == unix.SYS_SECCOMP })
	}
	if !has(p.setUp) || has(p.command) || has(p.after) {
		t.Errorf("a filter before the fork %t, in the command %t, in the first process %t; want the first alone", has(p.setUp), has(p.command), has(p.after))
	}
}
