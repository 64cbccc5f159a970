//go:build linux

// Command bench measures what the container runner takes, beside other ways to
// do the same. Its arguments name the parts to measure; without one, all:
//
//   - start: whole runs, from start to exit, in one interleaved run: the floor
//     (floor.c), which makes the same system calls and messages in C with
//     nothing else; the runner; and the peers that are installed. For (a)
//     namespaces alone, (b) the network as well, (c) and a published port.
//   - parallel: runs a second, with several callers.
//   - scale: runs beside 10,000 published ports, and 100 and 900 containers.
//   - connections: what a connection takes through many published ports, beside
//     iptables.
//   - traffic: round trips and throughput, beside the same network made by hand.
//
// The command in the container is a static program that does nothing. What is
// printed are medians and ratios, and no verdict. With -o they go into the
// sections of a document, between lines "<!-- bench: NAME -->" and "<!-- end -->".
//
// It takes root, gcc and the go command. Everything happens in network and
// mount namespaces of its own, which go with it.
//
// # What disturbs a measurement
//
// A run's veth is removed by the kernel some milliseconds after its last
// process (cleanup_net, net/core/net_namespace.c), and its guardian waits for
// RCU. Both hold locks that the next run wants: rtnl and that of nf_tables. So
// by default each measurement waits until the links of the one before are gone
// (-settle); the lines that say "at once" show what it is without that wait.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"container/nl"
	"container/rtnl"
)

func main() {
	log := func(err error) {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
	o := options{}
	flag.StringVar(&o.runner, "main", "./main", "the runner's binary")
	flag.IntVar(&o.rounds, "n", 100, "measurements of each")
	flag.DurationVar(&o.settle, "settle", 2*time.Second, "wait at most so long until the links of the run before are gone; 0: don't")
	flag.StringVar(&o.match, "only", "", "measure only those whose names a `pattern` matches (path.Match), and the floor")
	flag.BoolVar(&o.fifo, "fifo", false, "run at real-time priority, where the machine has other work to do")
	flag.StringVar(&o.write, "o", "", "put what was measured into this `file`'s sections, and a chart beside it")
	flag.Parse()
	o.what = flag.Args()
	if err := bench(o); err != nil {
		log(err)
	}
}

type options struct {
	runner string
	rounds int
	settle time.Duration
	match  string
	fifo   bool
	write  string
	what   []string
}

func bench(o options) error {
	if os.Geteuid() != 0 {
		return errors.New("this takes root: it makes namespaces")
	}
	runner, err := filepath.Abs(o.runner)
	if err != nil {
		return err
	}
	o.runner = runner
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	t, err := build(dir)
	if err != nil {
		return err
	}
	var report report
	for _, part := range parts {
		if len(o.what) > 0 && !slices.Contains(o.what, part.name) {
			continue
		}
		var b strings.Builder
		if err := part.measure(&b, t, o); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		fmt.Println(b.String())
		report.add(part.name, b.String())
	}
	if o.write == "" {
		return nil
	}
	return report.write(o.write)
}

// part is one of the things that are measured, and written as a table.
type part struct {
	name    string
	measure func(w io.Writer, t *tools, o options) error
}

var parts = []part{
	{"machine", machine},
	{"start", start},
	{"parallel", parallel},
	{"scale", scale},
	{"connections", connections},
	{"traffic", traffic},
}

// start measures whole runs, one after another.
func start(w io.Writer, t *tools, o options) error {
	l, err := newLab()
	if err != nil {
		return err
	}
	// crun refuses to see a cgroup v2 tree beside those of v1. (EINVAL: there is
	// none.)
	_ = unix.Unmount("/sys/fs/cgroup/unified", unix.MNT_DETACH)
	if o.fifo {
		// A process at real-time priority may not enter a cgroup of the cpu
		// controller that has no real-time share (CONFIG_RT_GROUP_SCHED), as those
		// that runc and Docker make: EINVAL. They do without one that isn't there.
		_ = unix.Unmount("/sys/fs/cgroup/cpu", unix.MNT_DETACH)
		// For this thread, which newLab has locked, and all that it starts.
		if err := priority(unix.SCHED_FIFO, 1); err != nil {
			return err
		}
		defer func() { _ = priority(unix.SCHED_NORMAL, 0) }()
	}
	// The bridge, its ruleset and the sysctls, for the floor to find.
	if _, err := t.measure(l, o.settle, o.runner, "-p", "80:8000", address, t.nothing); err != nil {
		return err
	}
	all, missing, stop := contenders(o, t)
	defer stop()
	for round := range o.rounds {
		for _, i := range rand.Perm(len(all)) {
			if all[i].slow && round%10 != 0 {
				continue
			}
			if err := all[i].once(t, l, o.settle); err != nil {
				return err
			}
		}
	}
	printTable(w, all)
	printNotes(w, o, l, missing)
	if o.write != "" {
		return drawChart(chartBeside(o.write), all)
	}
	return nil
}

func priority(policy uint32, n uint32) error {
	attr := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: policy, Priority: n}
	if err := unix.SchedSetAttr(0, attr, 0); err != nil {
		return fmt.Errorf("sched_setattr: %w", err)
	}
	return nil
}

const address = "172.16.0.30"

// lab is the network namespace that everything happens in.
type lab struct {
	route *nl.Conn
	base  int // how many veths are there to stay
	waits int // for links to go, that were in vain
}

// newLab moves the calling goroutine, and so what it starts, into a network
// namespace of its own, and a mount namespace from which nothing spreads. The
// thread never goes back, and both end with the last process in them.
func newLab() (*lab, error) {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
		return nil, fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("none", "/run", "tmpfs", 0, ""); err != nil {
		return nil, fmt.Errorf("mount /run: %w", err)
	}
	c, err := rtnl.Dial(nil)
	if err != nil {
		return nil, err
	}
	return &lab{route: c}, c.Do(rtnl.Up(rtnl.LoopbackIndex, "lo"))
}

// veths is how many there are.
func (l *lab) veths() (int, error) {
	links, err := rtnl.List(l.route)
	n := 0
	for _, link := range links {
		if link.Kind == "veth" {
			n++
		}
	}
	return n, err
}

// rest waits until nothing comes or goes any more: what there is now is there
// to stay.
func (l *lab) rest() error {
	for quiet := 0; quiet < 20; quiet++ {
		n, err := l.veths()
		if err != nil {
			return err
		}
		if n != l.base {
			l.base, quiet = n, 0
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

// settle waits until no veth is left but those that are there to stay.
func (l *lab) settle(most time.Duration) error {
	for end := time.Now().Add(most); time.Now().Before(end); time.Sleep(time.Millisecond) {
		n, err := l.veths()
		if err != nil || n <= l.base {
			return err
		}
	}
	l.waits++
	return nil
}

// contender is one way to run the command.
type contender struct {
	name string
	mode string // "a", "b", "c": what it is compared with; or ""
	argv []string

	// atOnce runs the command once, unmeasured, right before each
	// measurement, and does not wait for what that leaves behind.
	atOnce bool

	// slow ones are measured in every tenth round.
	slow bool

	// variant is of another with the same mode: not one of its own in a chart.
	variant bool

	samples []sample
}

// once takes one more sample.
func (c *contender) once(t *tools, l *lab, settle time.Duration) error {
	if c.atOnce {
		if err := l.settle(settle); err != nil {
			return err
		}
		if _, err := t.measure(nil, 0, c.argv...); err != nil {
			return err
		}
		settle = 0
	}
	s, err := t.measure(l, settle, c.argv...)
	c.samples = append(c.samples, s)
	return err
}
