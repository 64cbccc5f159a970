//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// boot is one start of a machine.
type boot struct {
	target  target
	kernel  string   // 6.1
	memory  int      // MB
	words   []string // for /init, on the kernel's command line
	without []string // modules that it has not
	squeeze string   // how its modules are compressed by us: xz, zstd
	tests   bool     // the packages' own tests are run too
	speed   []string // what qemu is told of time
}

// outcome is what became of it.
type outcome struct {
	boot
	release       string
	size          int64         // of ./main
	up, all       time.Duration // that qemu has had a processor
	passed, total int
	failed        []string // the cases' names
	peak          string   // MB in use, as /init has seen it
	ofMemory      bool     // it was the memory that was looked for
	smallest      int      // memory, in MB, in which a whole container was seen to run
	smallestBoot  int      // and in which the kernel comes as far as /init
	log           string   // the file
	err           error
}

// name is how the boot is called in a file's name and to the reader.
func (b boot) name() string {
	words := append([]string{b.target.file(), b.kernel}, b.without...)
	if b.squeeze != "" {
		words = append(words, b.squeeze)
	}
	return strings.Join(words, "-")
}

// binaries are the two programs that a target runs, and the tests.
type binaries struct {
	main, init []byte
	tests      []entry
}

// tested are the packages whose messages and structures have another layout on
// another architecture.
var tested = []string{"nl", "rtnl", "nat", "dissect", "pcap", "file", "seccomp", "xtables", "cgroup"}

// build compiles them: ./main as it is shipped, by the Makefile's own rule.
func build(t target, tests bool) (b binaries, err error) {
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return b, fmt.Errorf("go env GOMOD: %w", err)
	}
	top := filepath.Dir(strings.TrimSpace(string(mod)))
	shipped := "dist/main-linux-" + t.file()
	if out, err := exec.Command("make", "-s", "-C", top, shipped).CombinedOutput(); err != nil {
		return b, fmt.Errorf("make %s: %w\n%s", shipped, err, out)
	}
	if b.main, err = os.ReadFile(filepath.Join(top, shipped)); err != nil {
		return b, err
	}
	dir, err := os.MkdirTemp("", "container-vm-")
	if err != nil {
		return b, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "program")
	one := func(args ...string) ([]byte, error) {
		cmd := exec.Command("go", slices.Concat(args[:len(args)-1], []string{"-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", file}, args[len(args)-1:])...)
		goarch, _, _ := strings.Cut(t.name, "/")
		cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+goarch), t.env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("go %s for %s: %w\n%s", strings.Join(args, " "), t.name, err, out)
		}
		return os.ReadFile(file)
	}
	if b.init, err = one("build", "container/integration/vm/init"); err != nil || !tests {
		return b, err
	}
	for _, name := range tested {
		program, err := one("test", "-c", "container/"+name)
		if err != nil {
			return b, err
		}
		b.tests = append(b.tests, entry{name: "tests/" + name + "/test", mode: isFile | 0o755, data: program})
		// Some read what they are made of, or golden text.
		dir := filepath.Join(top, name)
		err = filepath.WalkDir(dir, func(file string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(file)
			b.tests = append(b.tests, entry{name: "tests/" + name + strings.TrimPrefix(file, dir), mode: isFile | 0o644, data: text})
			return err
		})
		if err != nil {
			return b, err
		}
	}
	const page = "docs/packet.md" // nat's has the rules in it
	text, err := os.ReadFile(filepath.Join(top, page))
	b.tests = append(b.tests, entry{name: "tests/" + page, mode: isFile | 0o644, data: text})
	return b, err
}

// initramfs is all that the machine has: the two programs, the modules, and a
// tree for a container with busybox in it.
func initramfs(k *kernel, b binaries, modules tree) ([]byte, error) {
	files := []entry{
		{name: "dev", mode: isDir | 0o755},
		{name: "dev/console", mode: isChar | 0o600, dev: [2]uint32{5, 1}},
		{name: "proc", mode: isDir | 0o755},
		{name: "sys", mode: isDir | 0o755},
		{name: "tmp", mode: isDir | 0o1777},
		{name: "etc", mode: isDir | 0o755},
		{name: "init", mode: isFile | 0o755, data: b.init},
		{name: "main", mode: isFile | 0o755, data: b.main},
		{name: "tree/bin/busybox", mode: isFile | 0o755, data: k.busybox},
		{name: "tree/dev", mode: isDir | 0o755},
		{name: "tree/proc", mode: isDir | 0o755},
		{name: "tree/sys", mode: isDir | 0o755},
		{name: "tree/tmp", mode: isDir | 0o1777},
		{name: "tree/etc/passwd", mode: isFile | 0o644, data: []byte("root:x:0:0::/:/bin/sh\nguest:x:1000:1000::/:/bin/sh\n")},
		{name: "tree/etc/group", mode: isFile | 0o644, data: []byte("root:x:0:\nguest:x:1000:\n")},
	}
	for _, applet := range []string{"sh", "cat", "ls", "id", "ip", "hostname", "sleep", "tty", "stty", "true", "wget"} {
		files = append(files, entry{name: "tree/bin/" + applet, mode: isLink | 0o777, data: []byte("busybox")})
	}
	files = append(files, b.tests...)
	files = append(files, modules.files(k.release)...)
	var out bytes.Buffer
	err := writeCpio(&out, files)
	return out.Bytes(), err
}

// The lines of /init on the serial line that are for us.
const mark = "vm: "

// run boots a machine and returns what its /init says of it. The machine is
// ended as soon as /init has said its last word, or when the context is.
func (b boot) run(patience time.Duration, k *kernel, bin binaries, dir string) (o outcome) {
	o = outcome{boot: b, release: k.release, size: int64(len(bin.main)), log: filepath.Join(dir, b.name()+".log")}
	modules, err := k.modules.without(b.without).squeezed(b.squeeze)
	if err != nil {
		o.err = err
		return o
	}
	archive, err := initramfs(k, bin, modules)
	if err != nil {
		o.err = err
		return o
	}
	initrd := filepath.Join(dir, b.name()+".cpio")
	if o.err = os.WriteFile(initrd, archive, 0o644); o.err != nil {
		return o
	}
	defer os.Remove(initrd)
	log, err := os.Create(o.log)
	if err != nil {
		o.err = err
		return o
	}
	defer log.Close()

	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	cmd := exec.CommandContext(ctx, "qemu-system-"+b.target.qemu, b.arguments(k, initrd)...)
	cmd.WaitDelay = 5 * time.Second
	// It ends with us, also when we are killed: the signal comes when the thread
	// ends that has started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	serial, err := cmd.StdoutPipe()
	if err != nil {
		o.err = err
		return o
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if o.err = cmd.Start(); o.err != nil {
		return o
	}
	go watch(ctx, cmd.Process.Pid, patience, cancel)
	done := o.read(io.TeeReader(serial, log), cmd.Process.Pid)
	cut := ctx.Err()
	cancel(nil)
	_ = cmd.Wait() // killed by us
	o.all = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if !done {
		o.err = errors.New("it ended without a verdict")
		if cut != nil {
			o.err = fmt.Errorf("no verdict: %w", context.Cause(ctx))
		}
		if text := strings.TrimSpace(stderr.String()); text != "" {
			o.err = fmt.Errorf("%w: %s", o.err, text)
		}
	}
	return o
}

// watch ends a machine that is not going to say its last word: it has had the
// processor for too long, or has not wanted it for as long. How busy this machine
// is with others makes no difference to that.
func watch(ctx context.Context, qemu int, patience time.Duration, end context.CancelCauseFunc) {
	const often = time.Second
	ticks := time.NewTicker(often)
	defer ticks.Stop()
	var last, idle time.Duration
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		used := cpuTime(qemu)
		if used > last {
			last, idle = used, 0
		} else {
			idle += often
		}
		switch {
		case used > patience:
			end(fmt.Errorf("it has had a processor for %v", used))
		case idle > patience:
			end(fmt.Errorf("it has done nothing for %v", idle))
		}
	}
}

// arguments are qemu's.
func (b boot) arguments(k *kernel, initrd string) []string {
	words := append([]string{"console=" + b.target.console, "panic=-1", "quiet", "loglevel=4"}, b.target.boot...)
	if b.speed == nil || b.speed[0] != "-icount" {
		words = append(words, "vm.clock=wall")
	}
	args := slices.Concat(b.target.args, b.speed)
	args = append(args, "-m", strconv.Itoa(b.memory),
		"-nographic", "-monitor", "none", "-serial", "stdio", "-no-reboot", "-net", "none",
		"-kernel", k.image, "-initrd", initrd,
		"-append", strings.Join(append(words, b.words...), " "))
	if k.dtb != "" {
		args = append(args, "-dtb", k.dtb)
	}
	return args
}

// read takes in what comes on the serial line, until the verdict.
//
//	vm: up
//	vm: ok CASE 1.2s
//	vm: failed CASE 1.2s: WHY
//	vm: done PASSED TOTAL PEAK
func (o *outcome) read(r io.Reader, qemu int) (done bool) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		// What a firmware sends to clear the screen may stand before it, but a
		// line that begins with spaces belongs to the one above.
		_, text, ok := strings.Cut(lines.Text(), mark)
		if !ok || strings.HasPrefix(lines.Text(), " ") {
			continue
		}
		switch f := strings.Fields(text); {
		case len(f) == 1 && f[0] == "up":
			o.up = cpuTime(qemu)
		case len(f) > 1 && f[0] == "failed":
			o.failed = append(o.failed, f[1])
		case len(f) == 4 && f[0] == "done":
			o.passed, _ = strconv.Atoi(f[1])
			o.total, _ = strconv.Atoi(f[2])
			o.peak = f[3]
			return true
		}
	}
	return false
}

// cpuTime is how long a process has had a processor: how long it would have
// taken on a machine with nothing else to do.
func cpuTime(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// utime and stime are the 14th and the 15th field, in hundredths of a
	// second (proc_pid_stat(5)); the second ends with the last bracket.
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	ticks := 0
	for _, i := range []int{11, 12} {
		n, _ := strconv.Atoi(f[i])
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
