//go:build linux

package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// wide is a network with room for all, and its bridge's address.
const wide = "172.16.0.100/16"

// held are runs that last until they are let go.
type held []*exec.Cmd

// hold starts a run, and returns when its command is executed: it says so.
func (h *held) hold(o options, t *tools, args ...string) error {
	c := exec.Command(o.runner, append(args, t.pause)...)
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	var stderr strings.Builder
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		return err
	}
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(c.Args, " "), err, stderr.String())
	}
	*h = append(*h, c)
	return nil
}

// letGo ends them all.
func (h *held) letGo() {
	for _, c := range *h {
		_ = c.Process.Signal(unix.SIGKILL)
	}
	for _, c := range *h {
		_ = c.Wait() // they were killed
	}
	*h = nil
}

// scale measures runs beside others that are there already: their containers,
// and their published ports.
func scale(w io.Writer, t *tools, o options) error {
	l, err := newLab()
	if err != nil {
		return err
	}
	var others held
	defer others.letGo()

	fmt.Fprintln(w, "| (c) beside | floor, ms | main, ms | main : floor | main : main alone |")
	fmt.Fprintln(w, "| --- | ---: | ---: | ---: | ---: |")
	alone := time.Duration(0)
	round := func(title string) error {
		floor := &contender{argv: []string{t.floor, "-c", "-l", "16", t.nothing}}
		ours := &contender{argv: []string{o.runner, "-gateway", wide, "-p", "80:8000", address, t.nothing}}
		if o.fifo {
			if err := priority(unix.SCHED_FIFO, 1); err != nil {
				return err
			}
			defer func() { _ = priority(unix.SCHED_NORMAL, 0) }()
		}
		both := []*contender{floor, ours}
		for range o.rounds {
			for _, i := range rand.Perm(len(both)) {
				if err := both[i].once(t, l, o.settle); err != nil {
					return err
				}
			}
		}
		f, m := quantile(floor, 0.5, wall), quantile(ours, 0.5, wall)
		if alone == 0 {
			alone = m
		}
		fmt.Fprintf(w, "| %s | %s | %s | %.2f | %.2f |\n", title, milliseconds(f), milliseconds(m), float64(m)/float64(f), float64(m)/float64(alone))
		return nil
	}
	// The bridge, its ruleset and the sysctls, for the floor to find.
	if _, err := t.measure(l, o.settle, o.runner, "-gateway", wide, address, t.nothing); err != nil {
		return err
	}
	if err := round("nothing"); err != nil {
		return err
	}
	// -p takes a range of as many ports on both sides.
	if err := others.hold(o, t, "-gateway", wide, "-p", "10000-19999:10000-19999", "172.16.1.1"); err != nil {
		return err
	}
	if err := round("a container with 10,000 published ports"); err != nil {
		return err
	}
	others.letGo()
	for _, n := range []int{100, 900} {
		for len(others) < n {
			i := len(others)
			if err := others.hold(o, t, "-gateway", wide, "-p", fmt.Sprintf("%d:8000", 10000+i), fmt.Sprintf("172.16.%d.%d", 1+i/200, 1+i%200)); err != nil {
				return err
			}
		}
		if err := l.rest(); err != nil {
			return err
		}
		if err := round(strconv.Itoa(n) + " containers with a published port each"); err != nil {
			return err
		}
	}
	return nil
}

// parallel measures how many runs end in a second, with several callers that
// start one after another.
func parallel(w io.Writer, t *tools, o options) error {
	l, err := newLab()
	if err != nil {
		return err
	}
	if _, err := t.measure(l, o.settle, o.runner, address, t.nothing); err != nil {
		return err
	}
	ways := []struct {
		title string
		argv  func(i int) []string
	}{
		{"main, (c)", func(i int) []string {
			return []string{o.runner, "-p", fmt.Sprintf("%d:8000", 10000+i), fmt.Sprintf("172.16.0.%d", 30+i), t.nothing}
		}},
		{"main, (a)", func(int) []string { return []string{o.runner, "-network", "none", t.nothing} }},
	}
	if installed("bwrap", nil) == nil {
		ways = append(ways, ways[1])
		ways[2].title, ways[2].argv = "bubblewrap, (a)", func(int) []string { return bubblewrap(t) }
	}
	callers := []int{1, 2, 8}
	fmt.Fprintln(w, "| runs a second of | 1 caller | 2 callers | 8 callers |")
	fmt.Fprintln(w, "| --- | ---: | ---: | ---: |")
	rates := make([][]float64, len(ways)*len(callers))
	for range max(o.rounds/10, 3) {
		for i, way := range ways {
			for j, n := range callers {
				if err := l.rest(); err != nil {
					return err
				}
				rate, err := t.race(n, way.argv)
				if err != nil {
					return err
				}
				rates[i*len(callers)+j] = append(rates[i*len(callers)+j], rate)
			}
		}
	}
	for i, way := range ways {
		fmt.Fprintf(w, "| %s", way.title)
		for j := range callers {
			fmt.Fprintf(w, " | %.0f", median(rates[i*len(callers)+j]))
		}
		fmt.Fprintln(w, " |")
	}
	return nil
}

// race has some callers run a command again and again, a hundred times in all,
// and returns how many ended in a second. Each caller is a shell: what is
// started from a goroutine of its own would not be in the lab.
func (t *tools) race(callers int, argv func(int) []string) (float64, error) {
	const runs = 100
	loop := fmt.Sprintf(`i=0; while [ $i -lt %d ]; do "$@" || exit; i=$((i+1)); done`, runs/callers)
	var all []*exec.Cmd
	start := time.Now()
	for i := range callers {
		c := exec.Command("sh", append([]string{"-c", loop, "sh"}, argv(i)...)...)
		c.Stderr = os.Stderr
		if err := c.Start(); err != nil {
			return 0, err
		}
		all = append(all, c)
	}
	for _, c := range all {
		if err := c.Wait(); err != nil {
			return 0, fmt.Errorf("%s: %w", strings.Join(c.Args[4:], " "), err)
		}
	}
	return float64(runs/callers*callers) / time.Since(start).Seconds(), nil
}
