//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"container/file"
	"container/nat"
	"container/nl"
)

// recordName is what /proc shows of the memory that a runner keeps its claim
// in: "/memfd:container claim (deleted)".
const recordName = "container claim"

// keepRecord writes down what the claim is, for the case that somebody empties
// nf_tables under the container ("nft flush ruleset", a firewall that is loaded
// anew): the messages that put it there again, and the settings that were
// changed for all, with what they were before.
func (g *guardian) keepRecord() error {
	for _, f := range g.claim.Families() {
		if f == nat.Bridge {
			continue
		}
		settings, err := f.RememberAgain(g.nat)
		if err != nil {
			return err
		}
		g.record = append(g.record, settings...)
	}
	return keepRecord(append(g.claim.Restore(), g.record...))
}

// keepRecord keeps messages in memory that lasts as long as this process, and
// that root finds in /proc.
func keepRecord(reqs []nl.Request) error {
	fd, err := unix.MemfdCreate(recordName, unix.MFD_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("memfd_create", err)
	}
	for b := nl.Marshal(reqs); len(b) > 0; {
		n, err := ignoringEINTR(func() (int, error) { return unix.Write(fd, b) })
		if err != nil {
			_ = unix.Close(fd)
			return fmt.Errorf("write down the claim: %w", err)
		}
		b = b[n:]
	}
	return nil
}

// record reads what the runner of a container has written down. The runner is
// the parent of the container's first process.
func record(pid int) ([]nl.Request, error) {
	runner, err := parentOf(pid)
	if err != nil {
		return nil, err
	}
	dir := fmt.Sprintf("/proc/%d/fd/", runner)
	fds, err := file.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoRecord
	}
	if err != nil {
		return nil, err
	}
	for _, fd := range fds {
		if to, err := os.Readlink(dir + fd); err != nil || to != "/memfd:"+recordName+" (deleted)" {
			continue
		}
		b, err := file.Read(dir + fd)
		if err != nil {
			return nil, err
		}
		return nl.Unmarshal(b, "what was leased and published")
	}
	return nil, errNoRecord
}

// errNoRecord: the container has claimed nothing yet.
var errNoRecord = errors.New("its runner has no record of a claim")

// parentOf is a process's parent: field 4 of /proc/PID/stat.
func parentOf(pid int) (int, error) {
	f, err := procStat(pid)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(f[1])
}

// procStat is the fields of /proc/PID/stat from the third on
// (proc_pid_stat(5)).
func procStat(pid int) ([]string, error) {
	stat, err := file.Read(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	f, err := parseStat(string(stat))
	if err != nil {
		return nil, fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	return f, nil
}

// parseStat reads those fields. The second, the name, stands in parentheses and
// may have any in itself.
func parseStat(stat string) ([]string, error) {
	const least = 20 // up to starttime
	f := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(f) < least {
		return nil, fmt.Errorf("%d fields", len(f))
	}
	return f, nil
}

// restore puts back what somebody has taken from containers that run.
func (s *inventory) restore() error {
	var errs []error
	for _, t := range s.live {
		if !t.lost() {
			continue
		}
		if err := restore(s.x, t); err != nil {
			errs = append(errs, fmt.Errorf("restore %s: %w", describe(t.link, t.who), err))
		}
	}
	return errors.Join(errs...)
}

func restore(x *narrator, t tenant) error {
	reqs, err := record(t.who.pid)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) || errors.Is(err, errNoRecord) {
		return nil // it has just ended, or is about to begin
	}
	if err != nil {
		return err
	}
	c, err := nat.Dial(x.tracer())
	if err != nil {
		return err
	}
	defer c.Close()
	if err := rulesets(c, familiesOf(reqs), false); err != nil {
		return err
	}
	return nat.Commit(c, reqs)
}

// familiesOf are those that nf_tables messages are about: the first byte of
// struct nfgenmsg.
func familiesOf(reqs []nl.Request) []nat.Family {
	var all []nat.Family
	for _, r := range reqs {
		if f := nat.Family(r.Data[0]); !slices.Contains(all, f) {
			all = append(all, f)
		}
	}
	return all
}
