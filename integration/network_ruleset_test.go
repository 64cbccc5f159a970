//go:build linux

package integration

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"container/integration/lab"
	"container/integration/need"
)

var update = flag.Bool("update", false, "write the golden files")

// The whole ruleset with one container of three ports, as `nft list ruleset`
// prints it, but for what differs each time: the veth's name, and the order of
// a set's elements.
func TestRulesetOfThreePorts(t *testing.T) {
	t.Parallel()
	need.Tool(t, "nft")
	l := lab.New(t)
	l.Host.Container(t, "-gateway", dualGateway, "-mac", "02:00:00:00:00:30",
		"-p", "80:8000", "-p", "127.0.0.1:53:5353/udp", "-p", "[fd00:10::1]:443:8443", addr30+","+addr30v6)
	got := regexp.MustCompile(`veth[0-9a-f]{8}`).ReplaceAllString(l.Host.Ruleset(), "veth")
	got = regexp.MustCompile(`(?s)elements = \{ (.*?) \}`).ReplaceAllStringFunc(got, func(s string) string {
		elems := strings.Split(s[len("elements = { "):len(s)-len(" }")], ",")
		for i := range elems {
			elems[i] = strings.TrimSpace(elems[i])
		}
		slices.Sort(elems)
		return "elements = { " + strings.Join(elems, ", ") + " }"
	})
	const file = "testdata/ruleset.nft"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := unchanged(string(want), got); err != nil {
		t.Errorf("the ruleset: - is wanted, + is there:\n%v", err)
	}
}
