//go:build linux

package integration

import (
	"slices"
	"strings"
	"testing"

	"container/integration/need"
)

// make dist builds for every port of Go to Linux; nothing is built here.
func TestDistHasEveryPort(t *testing.T) {
	t.Parallel()
	need.Tool(t, "make")
	var got, want []string
	for line := range strings.Lines(output(t, "..", "make", "-Bn", "dist")) {
		if _, arch, ok := strings.Cut(line, " GOARCH="); ok {
			got = append(got, strings.Fields(arch)[0])
			for _, word := range []string{"GOOS=linux ", "CGO_ENABLED=0 ", "-trimpath ", "-s -w -buildid= ", "GOMIPS=softfloat "} {
				if !strings.Contains(line, word) {
					t.Errorf("no %s in %s", word, line)
				}
			}
		}
	}
	for port := range strings.FieldsSeq(output(t, "..", "go", "tool", "dist", "list")) {
		if arch, ok := strings.CutPrefix(port, "linux/"); ok {
			want = append(want, arch)
		}
	}
	got = slices.Compact(got) // arm is there for three processors
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("make dist builds for %q, and Go has ports to %q", got, want)
	}
}
