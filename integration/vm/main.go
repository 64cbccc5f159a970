//go:build linux

// Command vm boots bare machines in qemu and runs ./main there: no libc, shell,
// ip, nft, iptables or modprobe beside it, only a kernel of Debian's, those of
// its modules that are needed, and this test's own /init (integration/vm/init).
// See docs/hosts.md for what came of it.
//
//	vm -arch arm64 -kernel 6.1    one boot
//	vm -all                       all that are known; makes the table of docs/hosts.md
//	vm -arch s390x -tests         and the tests of the packages there
//	vm -ci                        those that every change must pass
//	vm -missing                   without one module after another
//	vm -modules                   with the modules left to ./main, plain and compressed
//	vm -ram                       the smallest memory, by bisection; with -all, of the newest kernels
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
		os.Exit(1)
	}
}

// bench is what all boots have in common.
type bench struct {
	store    *store
	logs     string
	patience time.Duration
	jobs     int

	mu    sync.Mutex
	built map[string]func() (binaries, error)
}

func run() error {
	arch := flag.String("arch", "amd64", "boot machines of these `GOARCH`es, joined by commas; of arm there are arm/7, arm/6 and arm/5")
	version := flag.String("kernel", "6.1", "boot a `KERNEL`: 5.10, 6.1, 6.12, 7 for the newest, or all")
	cases := flag.String("cases", "", "run these `CASES` only, joined by commas")
	unloaded := flag.Bool("unloaded", false, "leave the loading of modules to ./main")
	without := flag.String("without", "", "leave out these `MODULES`, joined by commas")
	tests := flag.Bool("tests", false, "run the tests of the packages there too")
	memory := flag.Int("m", 0, "memory in `MB`")
	kvm := flag.Bool("kvm", false, "use /dev/kvm; where that is itself emulated, stock kernels hang in it")
	all := flag.Bool("all", false, "boot every target with every kernel")
	ci := flag.Bool("ci", false, "boot those that every change must pass")
	missing := flag.Bool("missing", false, "boot amd64 without one module after another")
	modules := flag.Bool("modules", false, "boot some that leave the loading of modules to ./main, plain ones and compressed ones")
	ram := flag.Bool("ram", false, "look for the smallest memory")
	table := flag.String("table", "", "put the table into `FILE`, between its two marks")
	b := &bench{built: map[string]func() (binaries, error){}}
	flag.StringVar(&b.logs, "logs", "", "keep what came on the serial lines in `DIR` (vm/ in the store)")
	flag.DurationVar(&b.patience, "patience", 5*time.Minute, "how long a machine may have a processor, or may do nothing")
	flag.IntVar(&b.jobs, "j", 2, "boot `N` machines at a time")
	flag.Parse()

	var err error
	if b.store, err = openStore(); err != nil {
		return err
	}
	if b.logs == "" {
		b.logs = filepath.Join(b.store.dir, "logs")
	}
	if err := os.MkdirAll(b.logs, 0o755); err != nil {
		return err
	}
	// The machine's clock counts its instructions, 8 ns each, and goes on at once
	// when it has nothing to do: what it sees of time doesn't depend on how long
	// this one takes to play it.
	speed := []string{"-icount", "shift=3,sleep=off"}
	if *kvm {
		speed = []string{"-accel", "kvm", "-cpu", "host"}
	}
	words := []string{}
	if *cases != "" {
		words = append(words, "vm.cases="+*cases)
	}
	if *unloaded {
		words = append(words, "vm.modules=no")
	}
	var boots []boot
	switch {
	case *all:
		for _, t := range targets {
			kernels := t.kernels
			if *ram { // a dozen boots each
				kernels = kernels[len(kernels)-1:]
			}
			for _, k := range kernels {
				boots = append(boots, boot{target: t, kernel: k})
			}
		}
	case *ci:
		boots = ciBoots()
	case *missing:
		boots = missingBoots()
	case *modules:
		boots = moduleBoots()
	default:
		for name := range strings.SplitSeq(*arch, ",") {
			t, ok := find(name)
			kernels := []string{*version}
			if *version == "all" {
				kernels = t.kernels
			}
			if !ok || suiteOf(kernels[0]) == "" {
				return fmt.Errorf("no target %s with kernel %s is known", name, *version)
			}
			for _, k := range kernels {
				boots = append(boots, boot{target: t, kernel: k})
			}
		}
	}
	for i := range boots {
		boots[i].words = append(boots[i].words, words...)
		if boots[i].speed = speed; boots[i].target.byWall && !*kvm {
			boots[i].speed = nil
		}
		if *without != "" {
			boots[i].without = strings.Split(*without, ",")
		}
		boots[i].tests = boots[i].tests || *tests
		if boots[i].memory = boots[i].target.memory; *memory != 0 {
			boots[i].memory = *memory
		}
	}
	return b.boot(boots, *ram, *table)
}

// boot boots them all, tells what became of each, and fails if one did.
func (b *bench) boot(boots []boot, ram bool, table string) error {
	if err := tools(boots); err != nil {
		return err
	}
	outcomes := make([]outcome, len(boots))
	var wg sync.WaitGroup
	next := make(chan int)
	for range b.jobs {
		wg.Go(func() {
			for i := range next {
				if ram {
					outcomes[i] = b.smallest(boots[i])
					outcomes[i].ofMemory = true
				} else {
					outcomes[i] = b.one(boots[i])
				}
				b.tell(&outcomes[i], table)
			}
		})
	}
	for i := range boots {
		next <- i
	}
	close(next)
	wg.Wait()
	failed := 0
	for _, o := range outcomes {
		if !o.ok() {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d boots failed", failed, len(boots))
	}
	return nil
}

// tell prints what became of a boot, and puts it into the table at once: who
// ends this early keeps what there is.
func (b *bench) tell(o *outcome, table string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if table != "" {
		if err := writeTable(table, []outcome{*o}); err != nil {
			o.err = errors.Join(o.err, err)
		}
	}
	fmt.Println(o)
}

// ok tells whether all cases passed.
func (o outcome) ok() bool {
	return o.err == nil && len(o.failed) == 0 && o.passed == o.total && o.total > 0
}

func (o outcome) String() string {
	text := fmt.Sprintf("%-8s %-22s %d MB: ", o.target.name, o.release, o.memory)
	if o.squeeze != "" {
		text += "modules by " + o.squeeze + ": "
	}
	if len(o.without) > 0 {
		text += "without " + strings.Join(o.without, ", ") + ": "
	}
	switch {
	case o.ok():
		text += fmt.Sprintf("%d cases passed", o.passed)
	case o.err != nil:
		text += o.err.Error()
	default:
		text += fmt.Sprintf("%d of %d cases passed, not %s", o.passed, o.total, strings.Join(o.failed, ", "))
	}
	if o.smallest != 0 {
		text += fmt.Sprintf("; smallest memory %d MB, the kernel alone %d MB", o.smallest, o.smallestBoot)
	}
	text += fmt.Sprintf("; up after %.1f s, all %.1f s, %s MB in use", o.up.Seconds(), o.all.Seconds(), o.peak)
	if !o.ok() {
		text += "; see " + o.log
	}
	return text
}

// one is one boot.
func (b *bench) one(what boot) outcome {
	k, err := b.store.kernel(what.target, what.kernel)
	if err != nil {
		return outcome{boot: what, release: what.kernel, err: err}
	}
	bin, err := b.binaries(what.target, what.tests)
	if err != nil {
		return outcome{boot: what, release: k.release, err: err}
	}
	if what.tests {
		// They are as large as all the rest.
		what.memory *= 2
		what.words = append(slices.Clone(what.words), "vm.tests=yes")
	}
	return what.run(b.patience, k, bin, b.logs)
}

// binaries builds what a target runs, once.
func (b *bench) binaries(t target, tests bool) (binaries, error) {
	b.mu.Lock()
	key := fmt.Sprint(t.name, tests)
	f := b.built[key]
	if f == nil {
		f = sync.OnceValues(func() (binaries, error) { return build(t, tests) })
		b.built[key] = f
	}
	b.mu.Unlock()
	return f()
}

// tools installs the qemus that are not there.
func tools(boots []boot) error {
	var install []string
	for _, b := range boots {
		if _, err := exec.LookPath("qemu-system-" + b.target.qemu); errors.Is(err, exec.ErrNotFound) {
			install = append(install, "qemu-system-"+b.target.pkg)
		}
	}
	if len(install) == 0 {
		return nil
	}
	slices.Sort(install)
	for _, args := range [][]string{
		{"apt-get", "update", "-qq"},
		append([]string{"apt-get", "install", "-qqy", "--no-install-recommends"}, slices.Compact(install)...),
	} {
		if os.Geteuid() != 0 {
			args = append([]string{"sudo"}, args...)
		}
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}
