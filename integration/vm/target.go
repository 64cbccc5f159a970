//go:build linux

package main

import "strings"

// A target is a kind of machine: what Go calls it, what Debian calls it, and
// how qemu plays it.
type target struct {
	name    string   // "arm/7": GOARCH, and the variant
	env     []string // what go build is told, beside GOARCH
	debian  string   // what dpkg calls the architecture
	flavour string   // of Debian's kernel
	kernels []string // those that make vm-all boots, the oldest first
	qemu    string   // the program, qemu-system-…
	pkg     string   // the Debian package that it is in
	args    []string
	console string
	boot    []string // further words for the kernel
	dtb     string   // a file of the kernel's package, for a machine that has none
	memory  int      // MB
	step    int      // MB: it has a multiple of that
	fixed   bool     // no other size of memory can be had
	byWall  bool     // its clock can't count instructions: then it runs many times too fast
}

// The kernel tests the timer of a PC by counting how often it ticks meanwhile,
// and finds it broken when qemu has to wait for a processor.
var pcTimer = []string{"no_timer_check"}

var targets = []target{
	{name: "amd64", debian: "amd64", flavour: "amd64", kernels: []string{"5.10", "6.1", "6.12", "7"},
		qemu: "x86_64", pkg: "x86", args: []string{"-machine", "pc"}, console: "ttyS0", boot: pcTimer, memory: 256},
	{name: "386", debian: "i386", flavour: "686-pae", kernels: []string{"5.10", "6.1"},
		qemu: "i386", pkg: "x86", args: []string{"-machine", "pc"}, console: "ttyS0", boot: pcTimer, memory: 256},
	{name: "arm64", debian: "arm64", flavour: "arm64", kernels: []string{"5.10", "6.1", "6.12", "7"},
		qemu: "aarch64", pkg: "arm", args: []string{"-machine", "virt", "-cpu", "cortex-a57"}, console: "ttyAMA0", memory: 256},
	{name: "arm/7", env: []string{"GOARM=7"}, debian: "armhf", flavour: "armmp", kernels: []string{"5.10", "6.1", "7"},
		qemu: "arm", pkg: "arm", args: []string{"-machine", "virt", "-cpu", "cortex-a15"}, console: "ttyAMA0", memory: 256},
	{name: "arm/6", env: []string{"GOARM=6"}, debian: "armel", flavour: "rpi", kernels: []string{"6.1"},
		qemu: "arm", pkg: "arm", args: []string{"-machine", "raspi1ap"}, console: "ttyAMA0", memory: 512, fixed: true,
		dtb: "bcm2835-rpi-b-plus.dtb",
		// Of these two devices qemu has none.
		boot: []string{"initcall_blacklist=bcm2835_pm_driver_init,bcm2835_power_driver_init"}},
	{name: "arm/5", env: []string{"GOARM=5"}, debian: "armhf", flavour: "armmp", kernels: []string{"6.1"},
		qemu: "arm", pkg: "arm", args: []string{"-machine", "virt", "-cpu", "cortex-a15"}, console: "ttyAMA0", memory: 256},
	{name: "riscv64", debian: "riscv64", flavour: "riscv64", kernels: []string{"7"},
		qemu: "riscv64", pkg: "misc", args: []string{"-machine", "virt"}, console: "ttyS0", memory: 256},
	{name: "mipsle", env: []string{"GOMIPS=softfloat"}, debian: "mipsel", flavour: "4kc-malta", kernels: []string{"6.1"},
		qemu: "mipsel", pkg: "mips", args: []string{"-machine", "malta", "-cpu", "24Kf"}, console: "ttyS0", memory: 256, byWall: true},
	{name: "mips64le", env: []string{"GOMIPS64=softfloat"}, debian: "mips64el", flavour: "5kc-malta", kernels: []string{"6.1"},
		qemu: "mips64el", pkg: "mips", args: []string{"-machine", "malta", "-cpu", "5KEf"}, console: "ttyS0", memory: 256, byWall: true},
	{name: "ppc64le", debian: "ppc64el", flavour: "powerpc64le", kernels: []string{"6.1", "7"},
		qemu: "ppc64", pkg: "ppc", args: []string{"-machine", "pseries", "-cpu", "power8"}, console: "hvc0", memory: 512, step: 256},
	// With Linux 7 neither IPv6 nor a RST arrives anywhere in this machine, without
	// a container too: qemu 7.2 gets a checksum wrong, or the kernel does.
	{name: "s390x", debian: "s390x", flavour: "s390x", kernels: []string{"6.1"},
		qemu: "s390x", pkg: "misc", args: []string{"-machine", "s390-ccw-virtio"}, console: "ttysclp0", memory: 256},
}

// file is the target's name in that of a file: arm7.
func (t target) file() string { return strings.ReplaceAll(t.name, "/", "") }

// find is the target of a name; "arm" is the newest of them.
func find(name string) (target, bool) {
	for _, t := range targets {
		if t.name == name || strings.HasPrefix(t.name, name+"/") {
			return t, true
		}
	}
	return target{}, false
}

// releases is which release of Debian has a kernel.
var releases = []struct{ kernel, suite string }{
	{"5.10", "bullseye"},
	{"6.1", "bookworm"},
	{"6.12", "trixie"},
	{"7", "sid"},
}

func suiteOf(kernel string) string {
	for _, r := range releases {
		if r.kernel == kernel {
			return r.suite
		}
	}
	return ""
}
