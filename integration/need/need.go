//go:build linux

// Package need says what a test can't do without. Where that is missing the
// test is skipped; but a skipped test proves nothing, and in CI nobody would
// see it, so there it fails: with MUST_RUN=1, or with CI=true as root.
package need

import (
	"os"
	"os/exec"
	"testing"
)

// Root is for a test that makes namespaces.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Skip(t, "needs root")
	}
}

// Tool is for a test that runs a program.
func Tool(t testing.TB, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		Skip(t, "needs the tool "+name+": "+err.Error())
	}
}

// Skip skips a test, or fails it where nothing may be skipped.
func Skip(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("MUST_RUN") == "1" || os.Getenv("CI") == "true" && os.Geteuid() == 0 {
		t.Fatal(why)
	}
	t.Skip(why)
}
