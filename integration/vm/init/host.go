//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// mounts mounts what the kernel has to show.
func mounts() error {
	for _, m := range []struct{ what, where, options string }{
		{"proc", "/proc", ""},
		{"sysfs", "/sys", ""},
		{"devtmpfs", "/dev", ""},
		{"devpts", "/dev/pts", "ptmxmode=666"},
		{"tmpfs", "/tmp", ""},
		{"cgroup2", "/sys/fs/cgroup", ""},
	} {
		// It may be there.
		_ = os.Mkdir(m.where, 0o755)
		if err := unix.Mount(m.what, m.where, m.what, 0, m.options); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s on %s: %w", m.what, m.where, err)
		}
	}
	return nil
}

// loadModules loads the modules in the order that was written down for it; all,
// or the few that this program has need of.
func loadModules(few bool) error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err
	}
	dir := "/lib/modules/" + unix.ByteSliceToString(u.Release[:]) + "/"
	order, err := os.ReadFile(dir + "order")
	if err != nil {
		return err
	}
	for name := range strings.FieldsSeq(string(order)) {
		if few && !strings.Contains(name, "/veth.ko") && !strings.Contains(name, "/ipv6.ko") {
			continue
		}
		if err := loadModule(dir + name); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("load %s: %w", name, err)
		}
	}
	return nil
}

func loadModule(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	flags := 0
	if !strings.HasSuffix(name, ".ko") {
		flags = unix.MODULE_INIT_COMPRESSED_FILE
	}
	return unix.FinitModule(int(f.Fd()), "", flags)
}

// watchMemory looks every now and then how much memory is in use. The function
// that it returns is the most so far, in bytes.
func watchMemory() (peak func() uint64) {
	var most atomic.Uint64
	look := func() uint64 {
		if used := inUse(); used > most.Load() {
			most.Store(used)
		}
		return most.Load()
	}
	look()
	go func() {
		for range time.Tick(50 * time.Millisecond) {
			look()
		}
	}()
	return look
}

// inUse is how much memory is not available to whoever asks for some. What the
// kernel's own text and data take is not counted; MemTotal is less that.
func inUse() uint64 {
	b, _ := os.ReadFile("/proc/meminfo")
	kb := map[string]uint64{}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 {
			kb[f[0]], _ = strconv.ParseUint(f[1], 10, 64)
		}
	}
	return (kb["MemTotal:"] - kb["MemAvailable:"]) << 10
}
