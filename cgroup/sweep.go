//go:build linux

package cgroup

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"container/file"
)

// remove removes a group and those below it. While processes are in it, it
// tries again until patience is at its end. If it is not there, so much the
// better.
func (h host) remove(path string, patience time.Duration) error {
	deadline := time.Now().Add(patience)
	for {
		err := h.rmdir(path)
		if errors.Is(err, unix.EBUSY) && h.removeBelow(path) {
			err = h.rmdir(path)
		}
		switch {
		case err == nil, isGone(err):
			return nil
		case !errors.Is(err, unix.EBUSY):
			return failed(path, "rmdir", err, map[unix.Errno]string{
				unix.EROFS:  "the hierarchy is mounted read-only here",
				unix.EACCES: "it takes root",
				unix.EPERM:  "it takes root",
			})
		case time.Now().After(deadline):
			return fmt.Errorf("cgroup %s: rmdir: %w%s", path, err, listed(processes(path)))
		}
		// There is nothing to wait on: version 1 tells nobody that a group is
		// empty.
		time.Sleep(time.Millisecond)
	}
}

// removeBelow removes the groups below one, and says whether it removed any.
// The kernel refuses those with a process in them.
func (h host) removeBelow(path string) bool {
	removed := false
	for _, sub := range subgroups(path) {
		if h.removeBelow(sub) {
			removed = true
		}
		if h.rmdir(sub) == nil {
			removed = true
		}
	}
	return removed
}

// subgroups is the groups right below one.
func subgroups(path string) []string {
	names, _ := file.List(path) // one that is gone has none
	var subs []string
	for _, name := range names {
		sub := filepath.Join(path, name)
		if _, dir := file.Exists(sub); dir {
			subs = append(subs, sub)
		}
	}
	return subs
}

// processes is the numbers of the processes in a group and below it.
func processes(path string) []string {
	list, _ := read(filepath.Join(path, "cgroup.procs")) // one that is gone has none
	pids := strings.Fields(list)
	for _, sub := range subgroups(path) {
		pids = append(pids, processes(sub)...)
	}
	return slices.Compact(pids)
}

func listed(pids []string) string {
	const most = 5
	switch {
	case len(pids) == 0:
		return ""
	case len(pids) == 1:
		return " (process " + pids[0] + " is in it)"
	case len(pids) > most:
		return fmt.Sprintf(" (%d processes are in it, the first is %s)", len(pids), pids[0])
	}
	return " (processes " + strings.Join(pids, ", ") + " are in it)"
}

// Sweep removes the groups of ours that no process is in, and that nobody holds
// who made them, and then the directory for our groups where it is empty.
func Sweep() error { return kernel.sweep() }

func (h host) sweep() error {
	hs, err := h.ours()
	if err != nil {
		return err
	}
	var errs []error
	for _, t := range hs {
		parent := filepath.Join(t.top, h.parent)
		// Asked first: of a read-only mount rmdir says that it is one, whatever
		// is there or not.
		if there, _ := file.Exists(parent); !there {
			continue
		}
		for _, group := range subgroups(parent) {
			errs = append(errs, h.sweepGroup(group))
		}
		// One with a group in it is busy, and stays.
		if err := h.rmdir(parent); err != nil && !isGone(err) && !errors.Is(err, unix.EBUSY) {
			errs = append(errs, failed(parent, "rmdir", err, mkdirAdvice))
		}
	}
	return errors.Join(errs...)
}

func (h host) sweepGroup(path string) error {
	fd, err := lockDir(path, unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK), isGone(err):
		return nil
	case err != nil:
		return failed(path, "lock", err, nil)
	}
	defer unix.Close(fd)
	// The kernel would not remove a group with processes, but it would the
	// empty ones below, which may be of use to them.
	if len(processes(path)) > 0 {
		return nil
	}
	err = h.remove(path, 0)
	if errors.Is(err, unix.EBUSY) {
		return nil
	}
	return err
}
