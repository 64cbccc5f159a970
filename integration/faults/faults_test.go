//go:build linux && (amd64 || arm64)

package faults

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"container/integration/lab"
)

var (
	all  = flag.Bool("all", false, "each call, not a sample")
	only = flag.String("only", "", "the faults whose name this regular expression matches")
	show = flag.Bool("show", false, "list the calls")
)

func TestMain(m *testing.M) {
	status := m.Run()
	lab.Cleanup()
	os.Exit(status)
}

// judge tells whether a run took a fault as it should.
func judge(f Fault, o *outcome) error {
	said := strings.TrimSuffix(o.stderr, "\n")
	lines := strings.Split(said, "\n")
	result := fmt.Sprintf("status %s, output %q, error %q", words(o.status), o.stdout, o.stderr)
	switch {
	case o.hung:
		return fmt.Errorf("it hangs: %s", result)
	case f.ofRuntime() && f.deed == fail:
		return nil
	case o.stdout != "":
		return errors.New(result)
	case f.deed == killRunner && !o.late || f.deed == killCaller && f.Role == Runner:
		if o.status.Signaled() && o.status.Signal() == syscall.SIGKILL && said == "" {
			return nil
		}
		return errors.New(result)
	}
	if o.ran && f.Role == Guardian && f.deed == killCaller && o.status.ExitStatus() != 0 {
		return fmt.Errorf("the command has run: %s", result)
	}
	switch o.status.ExitStatus() {
	case 0:
		if said == "" || !slices.ContainsFunc(lines, func(l string) bool { return !strings.HasPrefix(l, "main: warning: ") }) {
			return nil
		}
	case 125, 126, 127:
		if len(lines) != 1 || !strings.HasPrefix(said, "main: ") {
			return errors.New(result)
		}
		if !speaks(f, said) {
			return fmt.Errorf("the error does not say why: %s", result)
		}
		return nil
	case 128 + int(unix.SIGKILL):
		if f.deed == killCaller && said == "" {
			return nil
		}
	}
	return errors.New(result)
}

// meaningful tells whether an errno says something that may be put in better
// words: what is asked for is not there, or somebody else has it. And a mount
// point that can't be looked at is taken for one that another mount covers.
func meaningful(f Fault) bool {
	return f.errno == unix.ENOENT || f.errno == unix.EADDRINUSE || f.Role == Runner && f.Name == "newfstatat"
}

// speaks tells whether an error has the kernel's words.
func speaks(f Fault, said string) bool {
	switch f.deed {
	case fail:
		// Some have a meaning, which may be put in better words.
		return strings.Contains(said, f.errno.Error()) || !strings.Contains(said, unix.EBADF.Error()) && meaningful(f)
	case refuse:
		return strings.Contains(said, unix.EOPNOTSUPP.Error()) || strings.Contains(said, unix.EINVAL.Error())
	}
	return true
}

func words(s syscall.WaitStatus) string {
	if s.Signaled() {
		return s.Signal().String()
	}
	return fmt.Sprint(s.ExitStatus())
}

const address = "172.16.0.30"

func (h *host) args() []string {
	return []string{"-p", "8080:8000", "-memory", "64m", "-rootfs", h.tree, address, "true"}
}

// try has a run go wrong, and looks at what is left.
func (h *host) try(f Fault) (reached bool, err error) {
	h.t.Helper()
	o, err := h.trace(&f, h.args()...)
	if err != nil {
		return false, err
	}
	var errs []error
	if o.reached {
		errs = append(errs, judge(f, o))
	}
	lab.Eventually(h.t, h.noVeth)
	if !f.downAlone {
		errs = append(errs, h.main(h.args()...))
		lab.Eventually(h.t, h.noVeth)
	}
	errs = append(errs, h.main("down"), h.same(o))
	if err = errors.Join(errs...); err != nil {
		err = fmt.Errorf("%s (%s): %w", f, o.at, err)
	}
	return o.reached, err
}

// faults are all that can go wrong at calls.
func faults(calls []seen) []Fault {
	var all []Fault
	for _, s := range calls {
		if s.ofRuntime() && s.N > 3 && s.N%16 != 0 {
			continue // there are hundreds, one like the other
		}
		for _, e := range byName[s.Name].errnos {
			all = append(all, Fault{Call: s.Call, deed: fail, errno: e})
		}
		for i := range s.messages {
			all = append(all, Fault{Call: s.Call, deed: refuse, message: i})
		}
		for _, alone := range []bool{false, true} {
			all = append(all, Fault{Call: s.Call, deed: killRunner, downAlone: alone})
			if s.Role != Runner {
				all = append(all, Fault{Call: s.Call, deed: killCaller, downAlone: alone})
			}
		}
	}
	return all
}

func TestFaults(t *testing.T) {
	h := newHost(t)
	o, err := h.trace(nil, h.args()...)
	if err != nil {
		t.Fatal(err)
	}
	if o.status != 0 || o.stderr != "" {
		t.Fatalf("a run without a fault: status %s, error %q", words(o.status), o.stderr)
	}
	if err := h.main("down"); err != nil {
		t.Fatal(err)
	}
	if err := h.same(o); err != nil {
		t.Fatal(err)
	}
	if *show {
		for _, s := range o.calls {
			t.Log(s.Call, s.messages)
		}
	}
	pattern := regexp.MustCompile(*only)
	work := make(chan Fault)
	var tried, reached, bad atomic.Int32
	var group sync.WaitGroup
	for range 2 {
		h := newHost(t)
		group.Go(func() {
			for f := range work {
				tried.Add(1)
				was, err := h.try(f)
				if was {
					reached.Add(1)
				}
				if err != nil {
					bad.Add(1)
					t.Error(err)
					h = newHost(t)
				}
			}
		})
	}
	for _, f := range faults(o.calls) {
		if pattern.MatchString(f.String()) {
			work <- f
		}
	}
	close(work)
	group.Wait()
	t.Logf("%d calls, %d tried, %d reached, %d bad", len(o.calls), tried.Load(), reached.Load(), bad.Load())
}
