//go:build linux

package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// source is the commit that the binary was built from, set by the Makefile
// with -ldflags -X; the go command's own stamp would differ between two
// directories.
var source = "unknown source"

// version is one line: what the binary was built from, with what, for what,
// and with which modules.
func version() string {
	s := fmt.Sprintf("main %s, %s %s/%s", source, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			s += fmt.Sprintf("\n%s %s", m.Path, m.Version)
		}
	}
	return s
}
