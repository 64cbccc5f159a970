//go:build linux

package main

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// wall is how Go asks for the time of day, or takes from a time.Time the reading
// of the monotonic clock that time.Now has put there, by which times are
// compared and waited for (package time, "Monotonic Clocks").
var wall = regexp.MustCompile(`\.(Unix|UnixNano|UnixMicro|UnixMilli|Round|Truncate|UTC|Local|Date|AddDate|Gettimeofday|Time|TimerfdCreate|ClockNanosleep|Settimeofday)\(|CLOCK_REALTIME|TFD_TIMER|TIMER_ABSTIME`)

// Nothing waits for a time of day, or compares two of them: somebody may set the
// clock meanwhile. It is only shown.
func TestTimeOfDayIsOnlyShown(t *testing.T) {
	want := map[string]string{
		"ls.go":            ".UTC( .Date( .Round(",
		"pcap/pcap.go":     ".Unix(",
		"cgroup/limits.go": ".Round(", // math's
	}
	got := make(map[string]string)
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && path == "integration" {
			return errOrSkip(err)
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		b, err := os.ReadFile(path)
		if found := wall.FindAllString(string(b), -1); len(found) > 0 {
			got[path] = strings.Join(found, " ")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range slices.Sorted(maps.Keys(got)) {
		if got[path] != want[path] {
			t.Errorf("%s has %s, want %q", path, got[path], want[path])
		}
	}
	if len(got) < len(want) {
		t.Errorf("found is %v, want %v", got, want)
	}
}

func errOrSkip(err error) error {
	if err != nil {
		return err
	}
	return fs.SkipDir
}
