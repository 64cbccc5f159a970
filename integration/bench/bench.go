//go:build linux

// Command bench measures whole runs, from start to exit, of the container
// runner and of other ways to do the same, all in one interleaved run:
//
//   - the floor (floor.c): the same system calls and messages in C, with
//     nothing else, for (a) namespaces alone, (b) the network as well, (c) and
//     a published port;
//   - the runner for (b) and (c), and what its Go runtime costs before main;
//   - bubblewrap, unshare, crun and runc, where they are installed, for (a);
//   - the article's own shell commands, with ip and nft, for (c).
//
// The command in the container is a static program that does nothing. What is
// printed are medians and ratios, and no verdict.
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
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
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
	flag.Parse()
	if flag.NArg() > 0 {
		log(fmt.Errorf("%q: there are no arguments", flag.Arg(0)))
	}
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
	l, err := newLab()
	if err != nil {
		return err
	}
	if o.fifo {
		// For this thread, which newLab has locked, and all that it starts.
		attr := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}
		if err := unix.SchedSetAttr(0, attr, 0); err != nil {
			return fmt.Errorf("sched_setattr: %w", err)
		}
	}
	// The bridge, its ruleset and the sysctls, for the floor to find.
	if _, err := t.measure(l, o.settle, o.runner, "-p", "80:8000", address, t.nothing); err != nil {
		return err
	}
	all, missing := contenders(o, t)
	for range o.rounds {
		for _, i := range rand.Perm(len(all)) {
			if err := all[i].once(t, l, o.settle); err != nil {
				return err
			}
		}
	}
	printMachine(os.Stdout, o, t)
	printTable(os.Stdout, all)
	printNotes(os.Stdout, o, l, missing)
	return nil
}

const address = "172.16.0.30"

// lab is the network namespace that everything happens in.
type lab struct {
	route *nl.Conn
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
	c, err := rtnl.Dial(nil)
	if err != nil {
		return nil, err
	}
	return &lab{route: c}, c.Do(rtnl.Up(rtnl.LoopbackIndex, "lo"))
}

// settle waits until no veth is left.
func (l *lab) settle(most time.Duration) error {
	for end := time.Now().Add(most); time.Now().Before(end); time.Sleep(time.Millisecond) {
		links, err := rtnl.List(l.route)
		if err != nil {
			return err
		}
		left := 0
		for _, link := range links {
			if link.Kind == "veth" {
				left++
			}
		}
		if left == 0 {
			return nil
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
