//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// An archive is what the kernel takes for one: every entry begins at a
// multiple of four bytes, behind the directories that lead to it.
func TestCpio(t *testing.T) {
	var b bytes.Buffer
	err := writeCpio(&b, []entry{
		{name: "init", mode: isFile | 0o755, data: []byte("12345")},
		{name: "dev/console", mode: isChar | 0o600, dev: [2]uint32{5, 1}},
		{name: "dev", mode: isDir | 0o700}, // made before, for the console
		{name: "bin/sh", mode: isLink | 0o777, data: []byte("busybox")},
		{name: "empty", mode: isFile | 0o644},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "070701" + "00000001" + "000081ed" + "00000000" + "00000000" + "00000001" + "00000000" + "00000005" +
		"00000000" + "00000000" + "00000000" + "00000000" + "00000005" + "00000000" + "init\x00\x00" + "12345\x00\x00\x00"
	if got := b.String()[:len(want)]; got != want {
		t.Errorf("the first file is\n%q, want\n%q", got, want)
	}
	if b.Len()%4 != 0 {
		t.Errorf("it has %d bytes", b.Len())
	}
	var got []string
	for rest := b.String(); rest != ""; {
		number := func(i int) int {
			n, err := strconv.ParseUint(rest[6+8*i:14+8*i], 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return int(n)
		}
		head := 110 + number(11)
		data := (head + 3) &^ 3
		got = append(got, fmt.Sprintf("%o %d,%d %s %q", number(1), number(9), number(10), rest[110:head-1], rest[data:data+number(6)]))
		rest = rest[(data+number(6)+3)&^3:]
	}
	names := []string{`100755 0,0 init "12345"`, `40755 0,0 dev ""`, `20600 5,1 dev/console ""`, `40755 0,0 bin ""`, `120777 0,0 bin/sh "busybox"`, `100644 0,0 empty ""`, `0 0,0 TRAILER!!! ""`}
	if diff := cmp.Diff(names, got); diff != "" {
		t.Error(diff)
	}
}

// aTree is a few modules: bridge needs stp and llc, stp needs llc.
func aTree() tree {
	t := tree{}
	for _, m := range []*module{
		{path: "kernel/net/bridge/bridge.ko", depends: []string{"stp", "llc"}, aliases: []string{"rtnl-link-bridge"}},
		{path: "kernel/net/802/stp.ko", depends: []string{"llc"}},
		{path: "kernel/net/llc/llc.ko"},
		{path: "kernel/drivers/net/veth.ko.xz"},
		{path: "kernel/lib/libcrc32c.ko", soft: []string{"crc32c"}},
		{path: "kernel/net/netfilter/nf_tables.ko", depends: []string{"libcrc32c"}},
	} {
		m.name = moduleName(m.path)
		t[m.name] = m
	}
	return t
}

func TestModuleFiles(t *testing.T) {
	for _, c := range []struct {
		name           string
		without        []string
		dep, order, by string
	}{
		{"all", nil,
			"kernel/drivers/net/veth.ko.xz:\n" +
				"kernel/net/llc/llc.ko:\n" +
				"kernel/net/802/stp.ko: kernel/net/llc/llc.ko\n" +
				"kernel/net/bridge/bridge.ko: kernel/net/802/stp.ko kernel/net/llc/llc.ko\n" +
				"kernel/lib/libcrc32c.ko:\n" +
				"kernel/net/netfilter/nf_tables.ko: kernel/lib/libcrc32c.ko\n",
			"kernel/drivers/net/veth.ko.xz kernel/net/llc/llc.ko kernel/net/802/stp.ko kernel/net/bridge/bridge.ko kernel/lib/libcrc32c.ko kernel/net/netfilter/nf_tables.ko",
			"alias rtnl-link-bridge bridge\n"},
		// What needs a module that is not there can't be loaded.
		{"without llc", []string{"llc", "nf_tables"},
			"kernel/drivers/net/veth.ko.xz:\n" +
				"kernel/net/802/stp.ko:\n" +
				"kernel/net/bridge/bridge.ko: kernel/net/802/stp.ko\n",
			"kernel/drivers/net/veth.ko.xz",
			"alias rtnl-link-bridge bridge\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := map[string]string{}
			for _, f := range aTree().without(c.without).files("6.1") {
				got[f.name] = string(f.data)
			}
			for name, want := range map[string]string{"modules.dep": c.dep, "modules.alias": c.by, "order": strings.ReplaceAll(c.order, " ", "\n") + "\n"} {
				if diff := cmp.Diff(want, got["lib/modules/6.1/"+name]); diff != "" {
					t.Errorf("%s:\n%s", name, diff)
				}
			}
			for _, name := range c.without {
				for file := range got {
					if moduleName(file) == name {
						t.Errorf("%s is there", file)
					}
				}
			}
		})
	}
}

// What /init says is found between other lines, and ends the reading.
func TestRead(t *testing.T) {
	const text = "SeaBIOS\r\nvm: up\r\n[    1.0] a kernel's word\r\nvm: ok run 1s\r\nvm: failed nat 2s: no route\r\n     vm: failed within\r\nvm: done 1 2 33\r\nvm: failed late 0s:\r\n"
	var o outcome
	if !o.read(strings.NewReader(text), 1) {
		t.Fatal("there is a verdict, and it was not seen")
	}
	if diff := cmp.Diff([]string{"nat"}, o.failed); diff != "" || o.passed != 1 || o.total != 2 || o.peak != "33" {
		t.Errorf("read %d of %d, %s MB, failed %q", o.passed, o.total, o.peak, o.failed)
	}
	if o.ok() {
		t.Error("a case failed, and all is well")
	}
	o = outcome{}
	if o.read(strings.NewReader("vm: up\nvm: ok run 1s\nKernel panic"), 1) {
		t.Error("a verdict was seen where there is none")
	}
	if o.ok() {
		t.Error("nothing was run, and all is well")
	}
}

// A machine that hangs is ended, be it busy at that or idle.
func TestWatch(t *testing.T) {
	for script, want := range map[string]string{"while :; do :; done": "had a processor", "read line": "done nothing"} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command("sh", "-c", script)
			stdin, err := cmd.StdinPipe() // nobody writes there
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			defer stdin.Close()
			ctx, cancel := context.WithCancelCause(t.Context())
			watch(ctx, cmd.Process.Pid, time.Second, cancel)
			if err := context.Cause(ctx); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("it was ended because: %v", err)
			}
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
	}
}

func TestPage(t *testing.T) {
	amd64, _ := find("amd64")
	mips, _ := find("mipsle")
	was := "Head.\n" + tableBegins + "\n" + tableHead +
		"| amd64 | 5.10.0-1 | pc | 1.0 | 2.0 | 14 of 14 | 5.00 | 40 | 96 (92) |\n" +
		"| mipsle | 6.1.0-1 | malta, 24Kf | 1.0 | 2.0 | 14 of 14 | 5.00 | 40 | 48 (44) |\n" +
		tableEnds + "\nFoot.\n"
	got, err := page(was, []outcome{
		{boot: boot{target: mips, kernel: "6.1"}, release: "6.1.0-2", size: 5_250_000, up: 1500 * time.Millisecond, all: 3 * time.Second, passed: 13, total: 14, failed: []string{"nat"}, peak: "41", log: "log"},
		{boot: boot{target: amd64, kernel: "7"}, release: "7.2.1", size: 5_000_000, up: time.Second, all: 2 * time.Second, passed: 14, total: 14, peak: "42", log: "log"},
		{boot: boot{target: amd64, kernel: "7"}, release: "7.2.1", size: 1, up: 1, all: 1, passed: 3, total: 3, peak: "1", log: "log", ofMemory: true, smallest: 100, smallestBoot: 96},
		{boot: boot{target: mips, kernel: "6.1"}, release: "6.1.0-2", log: "log", ofMemory: true}, // no memory was enough
		{boot: boot{target: amd64, kernel: "6.1"}, release: "6.1", log: "log"},
		{boot: boot{target: amd64, kernel: "6.12"}, release: "6.12"}, // there is no such package
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "Head.\n" + tableBegins + "\n" + tableHead +
		"| amd64 | 5.10.0-1 | pc | 1.0 | 2.0 | 14 of 14 | 5.00 | 40 | 96 (92) |\n" +
		"| amd64 | 6.1 | pc |  |  | it did not boot |  |  |  |\n" +
		"| amd64 | 7.2.1 | pc | 1.0 | 2.0 | 14 of 14 | 5.00 | 42 | 100 (96) |\n" +
		"| mipsle | 6.1.0-2 | malta, 24Kf | 1.5 | 3.0 | 13 of 14, not nat | 5.25 | 41 | 48 (44) |\n" +
		tableEnds + "\nFoot.\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := page("no marks\n", nil); err == nil {
		t.Error("a page without the marks is taken")
	}
}

// docs/hosts.md has a table that can be written again, of targets that are known.
func TestHostsPage(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "hosts.md"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := page(string(b), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(b), got); diff != "" {
		t.Errorf("written again, it is another (make vm-all):\n%s", diff)
	}
}

func TestBisect(t *testing.T) {
	for least := 20; least <= 64; least += grain {
		tried := 0
		if got := bisect(16, 64, grain, func(n int) bool { tried++; return n >= least }); got != least {
			t.Errorf("the smallest is %d, want %d", got, least)
		}
		if tried > 6 {
			t.Errorf("%d were tried for %d", tried, least)
		}
	}
}

func TestBisectInSteps(t *testing.T) {
	for least, want := range map[int]int{30: 256, 256: 256, 257: 512} {
		if got := bisect(28, 512, 256, func(n int) bool { return n%256 == 0 && n >= least }); got != want {
			t.Errorf("of %d the smallest is %d, want %d", least, got, want)
		}
	}
}

// Every boot that is asked for has a kernel that is known where to find.
func TestTargets(t *testing.T) {
	boots := slices.Concat(ciBoots(), missingBoots(), moduleBoots())
	for _, tt := range targets {
		for _, k := range tt.kernels {
			boots = append(boots, boot{target: tt, kernel: k})
		}
	}
	for _, b := range boots {
		if suiteOf(b.kernel) == "" || b.target.qemu == "" || b.target.memory == 0 || !slices.Contains(b.target.kernels, b.kernel) {
			t.Errorf("boot %s: %+v", b.name(), b)
		}
		for _, m := range b.without {
			if !strings.HasPrefix(m, "nf_") && !slices.Contains(wanted, m) {
				t.Errorf("boot %s: module %s is nowhere", b.name(), m)
			}
		}
	}
	if tt, ok := find("arm"); !ok || tt.name != "arm/7" {
		t.Errorf("arm is %s", tt.name)
	}
	if _, ok := find("vax"); ok {
		t.Error("there is a vax")
	}
}

func TestNumbers(t *testing.T) {
	order := []string{"5.10.0-9-amd64", "5.10.0-32-amd64", "6.1.0-1-amd64", "6.12.107+deb13-amd64", "6.12.117+deb13-amd64"}
	if !slices.IsSortedFunc(order, func(a, b string) int { return slices.Compare(numbers(a), numbers(b)) }) {
		t.Errorf("%q is not in order", order)
	}
}
