//go:build linux

package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

var (
	//go:embed floor.c
	floorSource string
	//go:embed measure.c
	measureSource string
	//go:embed article.sh
	articleSource string
)

const (
	nothingSource = "int main(void) { return 0; }\n"
	emptySource   = "package main\n\nfunc main() {}\n"
)

// tools are the programs that are built for a benchmark.
type tools struct {
	dir      string
	floor    string
	measurer string
	nothing  string // the command in the container: it does nothing
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
		{&t.emptyGo, "empty.go", emptySource, []string{"go", "build", "-trimpath", "-ldflags", "-s -w", "-o"}},
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
func contenders(o options, t *tools) (all []*contender, missing []string) {
	published := []string{o.runner, "-p", "80:8000", address, t.nothing}
	all = []*contender{
		{name: "floor", mode: "a", argv: []string{t.floor, "-a", t.nothing}},
		{name: "floor", mode: "b", argv: []string{t.floor, "-b", t.nothing}},
		{name: "floor", mode: "c", argv: []string{t.floor, "-c", t.nothing}},
		{name: "reckless floor", mode: "a", argv: []string{t.floor, "-a", "-r", t.nothing}},
		{name: "reckless floor", mode: "b", argv: []string{t.floor, "-b", "-r", t.nothing}},
		{name: "reckless floor", mode: "c", argv: []string{t.floor, "-c", "-r", t.nothing}},
		{name: "floor, asking to be sure", mode: "c", argv: []string{t.floor, "-c", "-q", t.nothing}},
		{name: "floor, at once", mode: "c", argv: []string{t.floor, "-c", t.nothing}, atOnce: true},
		{name: "main", mode: "a", argv: []string{o.runner, "-network", "none", t.nothing}},
		{name: "main", mode: "b", argv: []string{o.runner, address, t.nothing}},
		{name: "main", mode: "c", argv: published},
		{name: "main, at once", mode: "c", argv: published, atOnce: true},
		{name: "main version", argv: []string{o.runner, "version"}},
		{name: "empty Go program", argv: []string{t.emptyGo}},
		{name: "empty C program", argv: []string{t.nothing}},
	}
	peers := []struct {
		name, mode string
		needs      []string
		argv       func() ([]string, error)
	}{
		{"unshare", "a", nil, func() ([]string, error) {
			return []string{"unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "--net", "--cgroup", "--mount-proc", t.nothing}, nil
		}},
		{"bubblewrap", "a", []string{"bwrap"}, func() ([]string, error) {
			return []string{"bwrap", "--bind", "/", "/", "--proc", "/proc", "--unshare-pid", "--unshare-uts",
				"--unshare-ipc", "--unshare-net", "--unshare-cgroup", "--hostname", "container", t.nothing}, nil
		}},
		{"crun", "a", nil, func() ([]string, error) {
			dir, err := t.bundle()
			return []string{"crun", "--root", filepath.Join(t.dir, "crun"), "--cgroup-manager", "disabled", "run", "--bundle", dir, "bench"}, err
		}},
		{"runc", "a", nil, func() ([]string, error) {
			dir, err := t.bundle()
			return []string{"runc", "--root", filepath.Join(t.dir, "runc"), "run", "--bundle", dir, "bench"}, err
		}},
		{"the article's commands (ip, nft)", "c", []string{"sh", "unshare", "ip", "nft"}, t.article},
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
		c := &contender{name: p.name, mode: p.mode}
		err := installed(p.name, p.needs)
		if err == nil {
			c.argv, err = p.argv()
		}
		if err == nil {
			// What doesn't run here is no reason to measure nothing.
			_, err = t.measure(nil, 0, c.argv...)
		}
		if err != nil {
			missing = append(missing, fmt.Sprintf("%s: %v", p.name, err))
			continue
		}
		all = append(all, c)
	}
	return all, missing
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

// article is the command line of article.sh.
func (t *tools) article() ([]string, error) {
	script := filepath.Join(t.dir, "article.sh")
	err := os.WriteFile(script, []byte(articleSource), 0o600)
	for _, fifo := range []string{"ready", "go"} {
		err = errors.Join(err, unix.Mkfifo(filepath.Join(t.dir, fifo), 0o600))
	}
	return []string{"sh", script, t.dir, t.nothing}, err
}

// bundle makes an OCI bundle (opencontainers/runtime-spec, config.md) with the
// same namespaces and a root file system of one program.
func (t *tools) bundle() (string, error) {
	dir := filepath.Join(t.dir, "bundle")
	root := filepath.Join(dir, "rootfs")
	for _, sub := range []string{"proc", "dev", "sys"} {
		if err := os.MkdirAll(filepath.Join(root, sub), 0o755); err != nil {
			return "", err
		}
	}
	program, err := os.ReadFile(t.nothing)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(root, "nothing"), program, 0o755); err != nil {
		return "", err
	}
	type object = map[string]any
	var namespaces []object
	for _, n := range []string{"pid", "network", "ipc", "uts", "mount", "cgroup"} {
		namespaces = append(namespaces, object{"type": n})
	}
	config, err := json.Marshal(object{
		"ociVersion": "1.0.0",
		"hostname":   "container",
		"root":       object{"path": "rootfs"},
		"mounts":     []object{{"destination": "/proc", "type": "proc", "source": "proc"}},
		"linux":      object{"namespaces": namespaces},
		"process": object{
			"user": object{"uid": 0, "gid": 0}, "cwd": "/",
			"args": []string{"/nothing"}, "env": []string{"PATH=/"},
		},
	})
	if err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600)
}
