//go:build linux

package main

import (
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"container/file"
)

// restAfter is how long a command must have run before its runner settles down:
// what that costs is nothing to one that stays, and would be a tenth of a run of
// one that doesn't.
const restAfter = time.Second

// rest gives memory back that a runner doesn't need as long as its command
// runs: what is garbage since the start, and the pages of its own code, which the
// kernel reads from its cache again when they are needed.
func rest() {
	smaps, _ := file.Read("/proc/self/smaps") // without it there is no code to give back
	code := codeMappings(string(smaps))
	debug.FreeOSMemory()
	for _, m := range code {
		// An advice: one that the kernel doesn't take costs nothing but memory.
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.start, m.end-m.start, unix.MADV_DONTNEED)
	}
}

type mapping struct{ start, end uintptr }

// codeMappings reads from /proc/PID/smaps (proc_pid_smaps(5)) which parts of the
// memory are as they are in a file and can't be changed: not written to, and with
// no page that ever was (a dynamic linker changes some, and then locks them).
func codeMappings(smaps string) []mapping {
	var all []mapping
	var m mapping
	for line := range strings.Lines(smaps) {
		f := strings.Fields(line)
		if len(f) >= 5 && !strings.HasSuffix(f[0], ":") {
			// 00400000-00595000 r-xp 00000000 fe:00 10217250 /usr/local/bin/main
			from, to, _ := strings.Cut(f[0], "-")
			start, serr := strconv.ParseUint(from, 16, strconv.IntSize)
			end, eerr := strconv.ParseUint(to, 16, strconv.IntSize)
			m = mapping{}
			if serr == nil && eerr == nil && (f[1] == "r-xp" || f[1] == "r--p") && f[4] != "0" {
				m = mapping{uintptr(start), uintptr(end)}
			}
			continue
		}
		if len(f) == 3 && f[0] == "Anonymous:" && f[1] == "0" && m.end > m.start {
			all = append(all, m)
		}
	}
	return all
}
