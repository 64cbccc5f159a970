//go:build linux

package main

import (
	"slices"
	"testing"
)

func TestCodeMappings(t *testing.T) {
	const smaps = `00400000-00595000 r-xp 00000000 fe:00 10217250                           /usr/local/bin/main
Size:               1620 kB
Private_Clean:      1352 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
00595000-00735000 r--p 00195000 fe:00 10217250                           /a file-with a dash
Anonymous:             0 kB
00735000-00749000 rw-p 00335000 fe:00 10217250                           /usr/local/bin/main
Anonymous:             0 kB
00749000-0074a000 r--p 00335000 fe:00 10217250                           /lib/changed by the linker
Anonymous:             4 kB
1a700f800000-1a700fc00000 r--p 00000000 00:00 0 
Anonymous:             0 kB
7ffe29fc6000-7ffe29fc8000 r-xp 00000000 00:00 0                          [vdso]
Anonymous:             0 kB
00750000-00751000 r-xs 00335000 fe:00 10217250                           /shared
Anonymous:             0 kB
`
	want := []mapping{{0x400000, 0x595000}, {0x595000, 0x735000}}
	if got := codeMappings(smaps); !slices.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

// What has rested goes on.
func TestRest(t *testing.T) {
	kept := []byte("as it was")
	rest()
	rest()
	if string(kept) != "as it was" || jsonString("x") != `"x"` {
		t.Error("something was lost")
	}
}
