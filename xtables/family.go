//go:build linux

package xtables

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"container/file"
)

// Family is iptables or ip6tables.
type Family struct {
	tool          string // iptables-legacy
	names         string // the file with the names of the tables that there are
	domain, level int    // of the socket and its options
	matchRevision int    // IPT_SO_GET_REVISION_MATCH
	address       int    // bytes
}

// The two there are.
var (
	IPv4 = Family{"iptables-legacy", "ip_tables_names", unix.AF_INET, unix.IPPROTO_IP, 66, 4}
	IPv6 = Family{"ip6tables-legacy", "ip6_tables_names", unix.AF_INET6, unix.IPPROTO_IPV6, 68, 16}
)

// Tool is the command that shows the family's rules: "iptables-legacy".
func (f Family) Tool() string { return f.tool }

const tableName = "filter"

// comment is what our entries carry; the bridge's name is behind it.
const comment = "container: "

// Missing is what would open the FORWARD chain to a bridge, as command lines;
// none when it isn't closed, or there is no such table. It changes nothing, and
// makes no table.
func (f Family) Missing(bridge string) (cmds []string, err error) {
	_, err = f.look(func(s socket, t *table) bool {
		cmds = t.open(bridge, s.hasComment)
		return false
	})
	return cmds, err
}

// Open makes FORWARD accept what comes from a bridge and what goes there, if it
// drops what nobody accepted: by its policy, or by a rule that drops or rejects
// whatever has come so far, or that leads all of it to a chain that does. The
// two entries stand right before that. Nothing is done when they are there, or
// others that do the same.
//
// They carry a comment, if the kernel knows of comments (xt_comment).
func (f Family) Open(bridge string) error {
	return f.change(func(s socket, t *table) bool { return t.open(bridge, s.hasComment) != nil })
}

// Close takes away what Open added for a bridge. Where the kernel knows of no
// comments, any two entries that look the same are taken for ours.
func (f Family) Close(bridge string) error {
	return f.change(func(s socket, t *table) bool {
		return t.close(bridge, true) || !s.hasComment() && t.close(bridge, false)
	})
}

// Opened lists the bridges that entries of ours with a comment are for.
func (f Family) Opened() (bridges []string, err error) {
	_, err = f.look(func(_ socket, t *table) bool {
		for _, at := range t.chain() {
			if name, ok := strings.CutPrefix(t.entry(at).comment(), comment); ok && !slices.Contains(bridges, name) {
				bridges = append(bridges, name)
			}
		}
		return false
	})
	return bridges, err
}

// look reads the table, if there is one, and tells what edit makes of it.
func (f Family) look(edit func(socket, *table) bool) (changed bool, err error) {
	// /proc/net is that of the process's first thread, not of this one.
	names, err := file.Read("/proc/thread-self/net/" + f.names)
	if errors.Is(err, os.ErrNotExist) || err == nil && !slices.Contains(strings.Fields(string(names)), tableName) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: list the tables: %w", f.tool, err)
	}
	s, err := f.dial()
	if err != nil {
		return false, err
	}
	defer s.close()
	t, err := s.read()
	if err != nil {
		return false, err
	}
	return edit(s, t), nil
}

// change reads the table and puts what edit makes of it in its place. Others
// are kept out only if there is something to do.
func (f Family) change(edit func(socket, *table) bool) error {
	if changed, err := f.look(edit); err != nil || !changed {
		return err
	}
	unlock, err := lock(patience)
	if err != nil {
		return err
	}
	defer unlock()
	s, err := f.dial()
	if err != nil {
		return err
	}
	defer s.close()
	for try := 1; ; try++ {
		t, err := s.read()
		if err == nil && edit(s, t) {
			err = s.replace(t)
		}
		// Somebody who doesn't know of the lock was faster.
		if !errors.Is(err, unix.EAGAIN) || try == 5 {
			return err
		}
	}
}

// patience is how long another program may keep the lock.
const patience = 10 * time.Second

// lock keeps out iptables-legacy, and others like us, until unlock. Where the
// file can't be made, in a read-only /run, no iptables could have made it.
func lock(wait time.Duration) (unlock func(), err error) {
	const name = "/run/xtables.lock"
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EROFS) {
		return func() {}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	var failed error
	done := make(chan struct{})
	go func() {
		defer close(done)
		failed = unix.Flock(fd, unix.LOCK_EX)
		for errors.Is(failed, unix.EINTR) {
			failed = unix.Flock(fd, unix.LOCK_EX)
		}
	}()
	release := func() {
		// A process that was forked meanwhile may have the descriptor too.
		_ = unix.Flock(fd, unix.LOCK_UN)
		unix.Close(fd)
	}
	late := make(chan struct{})
	defer time.AfterFunc(wait, func() { close(late) }).Stop()
	select {
	case <-done:
	case <-late:
		go func() { <-done; release() }()
		return nil, fmt.Errorf("lock %s: another program has held it for %s", name, wait)
	}
	if failed != nil {
		release()
		return nil, fmt.Errorf("lock %s: %w", name, failed)
	}
	return release, nil
}
