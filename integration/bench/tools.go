//go:build linux

package main

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

var (
	//go:embed floor.c
	floorSource string
	//go:embed inside.c
	insideSource string
	//go:embed measure.c
	measureSource string
	//go:embed article.sh
	articleSource string
)

const (
	nothingSource = "int main(void) { return 0; }\n"
	pauseSource   = "#include <unistd.h>\nint main(void) { write(1, \".\", 1); close(1); for (;;) pause(); }\n"
	emptySource   = "package main\n\nfunc main() {}\n"
)

// tools are the programs that are built for a benchmark.
type tools struct {
	dir      string
	floor    string
	measurer string
	nothing  string // the command in the container: it does nothing
	pause    string // says one byte, and stays
	traffic  string
	emptyGo  string
}

func build(dir string) (*tools, error) {
	t := &tools{dir: dir}
	programs := []struct {
		path   *string
		name   string
		source string
		build  []string
	}{
		{&t.floor, "floor.c", floorSource, []string{"gcc", "-static", "-O2", "-o"}},
		{&t.measurer, "measure.c", measureSource, []string{"gcc", "-static", "-O2", "-o"}},
		{&t.nothing, "nothing.c", nothingSource, []string{"gcc", "-static", "-O2", "-o"}},
		{&t.pause, "pause.c", pauseSource, []string{"gcc", "-static", "-O2", "-o"}},
		{&t.traffic, "traffic.c", trafficSource, []string{"gcc", "-static", "-O2", "-o"}},
		{&t.emptyGo, "empty.go", emptySource, []string{"go", "build", "-trimpath", "-ldflags", "-s -w", "-o"}},
	}
	if err := os.WriteFile(filepath.Join(dir, "inside.c"), []byte(insideSource), 0o600); err != nil {
		return nil, err
	}
	for _, p := range programs {
		source := filepath.Join(dir, p.name)
		if err := os.WriteFile(source, []byte(p.source), 0o600); err != nil {
			return nil, err
		}
		*p.path = strings.TrimSuffix(source, filepath.Ext(source))
		cmd := exec.Command(p.build[0], append(p.build[1:], *p.path, source)...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build %s: %w\n%s", p.name, err, out)
		}
	}
	return t, nil
}

// sample is one measurement.
type sample struct {
	wall     time.Duration
	cpu      time.Duration // of the process and those it waited for
	detached time.Duration // CPU time of those it left behind
	rss      int64         // peak, KiB
	faults   int64
	switches int64
}

// measure runs a command by measure.c. With settle, it waits first until the
// links of the run before are gone, and afterwards for the processes that the
// command leaves behind.
func (t *tools) measure(l *lab, settle time.Duration, argv ...string) (sample, error) {
	if settle > 0 {
		if err := l.settle(settle); err != nil {
			return sample{}, err
		}
		argv = append([]string{"-d"}, argv...)
	}
	var stderr strings.Builder
	cmd := exec.Command(t.measurer, argv...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return sample{}, fmt.Errorf("measure %s: %w", strings.Join(argv, " "), err)
	}
	var wall, cpu, detached int64
	var status int
	var s sample
	if _, err := fmt.Sscan(string(out), &wall, &cpu, &s.rss, &s.faults, &s.switches, &detached, &status); err != nil {
		return sample{}, fmt.Errorf("measure: %q: %w", out, err)
	}
	if status != 0 {
		return sample{}, fmt.Errorf("%s: exit status %d: %s", strings.Join(argv, " "), status, stderr.String())
	}
	s.wall = time.Duration(wall)
	s.cpu = time.Duration(cpu) * time.Microsecond
	s.detached = time.Duration(detached) * time.Microsecond
	return s, nil
}

// contenders are all that can be measured here, and why others can't.
//
// What was started for it has to be stopped.
func contenders(o options, t *tools) (all []*contender, missing []string, stop func()) {
	var stops []func(*tools) error
	stop = func() {
		for _, s := range stops {
			if err := s(t); err != nil {
				fmt.Fprintf(os.Stderr, "bench: %v\n", err)
			}
		}
	}
	published := []string{o.runner, "-p", "80:8000", address, t.nothing}
	all = []*contender{
		{name: "floor", mode: "a", argv: []string{t.floor, "-a", t.nothing}},
		{name: "floor", mode: "b", argv: []string{t.floor, "-b", t.nothing}},
		{name: "floor", mode: "c", argv: []string{t.floor, "-c", t.nothing}},
		{name: "reckless floor", variant: true, mode: "a", argv: []string{t.floor, "-a", "-r", t.nothing}},
		{name: "reckless floor", variant: true, mode: "b", argv: []string{t.floor, "-b", "-r", t.nothing}},
		{name: "reckless floor", variant: true, mode: "c", argv: []string{t.floor, "-c", "-r", t.nothing}},
		{name: "floor, asking to be sure", variant: true, mode: "c", argv: []string{t.floor, "-c", "-q", t.nothing}},
		{name: "floor, at once", mode: "c", argv: []string{t.floor, "-c", t.nothing}, atOnce: true},
		{name: "main", mode: "a", argv: []string{o.runner, "-network", "none", t.nothing}},
		{name: "main", mode: "b", argv: []string{o.runner, address, t.nothing}},
		{name: "main", mode: "c", argv: published},
		{name: "main, at once", mode: "c", argv: published, atOnce: true},
		{name: "main version", argv: []string{o.runner, "version"}},
		{name: "empty Go program", argv: []string{t.emptyGo}},
		{name: "empty C program", argv: []string{t.nothing}},
	}
	wanted := func(name string) bool {
		ok, _ := path.Match(o.match, name)
		return ok || o.match == ""
	}
	all = slices.DeleteFunc(all, func(c *contender) bool { return !strings.HasSuffix(c.name, "floor") && !wanted(c.name) })
	for _, p := range peers {
		if !wanted(p.name) {
			continue
		}
		c := &contender{name: p.name, mode: p.mode, slow: p.slow}
		err := installed(p.name, p.needs)
		if err == nil {
			if p.stop != nil {
				stops = append(stops, p.stop) // also if it doesn't run
			}
			c.argv, err = p.argv(t)
		}
		if err == nil {
			// What doesn't run here is no reason to measure nothing.
			_, err = t.measure(nil, 0, c.argv...)
		}
		if err != nil {
			missing = append(missing, fmt.Sprintf("%s (%s): %v", p.name, p.mode, err))
			continue
		}
		all = append(all, c)
	}
	return all, missing, stop
}

func installed(name string, needs []string) error {
	if needs == nil {
		needs = []string{name}
	}
	for _, n := range needs {
		if _, err := exec.LookPath(n); err != nil {
			return fmt.Errorf("%s is not installed", n)
		}
	}
	return nil
}
