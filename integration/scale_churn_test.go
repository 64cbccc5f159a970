//go:build linux

package integration

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"container/integration/lab"
)

// Short runs, several at a time, of which many are killed at some moment: the
// runner, and now and then its guardian or the container's first process as well,
// or instead. Whoever is not killed succeeds, and in the end there is no more of
// anything on the host than before.
func TestChurn(t *testing.T) {
	const workers = 4
	runs := inStorm(150, 5000)
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("CHURN_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("CHURN_SEED=%d", seed)
	n := lab.New(t).Host
	before := n.Snapshot()
	c := churn{Node: n, name: fmt.Sprintf("churn-%d", os.Getpid())}

	// What is there to stay is there after the first few, of which one at least
	// comes to its end.
	succeed(t, n.Main("-p", "8080:80", address, "true"))
	for w := range workers {
		if err := c.round(rand.New(rand.NewPCG(seed, uint64(100+w))), w, 5); err != nil {
			t.Error(err)
		}
	}
	c.settle(t)
	rules, sockets, system := n.Ruleset(), c.sockets(t), takeStock(t)

	var all sync.WaitGroup
	since := time.Now()
	for w := range workers {
		all.Go(func() {
			if err := c.round(rand.New(rand.NewPCG(seed, uint64(w))), w, runs/workers); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	t.Logf("%d runs in %v: %s", runs, time.Since(since).Round(time.Millisecond), c.tally.String())
	c.settle(t)
	if err := unchanged(rules, n.Ruleset()); err != nil {
		t.Error(err)
	}
	lab.Eventually(t, func() error {
		if now := c.sockets(t); now > sockets {
			return fmt.Errorf("there were %d sockets, and are %d", sockets, now)
		}
		return nil
	})
	if *storm {
		system.flat(t, runs)
	}
	succeed(t, n.Main("down"))
	same(t, n, before)
}

// churn is a host with many short runs.
type churn struct {
	*lab.Node
	name string // in the command line of each process that a run clones

	tally tally
}

// settle returns when nothing is left of the runs, and fails if something is.
func (c *churn) settle(t *testing.T) {
	t.Helper()
	lab.Eventually(t, func() error { return ended(called(t, c.name)...) })
	lab.Eventually(t, func() error { return noVeth(c.Node) })
	succeed(t, c.Main("gc"))
	idle(t, c.Node)
}

// sockets is how many the network namespace has.
func (c *churn) sockets(t *testing.T) (count int) {
	t.Helper()
	err := c.Do(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/sockstat")
		if err != nil {
			return err
		}
		_, err = fmt.Sscanf(string(b), "sockets: used %d", &count)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return count
}

// round has one worker make so many runs, one after the other.
func (c *churn) round(rng *rand.Rand, worker, runs int) error {
	for i := range runs {
		// A run that was killed has its address and ports for another while.
		if err := c.run(rng, worker, i%50); err != nil {
			return fmt.Errorf("worker %d, run %d: %w", worker, i, err)
		}
	}
	return nil
}

// run makes one run, of a kind and to an end that the dice say.
func (c *churn) run(rng *rand.Rand, worker, place int) error {
	args := []string{"-hostname", c.name}
	if rng.IntN(2) == 0 {
		port := 10000 + 200*worker + 4*place
		args = append(args, "-p", fmt.Sprintf("%d-%d:80-81", port, port+1), "-p", fmt.Sprintf("127.0.0.1:%d:53/udp", port+2))
	}
	if rng.IntN(8) == 0 {
		args = append(args, "-isolate")
	}
	if address := fmt.Sprintf("172.16.0.%d", 1+100*(worker/2)+50*(worker%2)+place); address == bridgeAddr || rng.IntN(4) == 0 {
		args = append(args, "auto")
	} else {
		args = append(args, address)
	}
	victims := [][]string{
		nil, nil, {"main"}, {"main"}, {"main"}, {"child"}, {"main", "child"}, {"child", "child"}, {"child", "child", "main"},
	}[rng.IntN(9)]
	after := time.Duration(rng.IntN(30_000)) * time.Microsecond
	if victims == nil {
		return c.whole(append(args, "true"))
	}
	cmd := c.Main(append(args, "sleep", "1000")...)
	if err := cmd.Start(); err != nil {
		return err
	}
	// How far it gets is what is being tried.
	time.Sleep(after)
	main := cmd.Process.Pid
	for _, v := range victims {
		// The first child is the container's first process, and the next the
		// guardian, as far as they have been cloned.
		switch kids := children(main); {
		case v == "main":
			c.tally.add("main")
			_ = cmd.Process.Kill()
		case len(kids) > 0:
			c.tally.add("child")
			killChild(main, kids[rng.IntN(len(kids))])
		}
	}
	_ = cmd.Process.Kill() // for one whose guardian alone was killed goes on
	await(cmd)
	return nil
}

// whole makes a run that nobody kills. It may meet what is left of one that was,
// for as long as a guardian may take.
func (c *churn) whole(argv []string) error {
	c.tally.add("whole")
	for end := time.Now().Add(lab.Patience()); ; {
		stdout, stderr, status := c.Main(argv...).Result()
		switch {
		case status == 0 && stdout == "" && (stderr == "" || toldAddress.MatchString(stderr)):
			return nil
		case status == 125 && inUse.MatchString(stderr) && time.Now().Before(end):
			c.tally.add("met another's rest")
		default:
			return fmt.Errorf("%s: status %d, output %q, error %q", strings.Join(argv, " "), status, stdout, stderr)
		}
	}
}

var (
	toldAddress = regexp.MustCompile(`^main: address [0-9.]+\n$`)
	inUse       = regexp.MustCompile(`^main: .*in use by .*\n$`)
)

// killChild kills a process, if it is yet the child of another.
func killChild(parent, pid int) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if f := stat(pid); len(f) > 1 && f[1] == strconv.Itoa(parent) {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	}
}

// tally counts what has happened.
type tally struct {
	mu    sync.Mutex
	count map[string]int
}

func (y *tally) add(what string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.count == nil {
		y.count = make(map[string]int)
	}
	y.count[what]++
}

func (y *tally) String() string {
	var words []string
	for what, n := range y.count {
		words = append(words, fmt.Sprintf("%s %d", what, n))
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}

// stock is what a whole system has, of which a run that is through has nothing.
type stock map[string]int

// takeStock counts what there is. Much of it comes and goes by others' doing.
func takeStock(t *testing.T) stock {
	t.Helper()
	s := make(stock)
	number := func(name, file, line string) {
		b, err := os.ReadFile(file)
		if m := regexp.MustCompile(line).FindStringSubmatch(string(b)); m != nil {
			s[name], err = strconv.Atoi(m[1])
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	number("open files", "/proc/sys/fs/file-nr", `^(\d+)`)
	number("KiB of the kernel's", "/proc/meminfo", `SUnreclaim: *(\d+)`)
	number("network namespaces", "/proc/slabinfo", `(?m)^net_namespace +(\d+)`)
	pids, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	s["processes"] = len(pids)
	groups := 0
	_ = filepath.WalkDir("/sys/fs/cgroup", func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			groups++
		}
		return nil
	})
	s["control groups"] = groups
	return s
}

// flat checks that there is no more of anything than before, give or take what
// others do: what each run leaves, or each tenth, would show.
func (s stock) flat(t *testing.T, runs int) {
	t.Helper()
	more := make(stock)
	lab.Eventually(t, func() error {
		clear(more)
		var errs []error
		for name, now := range takeStock(t) {
			more[name] = now - s[name]
			allowed := runs / 10
			if name == "KiB of the kernel's" {
				allowed = 8 * runs // a network namespace is 100 KiB and more
			}
			if more[name] > allowed {
				errs = append(errs, fmt.Errorf("%s: %d were there, and %d are; want at most %d more", name, s[name], now, allowed))
			}
		}
		return errors.Join(errs...)
	})
	t.Logf("more than before, in a system of %v: %v", s, more)
}
