//go:build linux

package nat

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"container/integration/need"
	"container/nl"
)

// What the tests that talk to a kernel stand on. Each has a network namespace
// of its own, made by the thread that it runs on; nothing is ever sent to the
// namespace that the tests were started in.

var update = flag.Bool("update", false, "write the golden files anew")

// netns puts the rest of the test into a new network namespace. The thread is
// never unlocked: Go ends it with the test's goroutine, and the namespace goes
// with it. Commands that the test starts are in there too. Subtests, being
// other goroutines, are not: they call netns themselves.
func netns(t testing.TB) {
	t.Helper()
	need.Root(t)
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		need.Skip(t, "needs a new network namespace: unshare: "+err.Error())
	}
}

// dial is Dial, and the connection closed when the test ends.
func dial(t testing.TB) *nl.Conn {
	t.Helper()
	c, err := Dial(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// commit sends a transaction that must succeed, on a connection of its own.
func commit(t testing.TB, reqs []nl.Request) {
	t.Helper()
	if err := Commit(dial(t), reqs); err != nil {
		t.Fatal(err)
	}
}

// refuse sends a transaction that must fail with want, and checks that the
// ruleset is afterwards what it was before: all or nothing.
func refuse(t testing.TB, want unix.Errno, reqs []nl.Request) error {
	t.Helper()
	before := ruleset(t)
	err := Commit(dial(t), reqs)
	if !errors.Is(err, want) {
		t.Fatalf("got the error %v, want %v", err, want)
	}
	same(t, "the ruleset after a refusal", ruleset(t), before)
	return err
}

// run is the standard output of a command that must succeed.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	need.Tool(t, name)
	var stderr strings.Builder
	cmd := exec.Command(name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, stderr.String())
	}
	return string(out)
}

// ruleset is what nft says there is in this namespace.
func ruleset(t testing.TB) string { t.Helper(); return run(t, "nft", "list", "ruleset") }

// goldenRuleset compares the ruleset of this namespace with a file of
// testdata. The file is loaded in another namespace, and what nft says of the
// two compared: so it is no matter if another release of nft has other words
// for something, and the file is proven to be one that nft can read.
func goldenRuleset(t *testing.T, file string) {
	t.Helper()
	words, meaning := ruleset(t), rulesetJSON(t)
	if *update {
		golden(t, file, words)
	}
	t.Run(file, func(t *testing.T) {
		netns(t)
		run(t, "nft", "-f", filepath.Join("testdata", file))
		same(t, "nft list ruleset", words, ruleset(t))
		same(t, "nft -j list ruleset", meaning, rulesetJSON(t))
	})
}

// rulesetJSON is the ruleset without its handles, which count what has ever
// been in a table, and without what nft says of itself.
func rulesetJSON(t testing.TB) string {
	t.Helper()
	var all struct {
		Objects []map[string]map[string]any `json:"nftables"`
	}
	if err := json.Unmarshal([]byte(run(t, "nft", "-j", "list", "ruleset")), &all); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, object := range all.Objects {
		delete(object, "metainfo")
		for _, what := range object {
			delete(what, "handle")
		}
		line, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&text, "%s\n", line)
	}
	return text.String()
}

// golden compares text with a file of testdata, or writes the file.
func golden(t testing.TB, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	same(t, path, text, string(want))
}

// same compares texts of several lines, and shows where they part.
func same(t testing.TB, what, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	n := 0
	for n < len(g) && n < len(w) && g[n] == w[n] {
		n++
	}
	rest := func(lines []string) string {
		return strings.Join(lines[min(n, len(lines)):min(n+12, len(lines))], "\n")
	}
	t.Fatalf("%s: line %d differs.\n--- got\n%s\n--- want\n%s", what, n+1, rest(g), rest(w))
}
