//go:build linux && (amd64 || arm64)

package faults

import (
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"container/integration/lab"
	"container/integration/need"
)

var (
	every = flag.Bool("every", false, "let each call go wrong, not a sample of them")
	only  = flag.String("only", "", "of the faults, those whose name this regular expression matches")
)

func TestMain(m *testing.M) {
	status := m.Run()
	lab.Cleanup()
	os.Exit(status)
}

// verdict is how a run took a fault.
type verdict string

const (
	harmless verdict = "harmless"         // it did what it was to do, and said at most a warning
	told     verdict = "told in a line"   // it failed, and said why
	crashed  verdict = "the Go runtime's" // a call of the runtime's failed
	killed   verdict = "killed"           // with a process that it can't do without
	missed   verdict = "not reached"      // there was no such call this time
)

// judge tells how a run took a fault, with an error if not as it should.
func judge(f Fault, o *outcome) (verdict, error) {
	said := strings.TrimSuffix(o.stderr, "\n")
	lines := strings.Split(said, "\n")
	status := o.status.ExitStatus()
	wrong := fmt.Errorf("status %s, output %q, error %q", words(o.status), o.stdout, o.stderr)
	switch {
	case o.hung:
		return "", fmt.Errorf("it hangs: %w", wrong)
	case !o.reached:
		return missed, nil
	case f.ofRuntime() && f.deed == fail:
		if status == 0 && said == "" {
			return harmless, nil
		}
		return crashed, nil
	case o.stdout != "":
		return "", wrong
	case f.deed == killRunner && (f.Role == Runner || o.status.Signaled()) || f.deed == killCaller && f.Role == Runner:
		if o.status.Signaled() && o.status.Signal() == syscall.SIGKILL && said == "" {
			return killed, nil
		}
		return "", wrong
	case f.deed == killRunner && f.Role != Runner && status == 0 && said == "":
		return harmless, nil // it was about to end by itself
	case o.ran && f.Role == Guardian && f.deed == killCaller && status != 0:
		return "", fmt.Errorf("the command has run: %w", wrong)
	case status == 0:
		if said != "" && slices.ContainsFunc(lines, func(l string) bool { return !strings.HasPrefix(l, "main: warning: ") }) {
			return "", wrong
		}
		return harmless, nil
	case status == 125 || status == 126 || status == 127:
		if len(lines) != 1 || !strings.HasPrefix(said, "main: ") {
			return "", wrong
		}
		if !f.explains(said) {
			return "", fmt.Errorf("the error does not say why: %w", wrong)
		}
		return told, nil
	case status == 128+int(unix.SIGKILL) && f.deed == killCaller && said == "":
		return killed, nil
	}
	return "", wrong
}

// explains tells whether an error has the kernel's words for a fault.
func (f Fault) explains(said string) bool {
	switch f.deed {
	case fail:
		return strings.Contains(said, f.errno.Error()) || f.hasMeaning() && !strings.Contains(said, unix.EBADF.Error())
	case refuse:
		return strings.Contains(said, unix.EOPNOTSUPP.Error()) || strings.Contains(said, unix.EINVAL.Error())
	}
	return true
}

// hasMeaning tells whether an errno says something that may be put in better
// words: what is asked for is not there, or somebody else has it. And a mount
// point that can't be looked at is taken for one that another mount covers.
func (f Fault) hasMeaning() bool {
	return f.errno == unix.ENOENT || f.errno == unix.EADDRINUSE || f.Role == Runner && f.Name == "newfstatat"
}

func words(s syscall.WaitStatus) string {
	if s.Signaled() {
		return s.Signal().String()
	}
	return fmt.Sprint(s.ExitStatus())
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

// sample is one fault of many, the same ones each time, and those that a
// pattern matches.
func sample(all []Fault, many uint32, and *regexp.Regexp) []Fault {
	return slices.DeleteFunc(all, func(f Fault) bool {
		h := fnv.New32a()
		h.Write([]byte(f.String()))
		return (many == 0 || h.Sum32()%many != 0) && !and.MatchString(f.String())
	})
}

// A run, and what else there is, with one call gone wrong, leaves nothing that
// the next run and "main down" don't take away, does not hang, and says what was
// the matter.
func TestFaults(t *testing.T) {
	need.Root(t)
	for _, s := range scenarios {
		t.Run(s.name, s.test)
	}
}

func (s scenario) test(t *testing.T) {
	t.Parallel()
	first := newHost(t, s)
	o, _, err := first.try(nil)
	if err != nil {
		t.Fatalf("without a fault: %v", err)
	}
	todo := faults(o.calls)
	if !*every {
		todo = sample(todo, s.oneOf, regexp.MustCompile(s.and))
	}
	todo = sample(todo, 0, regexp.MustCompile(*only))

	var mu sync.Mutex
	counts := make(map[verdict]int)
	next := func() (f Fault, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if len(todo) == 0 {
			return f, false
		}
		f, todo = todo[0], todo[1:]
		return f, true
	}
	n := len(todo)
	t.Run("faults", func(t *testing.T) {
		workers := 1
		if *every {
			workers = runtime.GOMAXPROCS(0)
		}
		for i := range workers {
			t.Run(fmt.Sprint("host ", i), func(t *testing.T) {
				t.Parallel()
				h := newHost(t, s)
				for f, ok := next(); ok; f, ok = next() {
					o, v, err := h.try(&f)
					if err != nil {
						t.Errorf("%s: %s (%s): %v", s.name, f, o.at, err)
						h = newHost(t, s) // that one is not what it was
					}
					mu.Lock()
					counts[v]++
					mu.Unlock()
				}
			})
		}
	})
	t.Logf("%s: %d calls; %d faults: %s", s.name, len(o.calls), n, summary(counts))
}

func summary(counts map[verdict]int) string {
	var words []string
	for _, v := range []verdict{harmless, told, crashed, killed, missed, ""} {
		if v == "" {
			v, counts["not as it should be"] = "not as it should be", counts[v]
		}
		words = append(words, fmt.Sprintf("%d %s", counts[v], v))
	}
	return strings.Join(words, ", ")
}

// try has a fault happen, if one is given, and looks at what is left.
func (h *host) try(f *Fault) (o *outcome, v verdict, err error) {
	h.t.Helper()
	if h.s.before != nil {
		if err := h.s.before(h); err != nil {
			return new(outcome), "", err
		}
	}
	if o, err = h.trace(f, h.s.args(h)...); err != nil {
		return new(outcome), "", err
	}
	var errs []error
	if f != nil {
		v, err = judge(*f, o)
		errs = append(errs, err)
		if h.s.claims {
			errs = append(errs, h.cleared(*f, o))
		}
	} else if o.status != 0 || o.stderr != "" {
		errs = append(errs, fmt.Errorf("status %s, error %q", words(o.status), o.stderr))
	}
	errs = append(errs, h.s.after(h, f != nil && f.downAlone), h.same(o))
	if err = errors.Join(errs...); err != nil {
		v = ""
	}
	return o, v, err
}
